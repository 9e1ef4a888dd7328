"""The pipeline at a glance, connected or not."""

from __future__ import annotations

import msgspec
import pytest

from posewire.monitor import PerformanceMonitor
from posewire.protocol import control
from posewire.rooms import RoomManager
from posewire.sender import MAX_QUALITY_LEVEL, SenderStatus, UnifiedSender
from tests.unit.sender.fakes import FakeSocket


def sender(socket: FakeSocket) -> UnifiedSender:
    return UnifiedSender(socket, RoomManager(socket), PerformanceMonitor())


async def test_without_a_connection() -> None:
    socket = FakeSocket()
    socket.fake_lane = None
    pipeline = sender(socket)
    assert pipeline.status() == SenderStatus(
        waiting=0, capacity=256, sent=0, bytes_sent=0, bandwidth_limit=None, drops={}, window=4096
    )
    assert (pipeline.is_degraded, pipeline.current_quality_level) == (False, 0)
    with pytest.raises(AttributeError):
        pipeline.status().waiting = 1  # type: ignore[misc]


async def test_what_the_link_and_the_receivers_say() -> None:
    socket = FakeSocket()
    pipeline = sender(socket)
    credit = socket.fake_lane.credit
    credit.sent(1000, 5.0)
    credit.acknowledged(1000, 5.25)
    credit.sent(500, 5.25)
    socket.told(control.REPORT)({"receivers": 3, "behind": 1, "streams": [{"stream": 1, "lost": 4}]})
    pipeline._quality._ladder.level = MAX_QUALITY_LEVEL
    status = pipeline.status()
    assert (status.in_flight, status.round_trip, status.queueing) == (500, 0.25, 0.0)
    assert status.delivered_rate == pytest.approx(4000)
    assert status.window == round(credit.window)
    assert (status.receivers, status.receivers_behind, status.streams[0].lost) == (3, 1, 4)
    assert (status.quality, pipeline.is_degraded) == ("keyframe rate", True)
    assert msgspec.json.decode(msgspec.json.encode(status), type=SenderStatus) == status
