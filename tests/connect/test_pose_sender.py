"""Each setter of a pose sender changes what goes over the wire, or what is decided."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import ConfigurationError, ConnectionError, InvalidDataError, PoseData, RoomError, SendOutcome, clock
from posewire.protocol import Delivery
from posewire.testing import fill_queue_to_threshold, generate_test_pose
from tests.connect.conftest import Member, changed, eventually, heard, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy

POINTS = np.random.default_rng(3).random((478, 4)).astype(np.float32)
FACE = {"pose_landmarks": [[0.5, 0.5, 0.5, 1.0]] * 33, "face_landmarks": POINTS}


async def size_of(session: posewire.Session, pose: Any) -> int:
    """Return the bytes of one pose on the wire."""
    before = session.sender.bytes_sent
    assert await session.send_pose(pose)
    await session.sender.flush()
    return session.sender.bytes_sent - before


async def seeds_of(frames: posewire.Subscription, count: int) -> list[int]:
    """Return which of the first hundred `landmarks` came."""
    known = {landmarks(seed).tobytes(): seed for seed in range(100)}
    return [known[points(await next_frame(frames)).tobytes()] for _ in range(count)]


# Sending --------------------------------------------------------------------------------------------------------------


async def test_send_pose_data(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        assert await alice.pose.send_pose_data(generate_test_pose(seed=1)) is True
        assert (await next_frame(frames)).pose is not None
        assert await alice.pose.send_pose_data(landmarks(2), 7, room_id="studio") is True
        assert await seeds_of(frames, 1) == [2]
        with pytest.raises(RoomError, match="not in this room"):
            await alice.pose.send_pose_data(landmarks(), room_id="stage")
        alice.pose.set_sampling_rate(0)
        assert await alice.pose.send_pose_data(landmarks()) is False


async def test_send_pose_data_with_a_higher_priority_goes_first(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        alice.pose.set_qos_level("high")
        alice.sender.pause()
        for seed, priority in ((1, 1), (2, 9), (3, 5)):
            assert await alice.pose.send_pose_data(landmarks(seed), priority)
        alice.sender.resume()
        assert await seeds_of(frames, 3) == [2, 3, 1]


@pytest.mark.parametrize("pose", [landmarks(), PoseData(landmarks()), generate_test_pose(), [[0.0] * 4] * 33])
async def test_validate_data(member: Member, pose: Any) -> None:
    async with member("alice") as alice:
        assert alice.pose.validate_data(pose) is True
        assert await alice.pose.send_pose_data(pose) is True


@pytest.mark.parametrize("pose", [None, "pose", {}, [[1, 2]], np.zeros((33, 5), np.float32), [{"x": "left"}]])
async def test_validate_data_refuses_what_send_refuses(member: Member, pose: Any) -> None:
    async with member("alice") as alice:
        assert alice.pose.validate_data(pose) is False
        with pytest.raises(posewire.DataValidationError):
            await alice.pose.send_pose_data(pose)


async def test_streams_that_are_none(member: Member) -> None:
    async with member("alice") as alice:
        for rate, stream in ((1.0, []), (1.0, ""), (1.0, "x" * 500), (0.5, []), (0.5, 7)):
            alice.pose.set_sampling_rate(rate)
            with pytest.raises(InvalidDataError, match="stream"):
                await alice.pose.send(landmarks(), stream)  # type: ignore[arg-type]


def test_a_checked_pose_is_not_checked_again() -> None:
    pose = PoseData(landmarks())
    assert posewire.protocol.to_pose_data(pose) is pose


async def test_join_and_leave_room(member: Member) -> None:
    async with member("alice", None) as alice, member("bob", "stage") as bob:
        with pytest.raises(posewire.RoomNotFoundError):
            await alice.pose.join_room("studio")
        assert await alice.pose.join_room("stage") is True
        assert alice.socket.room_id == "stage"
        assert await alice.pose.leave_room("stage") is True
        assert await alice.pose.leave_room("stage") is False
        assert alice.socket.room_id is None
        assert bob.rooms.current_room() == "stage"


async def test_is_connected(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice", url=proxy.url) as alice:
        assert alice.pose.is_connected() is True
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: not alice.pose.is_connected())
        proxy.refusing = False
        await eventually(alice.pose.is_connected)


async def test_endpoints(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice:
        alice.pose.set_endpoints([proxy.url, server.url])
        assert set(alice.socket.get_endpoint_usage()) == {proxy.url, server.url}
        assert alice.pose.get_endpoint_usage() == {proxy.url: 0, server.url: 1}
        with pytest.raises(ConfigurationError):
            alice.pose.set_endpoints(["nowhere"])
        assert set(alice.pose.get_endpoint_usage()) == {proxy.url, server.url}


# Retries --------------------------------------------------------------------------------------------------------------


def fail_to_open(session: posewire.Session, monkeypatch: pytest.MonkeyPatch, times: int) -> list[float]:
    """Let the link fail ``times`` when a stream is opened, as the first pose needs; returns when that was tried."""
    real, tried = session.rooms.open_stream, []

    async def open_stream(kind: Any, name: str) -> int:
        tried.append(clock.monotonic())
        if len(tried) <= times:
            raise ConnectionError("gone")
        return await real(kind, name)

    monkeypatch.setattr(session.rooms, "open_stream", open_stream)
    return tried


async def test_retry_count_and_retry_delay(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        alice.pose.set_send_config(retry_count=2, retry_delay=0.02, retry_backoff=3.0)
        assert (alice.pose.retry_count, alice.pose.retry_delay) == (2, 0.02)
        tried = fail_to_open(alice, monkeypatch, 2)
        assert await alice.pose.send_pose_data(landmarks(4))
        assert await seeds_of(frames, 1) == [4]
        assert alice.sender.status().drops == {}
        assert len(tried) == 3
        assert alice.pose.get_stats()["retries"] == 2
        assert tried[1] - tried[0] > 0.018
        assert tried[2] - tried[1] > 0.055, "each wait is three times the one before"


@pytest.mark.parametrize(
    "config", [{"retry_count": 0}, {"retry_count": 1, "retry_delay": 0.0}, {"timeout": 0.05}, {"qos_level": "low"}]
)
async def test_a_pose_is_given_up(member: Member, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    async with member("alice") as alice:
        alice.pose.set_send_config(**{"retry_delay": 0.1, **config})
        tried = fail_to_open(alice, monkeypatch, 9)
        assert await alice.pose.send_pose_data(landmarks())
        await eventually(lambda: alice.sender.status().drops == {"disconnected": 1})
        assert len(tried) == config.get("retry_count", 0) + 1
        assert alice.pose.get_stats()["failed"] == 1


def try_again_now(session: posewire.Session) -> None:
    """Do at once what a pose's timer would."""
    retries = session.pose._retries
    ((item, handle),) = retries._waiting.items()
    handle.cancel()
    retries._again(item, "studio")


async def test_a_pose_that_is_overtaken_is_not_tried_again(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        alice.pose.set_send_config(retry_delay=20.0)
        tried = fail_to_open(alice, monkeypatch, 1)
        assert await alice.pose.send_pose_data(landmarks(1))
        await eventually(lambda: len(alice.pose._retries) == 1)
        assert await alice.pose.send_pose_data(landmarks(2))
        assert await seeds_of(frames, 1) == [2]
        try_again_now(alice)
        assert alice.sender.status().drops == {"replaced": 1}
        assert len(tried) == 2


async def test_a_pose_for_another_room_is_not_tried_again(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice, member("bob", "stage") as bob:
        alice.pose.set_send_config(retry_delay=20.0)
        tried = fail_to_open(alice, monkeypatch, 1)
        assert await alice.pose.send_pose_data(landmarks(1))
        await eventually(lambda: len(alice.pose._retries) == 1)
        await alice.rooms.join_room("stage")
        try_again_now(alice)
        assert alice.sender.status().drops == {"disconnected": 1}
        assert len(tried) == 1
        assert bob.receiver.stats() == []


async def test_what_the_server_refuses_is_not_tried_again(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice:
        for index in range(65):
            await alice.send_pose(landmarks(), stream=f"stream-{index}")
            await alice.sender.flush()
        assert alice.sender.status().drops == {"refused": 1}


async def test_retries_end_with_the_session(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice:
        alice.pose.set_send_config(retry_delay=20.0)
        fail_to_open(alice, monkeypatch, 9)
        assert await alice.pose.send_pose_data(landmarks())
        await eventually(lambda: len(alice.pose._retries) == 1)
    assert alice.sender.status().drops == {"cleared": 1}


async def test_timeout_drops_what_waited_too_long(member: Member) -> None:
    async with member("alice") as alice:
        alice.pose.set_send_config(timeout=0.02)
        assert alice.pose.timeout == 0.02
        alice.sender.pause()
        assert await alice.send_pose(landmarks())
        started = clock.monotonic()
        await eventually(lambda: clock.monotonic() > started + 0.03)
        alice.sender.resume()
        await alice.sender.flush()
        assert alice.sender.status().drops == {"expired": 1}


# The queue ------------------------------------------------------------------------------------------------------------


async def test_set_queue_config_and_what_the_queue_says(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        assert alice.pose.get_queue_capacity() == 256
        alice.pose.set_queue_config(max_size=3)
        assert alice.pose.get_queue_capacity() == 3
        alice.sender.pause()
        alice.pose.set_qos_level("high")
        for seed in range(5):
            assert await alice.send_pose(landmarks(seed), priority=seed)
            assert alice.pose.get_queue_size() == min(seed + 1, 3)
        status = alice.pose.get_queue_status()
        assert (status["size"], status["capacity"], status["utilization"]) == (3, 3, 1.0)
        assert status["priorities"] == {9: 1, 8: 1, 7: 1}
        assert status["drops"] == {"queue_full": 2}
        assert status["longest_wait"] > 0
        assert status["average_wait_time"] == 0.0
        alice.sender.resume()
        assert await seeds_of(frames, 3) == [4, 3, 2], "the lowest priorities went"
        assert alice.pose.get_queue_size() == 0


@pytest.mark.parametrize(
    "config",
    [
        {"max_size": 0},
        {"max_size": 2.5},
        {"max_size": True},
        {"cleanup_threshold": 0},
        {"cleanup_threshold": 1.5},
        {"cleanup_keep": "half"},
        {"sampling_rate": 1.0},
        {"max_size": 7, "colour": "red"},
    ],
)
async def test_a_bad_queue_config_changes_nothing(member: Member, config: dict[str, Any]) -> None:
    async with member("alice") as alice:
        before = alice.pose.get_send_config()
        with pytest.raises(ConfigurationError, match=r"expected|allowed"):
            alice.pose.set_queue_config(**config)
        assert alice.pose.get_send_config() == before


async def test_fill_queue_to_threshold_and_the_clean_up(member: Member) -> None:
    async with member("alice") as alice:
        alice.pose.set_queue_config(max_size=10, cleanup_threshold=0.8, cleanup_keep=0.3)
        assert await fill_queue_to_threshold(alice, priority=1) == 8
        assert await fill_queue_to_threshold(alice) == 0
        status = alice.pose.get_queue_status()
        assert (status["size"], status["threshold"], status["utilization"]) == (8, 8, 0.8)
        assert await alice.send_pose(landmarks(), priority=5), "one more: the lowest go, and this one stays"
        status = alice.pose.get_queue_status()
        assert (status["size"], status["priorities"]) == (3, {5: 1, 1: 2})
        assert status["drops"] == {"queue_full": 6}
        alice.sender.resume()
        await alice.sender.flush()
        assert alice.sender.status().sent == 3


async def test_clean_queue_keeps_the_highest_priorities(member: Member) -> None:
    async with member("alice") as alice:
        alice.sender.pause()
        for priority in (3, 1, 4, 1, 5):
            await alice.send_audio(b"\0\0", priority=priority)
        event = asyncio.create_task(alice.send_event("note"))
        await asyncio.sleep(0)
        assert alice.pose.clean_queue(3) == 3
        assert alice.pose.get_queue_status()["priorities"] == {10: 1, 5: 1, 4: 1}
        alice.pose.set_queue_config(cleanup_keep=0.004)
        assert alice.pose.clean_queue() == 2
        assert alice.pose.clean_queue(0) == 0, "never an event"
        alice.sender.resume()
        await event


async def test_average_wait_time(member: Member) -> None:
    async with member("alice") as alice:
        assert alice.pose.get_average_wait_time() == 0.0
        await alice.send_pose(landmarks())
        await alice.sender.flush()
        first = alice.pose.get_average_wait_time()
        alice.sender.pause()
        await alice.send_pose(landmarks())
        started = clock.monotonic()
        await eventually(lambda: clock.monotonic() > started + 0.05)
        alice.sender.resume()
        await alice.sender.flush()
        assert alice.pose.get_average_wait_time() >= (first + 0.05) / 2
        assert alice.pose.get_queue_status()["average_wait_time"] == alice.pose.get_average_wait_time()


# Setters --------------------------------------------------------------------------------------------------------------


async def test_target_fps_thins_by_capture_time(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        alice.pose.set_target_fps(30)
        taken = []
        for index in range(60):
            taken.append(bool(await alice.send_pose(landmarks(index), timestamp=1000 + index / 60)))
            await alice.sender.flush()
        assert sum(taken) == 30
        assert await seeds_of(frames, 30) == [index for index in range(60) if taken[index]]
        assert alice.sender.status().drops == {"sampled": 30}
        alice.pose.set_target_fps(None)
        assert all([await alice.send_pose(landmarks(), timestamp=2000.0) for _ in range(5)])


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "30", True, [30]])
async def test_a_bad_target_fps_leaves_the_old_one(member: Member, fps: Any) -> None:
    async with member("alice") as alice:
        alice.pose.set_target_fps(30)
        with pytest.raises(InvalidDataError, match="target fps"):
            alice.pose.set_target_fps(fps)
        assert alice.pose.get_send_config()["target_fps"] == 30


async def test_qos_high_sends_each_pose_and_medium_the_newest(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        alice.sender.pause()
        outcomes = [await alice.send_pose(landmarks(seed)) for seed in range(3)]
        assert outcomes == [SendOutcome.ACCEPTED, SendOutcome.REPLACED, SendOutcome.REPLACED]
        alice.sender.resume()
        assert await seeds_of(frames, 1) == [2]
        alice.pose.set_qos_level("high")
        alice.sender.pause()
        assert [await alice.send_pose(landmarks(seed)) for seed in range(3, 6)] == [SendOutcome.ACCEPTED] * 3
        assert {item.delivery for item in alice.sender.queue.waiting()} == {Delivery.ORDERED}
        alice.sender.resume()
        assert await seeds_of(frames, 3) == [3, 4, 5]


async def test_qos_low_gives_way(member: Member) -> None:
    config = changed(sender={"queue_size": 1})
    async with member("alice", config=config) as alice:
        alice.sender.pause()
        alice.pose.set_qos_level("low")
        assert await alice.send_pose(landmarks(), priority=5)
        assert await alice.send_audio(b"\0\0", priority=1), "it matters more now"
        assert not await alice.send_pose(landmarks(), priority=5)
        alice.pose.set_qos_level("medium")
        assert await alice.send_pose(landmarks(), priority=5)
        assert alice.sender.status().drops == {"queue_full": 3}
        with pytest.raises(ValueError, match="expected one of low, medium, high"):
            alice.pose.set_qos_level("extreme")
        assert alice.pose.get_send_config()["qos_level"] == "medium"
        alice.sender.resume()


async def test_time_offset_moves_capture_times(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        now = clock.now()
        alice.pose.set_time_offset(-1500)
        await alice.send_pose(landmarks(), timestamp=now)
        assert (await next_frame(frames)).timestamp == pytest.approx(now - 1.5, abs=0.1)
        await alice.send_pose(PoseData(landmarks(), timestamp=now - 10))
        assert (await next_frame(frames)).timestamp == pytest.approx(now - 11.5, abs=0.1)
        alice.pose.set_time_offset(0)
        await alice.send_pose(landmarks(), timestamp=now)
        assert (await next_frame(frames)).timestamp == pytest.approx(now, abs=0.1)
        with pytest.raises(InvalidDataError, match="time offset"):
            alice.pose.set_time_offset(float("nan"))
        assert alice.pose.get_send_config()["time_offset"] == 0


async def test_optimization_level_high_is_coarser(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        fine = await size_of(alice, FACE)
        await next_frame(frames)
        alice.pose.set_optimization_level("high")
        coarse = await size_of(alice, FACE)
        frame = await next_frame(frames)
        assert coarse < 0.9 * fine
        assert frame.pose is not None
        assert frame.pose.face_landmarks is not None
        error = np.abs(frame.pose.face_landmarks[:, 0] - POINTS[:, 0]).max()
        assert 2**-12 < error <= 2**-10, "two bits less than 1/2048"
        alice.pose.set_optimization_level("low")
        assert await size_of(alice, FACE) > coarse
        with pytest.raises(ValueError, match="expected one of none, low, high"):
            alice.pose.set_optimization_level("max")
        assert alice.pose.get_send_config()["optimization_level"] == "low"


async def test_optimization_level_none_keeps_full_quality(member: Member) -> None:
    async with member("alice") as alice:
        alice.sender.quality._ladder.level = 3
        assert alice.pose.is_degraded() is True
        assert alice.pose.current_quality_level == 3
        alice.pose.set_optimization_level("none")
        assert alice.pose.is_degraded() is False
        assert alice.pose.current_quality_level == 0


async def test_quality_levels(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        assert alice.pose.MAX_QUALITY_LEVEL == len(posewire.flow.LADDER) - 1 > 3
        assert (alice.pose.is_degraded(), alice.pose.current_quality_level) == (False, 0)
        alice.sender.quality._ladder.level = 4
        assert (alice.pose.is_degraded(), alice.pose.current_quality_level) == (True, 4)
        await alice.send_pose(FACE)
        frame = await next_frame(frames)
        assert frame.pose is not None
        assert frame.pose.face_landmarks is None, "the level is what is sent"


async def test_set_protocol_version(member: Member) -> None:
    async with member("alice") as alice:
        sizes = {}
        for version in ("v1", "v2", "v3"):
            alice.pose.set_protocol_version(version)
            sizes[version] = await size_of(alice, landmarks(5))
            assert alice.pose.get_send_config()["protocol_version"] == version
        assert sizes["v1"] > sizes["v2"] > sizes["v3"]
        with pytest.raises(ValueError, match="expected one of v1, v2, v3"):
            alice.pose.set_protocol_version("v4")
        assert alice.socket.protocol.version == "v3"


async def test_enable_compression(member: Member) -> None:
    config = changed(sender={"protocol_version": "v2"})
    flat = {"pose_landmarks": [[0.5, 0.5, 0.5, 1.0]] * 33, "face_landmarks": [[0.5, 0.5, 0.5, 1.0]] * 478}
    async with member("alice", config=config) as alice:
        small = await size_of(alice, flat)
        alice.pose.enable_compression(False)
        assert alice.pose.get_send_config()["compression_enabled"] is False
        assert await size_of(alice, flat) > 8000 > small
        alice.pose.enable_compression()
        assert await size_of(alice, flat) < 1000
        with pytest.raises(ConfigurationError, match="True or False"):
            alice.pose.enable_compression("no")  # type: ignore[arg-type]


async def test_set_bandwidth_limit(member: Member) -> None:
    async with member("alice") as alice:
        alice.pose.set_bandwidth_limit(50_000)
        assert alice.sender.status().bandwidth_limit == 50_000
        noise = np.random.default_rng(0).integers(-3000, 3000, 1000, dtype=np.int16)
        await alice.send_audio(noise)
        await alice.sender.flush()
        start, before = clock.monotonic(), alice.sender.bytes_sent
        for _ in range(5):
            await alice.send_audio(noise)
        await alice.sender.flush()
        sent, elapsed = alice.sender.bytes_sent - before, clock.monotonic() - start
        assert sent > 8000
        assert sent / elapsed < 1.5 * 50_000, "2,000 bytes may be owed, and a twentieth of a second saved up"
        for bad in (0, -5, "fast", True):
            with pytest.raises(InvalidDataError, match="bandwidth limit"):
                alice.pose.set_bandwidth_limit(bad)  # type: ignore[arg-type]
        assert alice.pose.get_send_config()["bandwidth_limit"] == 50_000
        alice.pose.set_bandwidth_limit(None)
        assert alice.sender.status().bandwidth_limit is None


async def test_get_network_conditions(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        for seed in range(10):
            await alice.send_pose(landmarks(seed))
            await next_frame(frames)
        await eventually(lambda: alice.pose.get_network_conditions()["round_trip"] > 0)
        conditions = alice.pose.get_network_conditions()
        assert conditions["connected"] == 1.0
        assert conditions["window"] > 0
        assert conditions["delivered_rate"] > 0
    assert alice.pose.get_network_conditions()["connected"] == 0.0


# All settings together ------------------------------------------------------------------------------------------------

EVERYTHING = {
    "sampling_rate": 0.5,
    "target_fps": 24.0,
    "compression_enabled": False,
    "bandwidth_limit": 123_456,
    "qos_level": "high",
    "optimization_level": "high",
    "recovery_strategy": "adaptive",
    "protocol_version": "v2",
    "time_offset": 12.5,
    "timeout": 3.0,
    "retry_count": 7,
    "retry_delay": 0.25,
    "retry_backoff": 1.5,
    "max_size": 17,
    "cleanup_threshold": 0.75,
    "cleanup_keep": 0.5,
}


async def test_set_send_config_and_get_send_config(member: Member) -> None:
    async with member("alice") as alice:
        defaults = alice.pose.get_send_config()
        assert defaults.keys() == EVERYTHING.keys()
        assert defaults == msgspec.to_builtins(posewire.SendSettings())
        assert not [name for name in EVERYTHING if defaults[name] == EVERYTHING[name]]
        alice.pose.set_send_config(**EVERYTHING)
        assert alice.pose.get_send_config() == EVERYTHING
        assert alice.pose.get_sampling_rate() == 0.5
        assert alice.pose.get_queue_capacity() == 17
        assert alice.socket.protocol.version == "v2"
        assert alice.socket.protocol.compression_threshold is None
        assert alice.sender.status().bandwidth_limit == 123_456
        alice.sender.set_bandwidth_limit(5000)
        assert alice.pose.get_send_config()["bandwidth_limit"] == 5000, "as it is in force, whoever set it"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("sampling_rate", 2, InvalidDataError),
        ("target_fps", 0, InvalidDataError),
        ("bandwidth_limit", -1, InvalidDataError),
        ("recovery_strategy", "hope", InvalidDataError),
        ("qos_level", "best", ValueError),
        ("optimization_level", 3, ValueError),
        ("protocol_version", "v0", ValueError),
        ("compression_enabled", 1, ConfigurationError),
        ("timeout", 0, ConfigurationError),
        ("retry_count", -1, ConfigurationError),
        ("retry_count", 1.5, ConfigurationError),
        ("retry_delay", float("inf"), ConfigurationError),
        ("retry_backoff", 0.5, ConfigurationError),
        ("colour", "red", ConfigurationError),
    ],
)
async def test_one_bad_setting_changes_none(member: Member, name: str, value: Any, error: type[Exception]) -> None:
    async with member("alice") as alice:
        before = alice.pose.get_send_config()
        with pytest.raises(error, match=name.replace("_", "[ _.]")):
            alice.pose.set_send_config(**{"retry_count": 9, "max_size": 9, name: value})
        assert alice.pose.get_send_config() == before


async def test_save_config_and_load_config(member: Member, tmp_path: Path) -> None:
    file = tmp_path / "send.json"
    async with member("alice") as alice:
        alice.pose.set_send_config(**EVERYTHING)
        await alice.pose.save_config(file)
    assert msgspec.json.decode(file.read_bytes()) == EVERYTHING
    assert os.listdir(tmp_path) == ["send.json"]
    async with member("bob") as bob:
        await bob.pose.load_config(str(file))
        assert bob.pose.get_send_config() == EVERYTHING
        assert bob.pose.get_queue_capacity() == 17
        file.write_bytes(msgspec.json.encode({"retry_count": 3, "qos_level": "best"}))
        with pytest.raises(ValueError, match="qos level"):
            await bob.pose.load_config(file)
        for text in ("[1]", "{", "\xff"):
            file.write_text(text)
            with pytest.raises(ConfigurationError, match=r"send\.json"):
                await bob.pose.load_config(file)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            await bob.pose.load_config(tmp_path / "none.json")
        with pytest.raises(ConfigurationError, match="cannot be written"):
            await bob.pose.save_config(tmp_path / "none" / "send.json")
        assert bob.pose.get_send_config() == EVERYTHING


# Lifetime -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cleanup", "aclose"])
async def test_cleanup(member: Member, end: str) -> None:
    async with member("alice") as alice:
        alice.pose.start_monitoring(0.01)
        await alice.send_pose(landmarks())
        await alice.sender.flush()
        alice.sender.pause()
        await alice.send_pose(landmarks())
        await alice.send_audio(b"\0\0")
        await getattr(alice.pose, end)()
        await getattr(alice.pose, end)()
        assert alice.sender.status().drops == {"cleared": 1}
        assert alice.pose.get_queue_size() == 1, "sound goes on"
        assert alice.pose.monitoring is False
        assert alice.pose.get_average_wait_time() == 0.0
        with pytest.raises(ConnectionError, match="the pose sender is closed"):
            await alice.send_pose(landmarks())
        alice.sender.resume()
        assert await alice.media.send_audio_frame(b"\0\0")


async def test_pause_and_resume(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames, events = bob.frames(), heard(alice, "drop")
        alice.sender.pause()
        for seed in range(3):
            assert await alice.send_pose(landmarks(seed))
        assert (alice.sender.status().sent, alice.pose.get_queue_size()) == (0, 1)
        alice.sender.resume()
        assert await seeds_of(frames, 1) == [2]
        await eventually(lambda: len(events) == 2)
