"""From a frame to its packet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posewire import clock
from posewire.errors import ConnectionError, ResourceLimitError
from posewire.flow import QueueItem
from posewire.protocol import AudioChunk, Delivery, FrameType, Kind, PoseData, control, unpack_header
from posewire.rooms import RoomManager
from posewire.sender.frame_writer import FrameWriter
from tests.unit.sender.fakes import FakeSocket

POSE = PoseData(np.full((33, 4), 0.5, np.float32))


class FakeRooms(RoomManager):
    """Opens any stream: 1, 2, 3, …; or raises."""

    def __init__(self, socket: FakeSocket) -> None:
        super().__init__(socket)
        self.socket = socket
        self.asked: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.moves = False

    async def open_stream(self, kind: Any, name: str) -> int:
        self.asked.append((kind, name))
        if self.failure is not None:
            raise self.failure
        if self.moves:
            self.socket.enter("another", 2)
        return len(self.asked)


class Rig:
    def __init__(self) -> None:
        self.socket = FakeSocket()
        self.rooms = FakeRooms(self.socket)
        self.writer = FrameWriter(self.socket, self.rooms)
        self.socket.enter("studio", 7)


def frame(data: Any = POSE, stream: str = "pose") -> QueueItem:
    kind, delivery = (Kind.POSE, Delivery.LATEST) if data is POSE else (Kind.AUDIO, Delivery.ORDERED)
    return QueueItem(5, clock.now(), data, kind=kind, delivery=delivery, stream=stream)


async def test_a_stream_is_opened_once_and_its_frames_are_numbered() -> None:
    rig, item = Rig(), frame()
    assert not rig.writer.is_open(item)
    await rig.writer.open(item)
    assert rig.writer.is_open(item)
    assert not rig.writer.is_open(frame(stream="other"))
    assert rig.writer.expected_size(item) == 256
    packets = [rig.writer.write(item, POSE) for _ in range(3)]
    headers = [unpack_header(packet) for packet in packets]
    assert [(header.member, header.stream, header.seq, header.version) for header in headers] == [
        (7, 1, seq, 3) for seq in range(3)
    ]
    assert [header.frame_type for header in headers] == [FrameType.KEY, FrameType.LEAF, FrameType.LEAF]
    assert rig.writer.expected_size(item) == len(packets[-1])
    assert rig.rooms.asked == [("pose", "pose")]


async def test_sound_has_a_stream_of_its_own_kind() -> None:
    rig, sound = Rig(), AudioChunk(np.zeros((10, 1), np.int16), 48_000)
    await rig.writer.open(frame(sound, "pose"))
    assert not rig.writer.is_open(frame())
    header = unpack_header(rig.writer.write(frame(sound, "pose"), sound))
    assert (header.kind, header.version, header.frame_type) == (Kind.AUDIO, 2, FrameType.KEY)


async def test_the_numbers_of_a_room_that_was_left_are_forgotten() -> None:
    rig, item = Rig(), frame()
    await rig.writer.open(item)
    rig.writer.write(item, POSE)
    rig.socket.enter("another", 2)
    assert not rig.writer.is_open(item)
    assert rig.writer.expected_size(item) == 256
    rig.rooms.moves = True
    with pytest.raises(ConnectionError, match="the room changed"):
        await rig.writer.open(item)
    assert not rig.writer.is_open(item)
    rig.rooms.failure = ResourceLimitError("too many")
    with pytest.raises(ResourceLimitError):
        await rig.writer.open(item)
    assert not rig.writer.is_open(item)


async def test_a_keyframe_that_is_wanted_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, item = Rig(), frame()
    await rig.writer.open(item)
    rig.writer.write(item, POSE)
    wanted = rig.socket.told(control.KEYFRAME)
    for junk in (None, 5, {"stream": "x"}, {"stream": 99}):
        wanted(junk)
    assert unpack_header(rig.writer.write(item, POSE)).frame_type is FrameType.LEAF
    wanted({"stream": 1})
    assert unpack_header(rig.writer.write(item, POSE)).frame_type is FrameType.KEY
