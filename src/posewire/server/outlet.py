"""The way to one client: its transport while that is clear, else its mailbox."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiohttp import web

from posewire import clock
from posewire.config import ServerConfig
from posewire.flow import Backlog
from posewire.protocol import Kind
from posewire.server.fast_path import Outgoing
from posewire.server.flusher import Flusher
from posewire.server.mail import Mail
from posewire.server.mailbox import Mailbox
from posewire.sockets.kernel_queue import tune, unacknowledged

_LOOK_SECONDS: Final = 0.1
_LOOK_BYTES: Final = 512
"""Between two looks at what the kernel holds, while the link is clear: whichever comes first."""
_ROUND_TRIP_SECONDS: Final = 0.5
"""Between two looks at the least round trip."""
_SILENCE_SECONDS: Final = 3.0
"""A client that reports does so every second; poses it does not read now would only be old when it does."""
_ASK_SECONDS: Final = 1.0
"""Between two keyframes that are asked for one slow client: the others get them too."""
_MOST_BUFFERED: Final = 64 << 10
_MOST_ANSWERS: Final = 16
# struct tcp_info of linux/tcp.h: tcpi_min_rtt.
_TCP_INFO_BYTES: Final = 152
_UNKNOWN_RTT: Final = 60_000_000
"""Microseconds; before it has measured one, the kernel says 2**32 - 1."""
_min_rtt: Final = struct.Struct("=148xI").unpack_from


class Outlet:
    """Writes at once while the client keeps up, with no task and no queue; keeps mail for it while it does not.

    Args:
        eio_socket: engine.io's socket.
        request: What the connection came on.
        flusher: Comes back to those for whom mail waits.
        drops: Counts what is let go, by reason.
        config: Limits.
        give_up: Called with the reason when the client takes too little for too long.
        ask_keyframe: Called with the key of a stream that the client cannot follow any more.
    """

    def __init__(
        self,
        eio_socket: Any,
        request: web.BaseRequest,
        *,
        flusher: Flusher,
        drops: Counter[str],
        config: ServerConfig,
        give_up: Callable[[str], None],
        ask_keyframe: Callable[[int], None],
    ) -> None:
        self.socket = eio_socket
        self.backlog = Backlog()
        self.frames = 0
        """Frames written."""
        # Kept: aiohttp forgets it when the connection is lost, but then it says itself that it is closing.
        self._transport: asyncio.Transport | None = request.transport
        self._flusher = flusher
        self._drops = drops
        self._config = config
        self._timeout = config.recipient_timeout / 1000
        self._give_up = give_up
        self._ask_keyframe = ask_keyframe
        self._ask_at = 0.0
        self._mailbox: Mailbox | None = None
        self._look_at = 0.0
        self._look_bytes = 0
        self._round_trip = 0.0
        self._round_trip_at = 0.0
        self._reports = False
        self._unreported_since: float | None = None
        self._posted_at = 0.0
        self._sock = request.transport.get_extra_info("socket") if request.transport is not None else None
        self._descriptor = self._sock.fileno() if self._sock is not None else -1
        tune(self._sock)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        transport = self._transport
        return self.socket.closed or self.socket.closing or transport is None or transport.is_closing()

    @property
    def waiting(self) -> int:
        """Messages in the mailbox."""
        return 0 if self._mailbox is None else len(self._mailbox)

    def post(self, mail: Mail, recent: deque[int], now: float) -> bool:
        """Send a frame, or keep it while the client is too slow; False when it is of no use to it. See `post_all`."""
        return post_all((self,), mail, recent, now) == 1

    # The next three are called for every frame and recipient: what they do not do is as important as what they do.

    def ready(self, size: int, now: float) -> Callable[[bytes], None] | None:
        """Return what writes a frame of ``size`` bytes, when it may go at once."""
        transport = self._transport
        if (
            self._mailbox is not None
            or transport is None
            or transport.is_closing()
            or self.socket.closing
            or transport.get_write_buffer_size()
            or not self._clear(size, now)
        ):
            return None
        return transport.write

    def wrote(self, size: int, now: float) -> None:
        """Count a frame that was written."""
        backlog = self.backlog
        backlog.wrote(size, now)
        self.frames += 1
        if now - self._posted_at > _SILENCE_SECONDS or self._unreported_since is None:
            # After a pause: what was not reported before it may be what the client could not read, and reports of
            # nothing.
            self._unreported_since = now
        self._posted_at = now
        if not backlog.clear:
            backlog.offered += size
        elif now >= self._look_at or backlog.written >= self._look_bytes:
            self._look(now)

    def keep(self, mail: Mail, recent: deque[int], now: float) -> bool:
        """Keep a frame until the link takes it; False when it is of no use to the client."""
        if self.closed:
            return False
        if now - self._posted_at > _SILENCE_SECONDS and not self.waiting:
            self._unreported_since = None
        self._posted_at = now
        if not self.backlog.clear:
            self.backlog.offered += len(self.wire_of(mail.outgoing))
        taken = self._box().put(mail, recent)
        if not taken and now >= self._ask_at:
            self._ask_at = now + _ASK_SECONDS
            self._ask_keyframe(mail.key)
        self.flush(now)
        return taken

    def tell(self, outgoing: Outgoing) -> None:
        """Send a control message or an event, or keep it; in order, and never dropped. Never waits.

        A client for whom too much waits is given up.
        """
        transport = self._transport
        if transport is None or self.closed:
            return
        if self._mailbox is None and not transport.get_write_buffer_size():
            self._write(outgoing)
            return
        box = self._box()
        box.tell(outgoing)
        if box.control_bytes > self._config.recipient_limit:
            self._give_up(f"{box.control_bytes} bytes of messages wait, more than {self._config.recipient_limit}")
        else:
            self.flush(clock.monotonic())

    def tell_at_once(self, outgoing: Outgoing) -> bool:
        """Write a small message past everything that waits; False when even the transport is full."""
        transport = self._transport
        if transport is None or self.closed or transport.get_write_buffer_size() > _MOST_BUFFERED:
            return False
        self._write(outgoing)
        return True

    def answered(self) -> None:
        """Note that one more answer goes into engine.io's queue; who asks on and reads none of them is given up."""
        transport = self._transport
        if (
            self.socket.queue.qsize() > _MOST_ANSWERS
            and transport is not None
            and transport.get_write_buffer_size() > _MOST_BUFFERED
        ):
            self._give_up("reads no answers")

    def last_word(self, outgoing: Outgoing) -> None:
        """Write this message, whether the link takes it or not, and nothing of what waits: it would not come in time.

        What waits and must not be lost is journalled by then.
        """
        self._mailbox = None
        self._write(outgoing)

    def reported(self) -> None:
        """The client said what it got: it reads."""
        self._reports, self._unreported_since = True, None

    def forget(self, key: int) -> None:
        """Let go of what waits of a stream that is no more."""
        if self._mailbox is not None:
            self._mailbox.forget(key)

    def forget_frames(self) -> None:
        """Let go of all frames that wait: they are of a room that the client has left."""
        if self._mailbox is not None:
            self._mailbox.forget_frames()

    def forget_poses(self) -> None:
        """Let go of the poses that wait: their streams go another way."""
        if self._mailbox is not None:
            self._mailbox.forget_poses()
            self.flush(clock.monotonic())

    def flush(self, now: float) -> bool:
        """Write what the link takes by now; returns whether something still waits. Never waits."""
        box, transport = self._mailbox, self._transport
        if box is None or transport is None or self.closed:
            self._mailbox = None
            return False
        while len(box):
            if self._silent_for(now) > self._timeout:
                self._give_up(f"read nothing for {self._timeout:g} s")
                return False
            server_now = clock.now()
            if (first := box.peek(server_now)) is None:
                break  # what waited was too old
            self._look(now)
            if not self._clear(self._size(first), now, urgent=_is_sound(first)) or transport.get_write_buffer_size():
                if now - self.backlog.progress_at > self._timeout:
                    self._give_up(f"took nothing for {self._timeout:g} s")
                    return False
                self._flusher.add(self)
                return True
            self._write_next(box, server_now)
        if box.settle():
            self._mailbox = None
        return False

    def wire_of(self, outgoing: Outgoing) -> bytes:
        """Return a message as this client is sent it."""
        return outgoing.wire

    def cut(self) -> None:
        """End the connection at once; whatever waits for it is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _box(self) -> Mailbox:
        if self._mailbox is None:
            self._mailbox = Mailbox(self._drops, audio_max_age=self._config.audio_max_age / 1000)
        return self._mailbox

    def _write_next(self, box: Mailbox, server_now: float) -> None:
        got = box.next(server_now)
        if isinstance(got, Mail):
            self.frames += 1
            if self._unreported_since is None:
                self._unreported_since = clock.monotonic()
            self._write(got.outgoing)
        elif got is not None:
            self._write(got)

    def _write(self, outgoing: Outgoing) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            now = clock.monotonic()
            wire = self.wire_of(outgoing)
            transport.write(wire)
            self.backlog.wrote(len(wire), now)
            if now >= self._look_at:
                self._look(
                    now
                )  # to who is sent no frames, too: the backlog remembers every moment until somebody looks

    def _size(self, message: Mail | Outgoing) -> int:
        return len(self.wire_of(message.outgoing if isinstance(message, Mail) else message))

    def _silent_for(self, now: float) -> float:
        """Return for how many seconds a client that reports all it gets has not."""
        return 0.0 if self._unreported_since is None or not self._reports else now - self._unreported_since

    def _clear(self, size: int, now: float, *, urgent: bool = False) -> bool:
        if self._reports and self._silent_for(now) > _SILENCE_SECONDS:
            return False  # its kernel may take everything; nobody reads it
        if not self.backlog.clear:
            self._look(now)  # while it is, `wrote` looks: afterwards, when nobody waits for it
        return self.backlog.takes(size, urgent=urgent)

    def _look(self, now: float) -> None:
        """Ask the kernel what of all that was written is still under way."""
        transport = self._transport
        outstanding = unacknowledged(self._descriptor)
        if transport is not None:
            outstanding += transport.get_write_buffer_size()
        if outstanding and now > self._round_trip_at:
            self._round_trip = self._least_round_trip()
            self._round_trip_at = now + _ROUND_TRIP_SECONDS
        self.backlog.look(now, outstanding, self._round_trip)
        self._look_at = now + _LOOK_SECONDS
        self._look_bytes = self.backlog.written + _LOOK_BYTES

    def _least_round_trip(self) -> float:
        if self._sock is None:
            return 0.0
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            micros = _min_rtt(info)[0]
            return micros / 1e6 if micros < _UNKNOWN_RTT else 0.0
        except (OSError, struct.error):
            return 0.0  # not TCP, not Linux, or gone


def _is_sound(message: Mail | Outgoing) -> bool:
    return isinstance(message, Mail) and message.kind is Kind.AUDIO


def post_all(outlets: Iterable[Outlet], mail: Mail, recent: deque[int], now: float) -> int:
    """Send a frame to all who keep up and keep it for the others; returns for how many it is of use. Never waits.

    In two rounds: all writes follow each other closely, so that the first recipient is still awake when its neighbour's
    turn comes; waking a process takes the kernel several times as long as writing to a socket.

    Args:
        outlets: The recipients.
        mail: The frame.
        recent: References of its stream before it; see `Mailbox.put`.
        now: Monotonic seconds.
    """
    wire = mail.outgoing.wire
    size = len(wire)
    ready: list[Outlet] = []
    writes: list[Callable[[bytes], None]] = []
    others: list[Outlet] = []
    for outlet in outlets:
        if (write := outlet.ready(size, now)) is None:
            others.append(outlet)
        else:
            ready.append(outlet)
            writes.append(write)
    for write in writes:
        write(wire)
    for outlet in ready:
        outlet.wrote(size, now)
    return len(ready) + sum(outlet.keep(mail, recent, now) for outlet in others)
