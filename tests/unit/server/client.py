"""A client for the tests of `Outlet`: a transport, the kernels behind it and clocks that do what a test says."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

import pytest

from posewire import clock
from posewire.config import ServerConfig
from posewire.protocol import Delivery, FrameType, Header, Kind
from posewire.server import outlet as outlet_module
from posewire.server.fast_path import Outgoing, outgoing_frame
from posewire.server.flusher import Flusher
from posewire.server.mail import Mail
from posewire.server.outlet import Outlet

K, A, L = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF
CONFIG = ServerConfig(recipient_limit=1024, recipient_timeout=14_000, audio_max_age=900)


def pose(seq: int, frame_type: FrameType = K, reference: int | None = None, *, stream: int = 1) -> Mail:
    ref = 0 if reference is None else seq - reference
    header = Header(3, Kind.POSE, Delivery.LATEST, frame_type, stream, 7, seq, ref, 0)
    packet = header.pack() + bytes(100)
    return Mail(header, packet, outgoing_frame(packet))


def sound(seq: int, captured: float) -> Mail:
    header = Header(2, Kind.AUDIO, Delivery.ORDERED, K, 2, 7, seq, 0, round(captured * 1e6))
    return Mail(header, header.pack(), outgoing_frame(header.pack()))


class Client:
    """A transport, the kernels behind it and a client, all of which do what a test says; the clocks likewise.

    Attributes:
        written: What was written, in order.
        under_way: Bytes that the other end's kernel has not confirmed.
        takes: Whether it confirms everything at once.
        buffered: Bytes that even our own kernel did not take.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, config: ServerConfig = CONFIG, *, kind: type[Outlet] = Outlet
    ) -> None:
        self.time = 1000.0
        self.written: list[bytes] = []
        self.under_way = 0
        self.takes = True
        self.buffered = 0
        self.closing = False
        self.reasons: list[str] = []
        self.asked: list[int] = []
        self.flusher = Flusher()
        self.to_flush: list[Any] = []
        self.drops: Counter[str] = Counter()
        self.socket: Any = SimpleNamespace(closed=False, closing=False, queue=asyncio.Queue())
        request: Any = SimpleNamespace(transport=self)
        monkeypatch.setattr(clock, "monotonic", lambda: self.time)
        monkeypatch.setattr(clock, "now", lambda: self.time)
        monkeypatch.setattr(outlet_module, "unacknowledged", lambda descriptor: self.under_way)
        monkeypatch.setattr(self.flusher, "add", self.to_flush.append)
        self.outlet = kind(
            self.socket,
            request,
            flusher=self.flusher,
            drops=self.drops,
            config=config,
            give_up=self.reasons.append,
            ask_keyframe=self.asked.append,
        )

    # What a transport has.

    def get_extra_info(self, name: str) -> Any:
        return None

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if not self.takes:
            self.under_way += len(data)

    # What a test does.

    def post(self, *mails: Mail, recent: deque[int] | None = None) -> list[bool]:
        return [self.outlet.post(mail, deque() if recent is None else recent, self.time) for mail in mails]

    def flush(self) -> bool:
        self.to_flush.clear()
        return self.outlet.flush(self.time)

    def stick(self) -> None:
        """Take nothing from now on, and let the outlet find out with frames of a stream of its own."""
        self.takes = False
        for seq, pause in enumerate((0.1, 1.0, 0.0)):
            self.post(pose(seq, stream=99))
            self.time += pause
        assert self.outlet.waiting == 1
        assert not self.outlet.backlog.clear
        self.written.clear()

    def recover(self) -> None:
        self.takes, self.under_way, self.buffered = True, 0, 0
        self.time += 0.05


def wires(*mails: Mail | Outgoing) -> list[bytes]:
    return [mail.outgoing.wire if isinstance(mail, Mail) else mail.wire for mail in mails]
