"""How often somebody may try to log in."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final, Self

from posewire.config import SecurityConfig

MAX_KEYS: Final = 65_536
"""Kept in each table at most; some 10 MB in all of them together."""
_ROUNDING: Final = 1e-6
"""Seconds: nobody waits for what rounding left."""


class _Lane:
    """Token buckets by key, each kept as one number: the time at which it will be full again (GCRA).

    Its size is bounded: full buckets are dropped, for a missing one is full; then the one charged longest ago. To have
    one dropped before it is full again, `MAX_KEYS` other keys must be charged within ``burst * interval`` seconds.
    """

    def __init__(self, burst: int, interval: float) -> None:
        self._slack = (burst - 1) * interval
        self._interval = interval
        self._full_at: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: int, now: float) -> float:
        wait = self._full_at.get(key, now) - self._slack - now
        return wait if wait > _ROUNDING else 0.0

    def charge(self, key: int, now: float) -> None:
        self._full_at[key] = max(now, self._full_at.get(key, now)) + self._interval
        self._full_at.move_to_end(key)
        # Two for each that comes: they do not pile up, and no call takes long.
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] <= now or len(self._full_at) > MAX_KEYS:
                del self._full_at[oldest]

    def refund(self, key: int) -> None:
        if key in self._full_at:
            self._full_at[key] -= self._interval


class LoginLimiter:
    """Limits failed logins by address, by name and address, and by name. Pure: the caller says what time it is.

    An attempt is charged before the password is checked, so that many at once do not slip through, and given back when
    it was right. Nothing else is given back: whoever has an account of his own cannot buy tries at another with it.
    What is refused is not charged: whoever waits as long as he is told gets in.

    Three lanes, and all must be open:

    * **address** (of IPv6 a /64, which is what one customer gets): one machine that tries many names.
    * **name and address**: one machine that tries many passwords of one user. A stranger's failures are his own: they
      shut nobody else out.
    * **strangers of a name**: many machines that try one user's passwords, all together. It does not count for
      addresses that this user has logged in from (since the server started; the newest `MAX_KEYS` are remembered), so
      they cannot be shut out. The price: while such an attack lasts, the user may have to wait at a new address.

    Memory is bounded, and forgetting resets nobody's limit in practice: see `_Lane`. Only attempts that the address
    lane let through make keys in the others, so with the default settings the 65,536 names that push one out of the
    lane of strangers within its 500 s take more than 700 addresses, and some 130 logins a second, each of which waits
    for a place among the hashes.

    Args:
        address: Burst, and seconds until one more, of the lane of addresses.
        name: The same for a name and an address.
        strangers: The same for a name.
    """

    def __init__(
        self,
        *,
        address: tuple[int, float] = (10, 6.0),
        name: tuple[int, float] = (5, 30.0),
        strangers: tuple[int, float] = (50, 10.0),
    ) -> None:
        self._addresses = _Lane(*address)
        self._pairs = _Lane(*name)
        self._strangers = _Lane(*strangers)
        self._known: OrderedDict[int, None] = OrderedDict()

    @classmethod
    def from_config(cls, security: SecurityConfig) -> Self:
        """Return a limiter with the limits of the settings."""
        return cls(
            address=(security.login_burst, security.login_interval / 1000),
            name=(security.login_name_burst, security.login_name_interval / 1000),
            strangers=(security.login_stranger_burst, security.login_stranger_interval / 1000),
        )

    def attempt(self, address: str, name: str, *, now: float) -> float:
        """Charge an attempt and return 0, or charge nothing and return the seconds to wait.

        Args:
            address: Where it comes from, as text.
            name: Who it wants to be, in its normal form.
            now: Monotonic seconds.
        """
        lanes = self._lanes(address, name)
        if (wait := max(lane.wait(key, now) for lane, key in lanes)) > 0:
            return wait
        for lane, key in lanes:
            lane.charge(key, now)
        return 0.0

    def succeeded(self, address: str, name: str) -> None:
        """Give back what the attempt was charged, and remember that ``name`` comes from there."""
        for lane, key in self._lanes(address, name):
            lane.refund(key)
        pair = _key(network_of(address), name)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)

    def _lanes(self, address: str, name: str) -> list[tuple[_Lane, int]]:
        network = network_of(address)
        pair = _key(network, name)
        lanes = [(self._addresses, _key(network)), (self._pairs, pair)]
        if pair not in self._known:
            lanes.append((self._strangers, _key(name)))
        return lanes

    def __len__(self) -> int:
        return len(self._addresses) + len(self._pairs) + len(self._strangers) + len(self._known)


def _key(*parts: str) -> int:
    # 64 bits under a key of this process, whatever the length of a name.
    return hash(parts)


def network_of(address: str) -> str:
    """Return what counts as one place: an IPv4 address, the /64 of an IPv6 address, else the text itself."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)
