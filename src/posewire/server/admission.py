"""How much one member and one address may take of the server, and what happens when they take more."""

from __future__ import annotations

import enum
import ipaddress
import math
from typing import Final

from posewire.config import AdmissionConfig
from posewire.errors import ProtocolError, ResourceLimitError
from posewire.protocol import Delivery, FrameType, Kind, unpack_header

_KEPT: Final = 0.5
_FLOORS: Final = {FrameType.LEAF: 0.0, FrameType.ANCHOR: 0.25, FrameType.KEY: _KEPT}
_EVENTS: Final = 1.0
"""How far into debt frames may go, in bursts: leaves not at all; then anchors; keyframes and sound; events last."""
_MOST_IDLE: Final = 10_000
"""Members or addresses without a connection that are remembered; then the one that left first is forgotten."""
_TELL: Final = 0.1
"""Of the patience: so much must have been let go until its sender is told."""


class Verdict(enum.Enum):
    """What is done with a frame or a request."""

    FINE = "take it"
    DROP = "drop"
    TELL = "drop it and tell its sender"
    CLOSE = "drop it and close the connection"


class Bucket:
    """A token bucket that is settled only when it is empty: taking is one subtraction, and no clock is read for it.

    What was saved up before a pause can be taken, and what the pause was worth once more: over any span the sum is at
    most ``rate * span + 2 * burst``.

    Args:
        rate: Tokens a second.
        burst: Tokens that may be saved up.
        now: Monotonic seconds.
    """

    __slots__ = ("burst", "left", "rate", "settled")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.left = burst
        self.settled = now

    def settle(self, now: float) -> float:
        """Put in what came together since the last time; returns what is left, negative for a debt."""
        if now > self.settled:
            self.left = min(self.burst, self.left + (now - self.settled) * self.rate)
            self.settled = now
        return self.left

    def take(self, now: float) -> float:
        """Take one token. Returns 0, or the seconds until there is one: then none was taken."""
        if self.settle(now) < 1.0:
            return (1.0 - self.left) / self.rate
        self.left -= 1.0
        return 0.0


class Account:
    """What one member, or one address, has taken.

    Attributes:
        connections: Open now.
        excess: What was let go of it lately, in seconds of its limit.
    """

    __slots__ = ("bytes", "connections", "connects", "excess", "excess_at", "frames", "requests", "rooms", "told_at")

    def __init__(self, limits: tuple[float, float, float, float, float], burst: float, now: float) -> None:
        frames, size, requests, connects, rooms = limits
        self.frames = Bucket(frames, frames * burst, now)
        self.bytes = Bucket(size, size * burst, now)
        self.requests = Bucket(requests, requests * burst, now)
        self.connects = Bucket(connects, connects * burst, now)
        # Rooms are made by the minute, all of a minute's at once when one likes.
        self.rooms = Bucket(rooms / 60, rooms, now)
        self.connections = 0
        self.excess = 0.0
        self.excess_at = now
        self.told_at = now - 1e9


class Quota:
    """What one connection may still take: as much as both its member and its address have left.

    Args:
        user_id: The member.
        key: The address.
        member: The member's account, shared by its connections.
        address: The address's account.
        patience: Seconds of the limit that may be let go until the connection is closed.
    """

    __slots__ = ("_address", "_buckets", "_member", "_patience", "key", "user_id")

    def __init__(self, user_id: str, key: str, member: Account, address: Account, patience: float) -> None:
        self.user_id = user_id
        self.key = key
        self._member = member
        self._address = address
        self._patience = patience
        self._buckets = (member.frames, member.bytes, address.frames, address.bytes)

    def take(self, size: int) -> bool:
        """Take a frame of ``size`` bytes; False when there may be nothing left: then ask `judge`.

        Called for every packet.
        """
        first, second, third, fourth = self._buckets
        first.left -= 1
        second.left -= size
        third.left -= 1
        fourth.left -= size
        return first.left >= 0 <= second.left and third.left >= 0 <= fourth.left

    def judge(self, packet: bytes, now: float) -> Verdict:
        """Say what becomes of a packet that was taken when nothing was left.

        Leaves go first, then anchors, then keyframes and sound, events at last; what is let go takes nothing.
        """
        first, second, third, fourth = self._buckets
        size = len(packet)
        fill = min(bucket.settle(now) / bucket.burst for bucket in self._buckets)
        if fill >= -_credit(packet):
            return Verdict.FINE
        first.left += 1
        second.left += size
        third.left += 1
        fourth.left += size
        return self._let_go(max(1 / first.rate, size / second.rate), now)

    def request(self, now: float) -> tuple[Verdict, float]:
        """Take a control request; returns what becomes of it, and the seconds until the next is answered."""
        wait = self._member.requests.take(now)
        if not wait and (wait := self._address.requests.take(now)):
            self._member.requests.left += 1.0
        return (self._let_go(1 / self._member.requests.rate, now), wait) if wait else (Verdict.FINE, 0.0)

    def check_room(self, now: float) -> None:
        """Ask whether the member may make a room.

        Raises:
            ResourceLimitError: Not now; it says when.
        """
        for account in (self._member, self._address):
            if (left := account.rooms.settle(now)) < 1.0:
                wait = (1.0 - left) / account.rooms.rate
                raise ResourceLimitError(f"too many new rooms; come again in {wait:.1f} s")

    def room_made(self) -> None:
        """Charge the member for a new room."""
        self._member.rooms.left -= 1
        self._address.rooms.left -= 1

    def explain(self) -> str:
        """Return the limit in words, for a notice or a goodbye."""
        frames, size = self._member.frames.rate, self._member.bytes.rate
        return (
            f"over the limit of {frames:g} frames, {size:g} bytes and {self._member.requests.rate:g} requests a second"
        )

    def _let_go(self, seconds: float, now: float) -> Verdict:
        account = self._member
        if now - account.excess_at > self._patience:
            account.excess = 0.0
        account.excess_at = now
        account.excess += seconds
        if account.excess > self._patience:
            return Verdict.CLOSE
        if account.excess > self._patience * _TELL and now - account.told_at > self._patience:
            account.told_at = now
            return Verdict.TELL
        return Verdict.DROP


def unlimited() -> Quota:
    """Return a quota of which there is always something left."""
    account = Account((1.0, 1.0, 1.0, 1.0, 1.0), math.inf, 0.0)
    account.rooms = Bucket(1.0, math.inf, 0.0)
    return Quota("", "", account, account, math.inf)


class Admission:
    """Keeps the accounts of all members and addresses; those of who is gone until what they owe is forgotten.

    Time is an argument: monotonic seconds.

    Args:
        config: The limits.
        most_connections: Connections of one member.
    """

    def __init__(self, config: AdmissionConfig, *, most_connections: int) -> None:
        self._config = config
        self._most_connections = most_connections
        self._members: dict[str, Account] = {}
        self._addresses: dict[str, Account] = {}
        # Who has no connection, in the order of leaving, and since when.
        self._idle: tuple[dict[str, float], dict[str, float]] = ({}, {})

    def knock(self, key: str, now: float) -> str | None:
        """Count a connection from an address, see `address_key`, that `leave` lets go; or say why there may be none."""
        factor = self._config.loopback_factor if _is_loopback(key) else 1.0
        account = self._account(1, key, now, factor)
        if account.connections >= self._config.address_connections * factor:
            return f"{account.connections} connections from this address are open"
        if wait := account.connects.take(now):
            return f"too many connections from this address; come again in {wait:.1f} s"
        account.connections += 1
        self._idle[1].pop(key, None)
        return None

    def leave(self, key: str, now: float) -> None:
        """Let a connection of an address go."""
        self._release(1, key, now)

    def enter(self, user_id: str, key: str, now: float) -> Quota:
        """Count a connection of a member, whose token is good, that `exit` lets go.

        Raises:
            ResourceLimitError: It has too many, or makes too many.
        """
        factor = self._config.loopback_factor if _is_loopback(key) else 1.0
        member = self._account(0, user_id, now, 1.0)
        if member.connections >= self._most_connections:
            raise ResourceLimitError(f"{user_id} has {member.connections} connections open, the most one user may have")
        if wait := member.connects.take(now):
            raise ResourceLimitError(f"{user_id} connects too often; come again in {wait:.1f} s")
        member.connections += 1
        self._idle[0].pop(user_id, None)
        return Quota(user_id, key, member, self._account(1, key, now, factor), self._config.patience)

    def exit(self, quota: Quota, now: float) -> None:
        """Let a connection of a member go."""
        self._release(0, quota.user_id, now)

    def _account(self, which: int, key: str, now: float, factor: float) -> Account:
        accounts = (self._members, self._addresses)[which]
        account = accounts.get(key)
        if account is None:
            self._forget(which, now)
            config = self._config
            limits = (
                (config.address_frames, config.address_bytes, config.address_requests, config.address_connects)
                if which
                else (config.member_frames, config.member_bytes, config.member_requests, config.member_connects)
            )
            rooms = config.address_rooms if which else config.member_rooms
            frames, size, requests, connects = (limit * factor for limit in limits)
            account = accounts[key] = Account((frames, size, requests, connects, rooms * factor), config.burst, now)
        if not account.connections:
            self._rest(which, key, now)
        return account

    def _rest(self, which: int, key: str, now: float) -> None:
        self._idle[which].pop(key, None)
        self._idle[which][key] = now

    def _release(self, which: int, key: str, now: float) -> None:
        account = (self._members, self._addresses)[which][key]
        account.connections -= 1
        if not account.connections:
            self._rest(which, key, now)
        self._forget(which, now)

    def _forget(self, which: int, now: float) -> None:
        accounts, idle = (self._members, self._addresses)[which], self._idle[which]
        # By then all buckets are full again, but for debts, and the rooms: those are forgotten after a minute.
        long_ago = now - max(60.0, 2 * self._config.burst, self._config.patience)
        while idle and (len(idle) >= _MOST_IDLE or next(iter(idle.values())) < long_ago):
            key = next(iter(idle))
            del idle[key], accounts[key]


def _credit(packet: bytes) -> float:
    try:
        header = unpack_header(packet)
    except ProtocolError:
        return 0.0
    if header.kind is Kind.EVENT or header.delivery is Delivery.RELIABLE:
        return _EVENTS
    return _FLOORS[header.frame_type] if header.kind is Kind.POSE else _KEPT


def address_key(host: str) -> str:
    """Return what stands for an address: itself, or the first 64 bits of IPv6, which one customer has to himself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return str(address)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _is_loopback(key: str) -> bool:
    return key.startswith("127.") or key == "::1"
