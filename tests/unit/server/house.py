"""A server's rooms, relay and desk with members whose links and clocks do what a test says; no socket, no task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from posewire import clock
from posewire.config import RoomConfig, ServerConfig
from posewire.protocol import Delivery, FrameType, Header, Kind, SocketIOPacket, control
from posewire.protocol.room_view import StreamKind
from posewire.server import moderation as moderation_module
from posewire.server import outlet as outlet_module
from posewire.server import seat_keeper as seat_keeper_module
from posewire.server.connection import Connection
from posewire.server.control_desk import ControlDesk
from posewire.server.fast_path import ENDED
from posewire.server.flusher import Flusher
from posewire.server.moderation import Moderation
from posewire.server.relay import Relay
from posewire.server.revocation_list import RevocationList
from posewire.server.room import Room
from posewire.server.room_registry import RoomRegistry
from posewire.server.seat_keeper import SeatKeeper
from posewire.server.side_lanes import SideLanes
from posewire.server.token_authority import Claims


class Guest:
    """A client as the server sees it: a transport that notes what is written, and a kernel that takes it or not."""

    family = None

    def __init__(self, house: House, number: int, claims: Claims, session_id: str) -> None:
        self.written: list[bytes] = []
        self.under_way = 0
        self.takes = True
        self.closing = False
        self._house = house
        self._number = number
        self.eio_socket = SimpleNamespace(sid=f"eio-{number}", closed=False, closing=False, close=self._close)
        engine: Any = SimpleNamespace(
            eio_socket=lambda sid: self.eio_socket,
            eio=SimpleNamespace(
                start_background_task=house.start,
                frame_handlers={},
                event_handlers={},
                speaks_default=lambda eio_sid: False,
                poll_session=lambda eio_sid: None,
                polls=None,
            ),
            reason=SimpleNamespace(SERVER_DISCONNECT="server"),
        )
        self.ended = asyncio.Event()
        self.ignored = False
        request = SimpleNamespace(transport=self, protocol=self)
        self.connection = Connection(
            engine,
            f"sid-{number}",
            {ENDED: self.ended, "aiohttp.request": request},
            claims,
            session_id,
            flusher=house.flusher,
            drops=house.relay.drops,
            config=house.config,
            ask_keyframe=house.rooms.ask_publisher,
        )

    # What a transport and its socket have.

    def get_extra_info(self, name: str) -> Any:
        return self

    def fileno(self) -> int:
        return self._number

    def getsockopt(self, *_: int) -> bytes:
        raise OSError("no TCP")

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True
        self.ended.set()

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if not self.takes:
            self.under_way += len(data)

    def ignore(self) -> None:
        self.ignored = True

    async def _close(self, **_: Any) -> None:
        self.eio_socket.closing = True

    # What a test does.

    def ask(self, message: Any) -> Any:
        """Send a request; returns its result."""
        ok, result = self.answer(message)
        assert ok, result
        return result

    def answer(self, message: Any) -> list[Any]:
        """Send a request; returns whether it was carried out, and the result or the error."""
        return self._house.desk.answer(self.connection, control.REQUEST_NAMES[type(message)], control.to_plain(message))

    def send(
        self,
        seq: int,
        frame_type: FrameType = FrameType.KEY,
        reference: int | None = None,
        *,
        stream: int = 1,
        kind: Kind = Kind.POSE,
        delivery: Delivery = Delivery.LATEST,
        size: int = 100,
    ) -> bytes:
        """Send a packet and return it."""
        ref = 0 if reference is None else seq - reference
        header = Header(3, kind, delivery, frame_type, stream, self.connection.number, seq, ref, 0)
        packet = header.pack() + bytes(size)
        ok, result = self._house.relay.frame(self.connection, packet)
        assert ok, result
        return packet

    def hello(self, resume: str | None = "", received: int = 0, member: int = 0) -> control.Welcome:
        """Greet the server; returns its welcome."""
        answer = self.ask(control.Hello(resume=resume, received=received, member=member))
        return control.from_plain(answer, control.Welcome, what="welcome")

    def event(self, seq: int, size: int = 10) -> bytes:
        """Send an event and return its packet."""
        return self.send(seq, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE, size=size)

    def report(self, *streams: control.StreamReport) -> None:
        message = control.ReceiverReport(streams=list(streams))
        self._house.desk.report(self.connection, control.to_plain(message))

    def stick(self, key: tuple[Guest, int]) -> None:
        """Take nothing from now on; found out with frames of a stream that only this is for."""
        self.takes = False
        publisher, stream = key
        for seq in range(4):
            publisher.send(seq, stream=stream)
            self._house.time += 0.5
        assert self.connection.waiting
        self.written.clear()

    def recover(self) -> None:
        self.takes, self.under_way = True, 0
        self._house.time += 1.0
        self.connection.outlet.flush(self._house.time)

    def heard(self, event: str) -> list[Any]:
        """Return what came with every event of that name, and forget what came."""
        return [data for name, data in self.heard_all() if name == event]

    def heard_all(self) -> list[tuple[str, Any]]:
        """Return the events that came, with their names, and forget them."""
        events = [_data(wire) for wire in self.written]
        self.written.clear()
        return events

    def peek(self, event: str) -> list[Any]:
        """Return what came with every event of that name."""
        return [data for name, data in map(_data, self.written) if name == event]


class Timer:
    """What `call_later` returns."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """A loop of which only the timers are used, by a clock that a test turns.

    Args:
        now: That clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._timers: list[Timer] = []

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        timer = Timer(self._now() + delay, lambda: call(*args))
        self._timers.append(timer)
        return timer

    def run(self) -> None:
        """Call what is due, in its order."""
        while due := [timer for timer in self._timers if timer.when <= self._now() or timer.cancelled]:
            timer = min(due, key=lambda timer: timer.when)
            self._timers.remove(timer)
            if not timer.cancelled:
                timer.call()


class House:
    """The server around its rooms.

    Attributes:
        time: Of all clocks, seconds.
        started: What ran in the background: by now it is over.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config: ServerConfig | None = None) -> None:
        self.time = 1000.0
        self.config = config or ServerConfig()
        self.revocations = RevocationList(now=lambda: self.time)
        self.rooms = RoomRegistry(RoomConfig(), self.revocations, now=lambda: self.time)
        self.relay = Relay(self.rooms)
        self.seats = SeatKeeper(self.config, held_by_one=2, give_up=lambda lost: self.rooms.leave(lost, "not back"))
        moderation = Moderation(RoomConfig(), self.rooms, self.revocations, now=lambda: self.time)
        self.lanes = SideLanes()
        self.desk = ControlDesk(
            self.rooms, self.seats, moderation, self.lanes, renew=lambda connection, token: 60.0, now=lambda: self.time
        )
        self.flusher = Flusher()
        self.guests: list[Guest] = []
        self.started: list[Callable[..., Coroutine[Any, Any, None]]] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.time)
        monkeypatch.setattr(clock, "now", lambda: self.time)
        monkeypatch.setattr(outlet_module, "unacknowledged", lambda number: self.guests[number].under_way)
        monkeypatch.setattr(moderation_module, "time", SimpleNamespace(time=lambda: self.time), raising=False)
        self.timers = Timers(lambda: self.time)
        loop = SimpleNamespace(get_running_loop=lambda: self.timers)
        monkeypatch.setattr(seat_keeper_module, "asyncio", loop)

    def start(self, target: Callable[..., Coroutine[Any, Any, None]]) -> None:
        self.started.append(target)

    def connect(self, name: str, *, session: str = "", **claims: Any) -> Guest:
        """Let a client in whose token was made now and says ``claims``."""
        number = len(self.guests)
        token = Claims(**{"sub": name, "iat": self.time, "exp": self.time + 3600, **claims})
        guest = Guest(self, number, token, session or f"session-{number}")
        self.guests.append(guest)
        return guest

    def join(self, name: str, room: str = "studio", **claims: Any) -> Guest:
        """Let a client in and into a room; it is not one that comes back."""
        guest = self.connect(name, **claims)
        guest.ask(control.JoinRoom(room=room, create=True))
        return guest

    def lose(self, guest: Guest) -> None:
        """What the reception does when a connection is gone, whose client did not say goodbye."""
        guest.closing = True
        guest.ended.set()
        connection = guest.connection
        connection.release()
        if connection.seat is not None and (connection.room_id is not None or connection.seat.void):
            if connection.room_id is not None:
                self.rooms.drop(connection)
            self.seats.hold(connection)
        else:
            self.seats.release(connection)
            self.rooms.forget(connection)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds
        self.timers.run()

    def publisher(self, name: str, *streams: str, kind: StreamKind = "pose", room: str = "studio") -> Guest:
        guest = self.join(name, room)
        for stream in streams or ("pose",):
            guest.ask(control.OpenStream(kind=kind, name=stream))
        return guest

    def room(self, name: str = "studio") -> Room:
        return self.rooms.rooms[name]

    def close(self) -> None:
        """What the end of the server does to timers."""
        self.seats.close()
        self.flusher.close()
        for guest in self.guests:
            guest.connection.release()


def _data(wire: bytes) -> tuple[str, Any]:
    start = {126: 4, 127: 10}.get(wire[1], 2)
    packet: Any = SocketIOPacket(encoded_packet=wire[start:])
    name, data = packet.data
    return name, data
