"""A frame is decoded once for all who want it, and not at all when nobody does."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from posewire.protocol import Delivery, FrameType, Header, Kind, PoseData, body_v2
from posewire.receiver import Subscription
from tests.fuzz.receive_path import PLAIN, STREAMS, ReceivePath


class Path(ReceivePath):
    """A client in a room, and how often it decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(None)
        for subscription in self.subscriptions:
            subscription.end()
        self.subscriptions = []
        self.decoded = self._seq = 0
        decode = self.socket.protocol.decode_pose

        def counted(*args: Any, **kwargs: Any) -> PoseData:
            self.decoded += 1
            return decode(*args, **kwargs)

        monkeypatch.setattr(self.socket.protocol, "decode_pose", counted)

    def pose(self) -> int:
        """Receive a pose of the member "plain"; returns how often it was decoded."""
        before, self._seq = self.decoded, self._seq + 1
        header = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, STREAMS[Kind.POSE], PLAIN, self._seq, 0, 0)
        body = body_v2.encode_pose(PoseData(np.zeros((33, 4), np.float32)), threshold=None, level=1)
        self.take(header.pack() + body)
        assert not self.socket.drops
        return self.decoded - before


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> Path:
    return Path(monkeypatch)


def waiting(subscription: Subscription) -> list[int]:
    return [received.seq for received in subscription._waiting]


async def test_decoded_once_for_all_and_only_for_those_who_want_it(path: Path) -> None:
    assert path.pose() == 0
    all_poses = path.receiver.subscribe()
    assert path.pose() == 1
    same = [path.receiver.subscribe(user_id="plain"), path.receiver.subscribe(stream="s")]
    others = [
        path.receiver.subscribe("audio"),
        path.receiver.subscribe(user_id="sealed"),
        path.receiver.subscribe(stream="other"),
    ]
    assert [path.pose(), path.pose()] == [1, 1]
    assert waiting(all_poses) == [2, 3, 4]
    assert [waiting(subscription) for subscription in same] == [[3, 4]] * 2
    assert [waiting(subscription) for subscription in others] == [[]] * 3
    assert all_poses._waiting[1].pose is same[1]._waiting[0].pose, "one pose, shared"


async def test_nothing_is_decoded_for_a_loop_that_was_closed_or_left(path: Path) -> None:
    closed = path.receiver.subscribe()
    assert path.pose() == 1
    await closed.aclose()
    assert path.pose() == 0
    left = path.receiver.subscribe()
    assert path.pose() == 1
    async for frame in left:
        assert frame.seq == 3
        break
    del left, frame
    gc.collect()
    assert path.pose() == 0


async def test_a_loop_made_after_the_end_ends_at_once(path: Path) -> None:
    early = path.receiver.subscribe()
    path.pose()
    path.receiver.end()
    assert path.pose() == 0
    late = path.receiver.subscribe()
    assert [frame.seq async for frame in early] == [1]
    assert [frame.seq async for frame in late] == []


async def test_who_wants_what_is_noted_for_a_bounded_number_of_streams(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posewire.receiver.receiver._MAX_STATS", 3)
    path.receiver.subscribe()
    for number in range(10):
        path.receiver._find_audience("pose", f"member {number}", "s")
        assert len(path.receiver._audiences) <= 3
