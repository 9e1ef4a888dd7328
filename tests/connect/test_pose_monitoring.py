"""What a pose sender tells of itself, and what it does about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import posewire
from posewire import ConfigurationError, InvalidDataError
from tests.connect.conftest import Member, changed, eventually, heard, landmarks
from tests.connect.test_pose_sender import fail_to_open

NEVER: dict[str, float | None] = {
    "min_fps": None,
    "max_latency": 100.0,
    "max_cpu_usage": None,
    "max_memory_growth": None,
    **dict.fromkeys(("max_age", "max_remote_age", "max_memory_usage", "max_error_rate", "max_failures")),
    **dict.fromkeys(("max_queue_usage", "max_loop_lag")),
}
"""Thresholds that the slowest machine does not pass."""


async def send_while(session: posewire.Session, condition: Any) -> None:
    """Hand poses in, two hundred a second, for as long as ``condition()`` holds."""
    async with asyncio.timeout(20):
        seed = 0
        while condition():
            seed += 1
            await session.send_pose(landmarks(seed % 10))
            await asyncio.sleep(0.005)


async def throttled(alice: posewire.Session) -> None:
    """Send on a link that takes a tenth of it, until a share is taken off."""
    alice.pose.set_performance_thresholds({"max_latency": 100.0})
    alice.pose.set_bandwidth_limit(2000)
    alice.pose.start_monitoring(0.02)
    await send_while(alice, lambda: alice.pose.get_sampling_rate() > 0.4)


async def test_monitoring_takes_poses_off_when_too_few_leave_and_gives_them_back(member: Member) -> None:
    async with member("alice") as alice:
        told = heard(alice, "quality")
        await throttled(alice)
        assert alice.pose.is_degraded() is True
        assert alice.pose.get_stats()["degraded"] == 1.0
        assert alice.pose.get_stats()["sampling_rate"] == alice.pose.get_sampling_rate()
        assert told[0].data["degraded"] is True
        assert "poses a second left" in told[0].data["reason"]
        assert alice.sender.status().drops["sampled"] > 0
        alice.pose.set_recovery_strategy("immediate")
        alice.pose.set_bandwidth_limit(None)
        await send_while(alice, alice.pose.is_degraded)
        assert alice.pose.get_sampling_rate() == 1.0
        await eventually(lambda: told[-1].data["degraded"] is False)


async def test_stop_monitoring_gives_back_what_was_taken_off(member: Member) -> None:
    async with member("alice") as alice:
        alice.pose.set_sampling_rate(0.8)
        await throttled(alice)
        assert alice.pose.monitoring is True
        alice.pose.stop_monitoring()
        alice.pose.stop_monitoring()
        assert alice.pose.monitoring is False
        assert alice.pose.get_sampling_rate() == 0.8
        assert alice.pose.is_degraded() is False
        counted = alice.monitor.total
        for seed in range(20):
            await alice.send_pose(landmarks(seed))
            await asyncio.sleep(0.002)
        assert alice.pose.get_sampling_rate() == 0.8
        assert alice.monitor.total == counted, "nothing is counted meanwhile"
        alice.pose.start_monitoring(0.02)
        await send_while(alice, lambda: alice.pose.get_sampling_rate() == 0.8)


async def test_without_optimization_nothing_is_taken_off(member: Member) -> None:
    async with member("alice") as alice:
        alice.pose.set_optimization_level("none")
        alice.pose.set_bandwidth_limit(2000)
        alice.pose.start_monitoring(0.01)
        looks = alice.pose._looked[0]
        sent = 0
        while sent < 60:
            sent += 1
            await alice.send_pose(landmarks(sent))
            await asyncio.sleep(0.005)
        assert looks == alice.pose._looked[0]
        assert alice.pose.get_sampling_rate() == 1.0


async def test_optimization_none_gives_back_what_was_taken_off(member: Member) -> None:
    async with member("alice") as alice:
        await throttled(alice)
        alice.pose.set_optimization_level("none")
        assert alice.pose.get_sampling_rate() == 1.0
        assert alice.pose.is_degraded() is False


async def test_set_recovery_strategy(member: Member) -> None:
    async with member("alice") as alice:
        for strategy in ("immediate", "gradual", "adaptive"):
            alice.pose.set_recovery_strategy(strategy)
            assert alice.pose.get_send_config()["recovery_strategy"] == strategy
        with pytest.raises(InvalidDataError, match="expected one of immediate, gradual, adaptive"):
            alice.pose.set_recovery_strategy("hope")
        assert alice.pose.get_send_config()["recovery_strategy"] == "adaptive"
        # Twice as much after each step, where "gradual" would give a tenth.
        await throttled(alice)
        low = alice.pose.get_sampling_rate()
        alice.pose.set_bandwidth_limit(None)
        await send_while(alice, lambda: alice.pose.get_sampling_rate() <= low)
        assert alice.pose.get_sampling_rate() == pytest.approx(min(1.0, 2 * low))


@pytest.mark.parametrize("interval", [0, -1, 61, "often", None, True])
async def test_a_bad_interval(member: Member, interval: Any) -> None:
    async with member("alice") as alice:
        with pytest.raises(ConfigurationError, match="interval"):
            alice.pose.start_monitoring(interval)
        assert alice.pose.monitoring is False


# Alerts ---------------------------------------------------------------------------------------------------------------


async def test_check_performance_tells_the_callback(member: Member) -> None:
    told: list[tuple[str, str]] = []
    # The sampler of the session must not do it instead.
    async with member("alice", config=changed(monitor={"sample_interval": 3_600_000})) as alice:
        alice.pose.set_alert_callback(lambda name, message: told.append((name, message)))
        alice.pose.set_alert_thresholds(**NEVER)
        await alice.send_pose(landmarks())
        await alice.sender.flush()
        for _ in range(3):
            alice.pose.check_performance()
        await asyncio.sleep(0.01)
        assert told == []
        alice.pose.set_performance_thresholds({"max_latency": 0.0})
        for _ in range(3):
            alice.pose.check_performance()
        await eventually(lambda: bool(told))
        assert [name for name, _ in told] == ["latency"]
        assert "over its threshold" in told[0][1]
        with pytest.raises(posewire.DataValidationError, match="callback"):
            alice.pose.set_alert_callback("call me")  # type: ignore[arg-type]
        alice.pose.set_performance_thresholds({"max_latency": 100.0})
        alice.pose.check_performance()
        await eventually(lambda: len(told) == 2)
        assert "back within" in told[1][1]
        alice.pose.set_alert_callback(None)


async def test_an_async_callback_hears_of_failures_while_monitored(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def callback(name: str, message: str) -> None:
        await asyncio.sleep(0)
        told.append(name)

    async with member("alice") as alice:
        alice.pose.set_alert_thresholds(**{**NEVER, "max_failures": 2})
        alice.pose.set_alert_callback(callback)
        alice.pose.set_send_config(retry_count=0)
        fail_to_open(alice, monkeypatch, 10**6)
        alice.pose.start_monitoring(0.01)
        await send_while(alice, lambda: "failures" not in told)


async def test_thresholds(member: Member) -> None:
    async with member("alice") as alice:
        defaults = alice.pose.get_performance_thresholds()
        assert defaults["max_latency"] == 0.05
        alice.pose.set_performance_thresholds({"max_latency": 0.2, "min_fps": 24})
        assert alice.pose.get_performance_thresholds() == {**defaults, "max_latency": 0.2, "min_fps": 24.0}
        alice.pose.set_alert_thresholds(min_fps=10, max_latency=1.0, max_cpu_usage=None, max_memory_growth=50)
        changed = {"min_fps": 10.0, "max_latency": 1.0, "max_cpu_usage": None, "max_memory_growth": 50.0}
        assert alice.pose.get_performance_thresholds() == {**defaults, **changed}
        with pytest.raises(ConfigurationError, match="missing"):
            alice.pose.set_alert_thresholds(min_fps=1)
        for bad in ({"max_latency": "long"}, {"max_latency": -1}, {"colour": 1}):
            with pytest.raises(ConfigurationError, match="thresholds"):
                alice.pose.set_performance_thresholds(bad)  # type: ignore[arg-type]
        assert alice.pose.get_performance_thresholds() == {**defaults, **changed}
        alice.pose.reset_performance_thresholds()
        assert alice.pose.get_performance_thresholds() == defaults


# Figures --------------------------------------------------------------------------------------------------------------


async def test_stats(member: Member) -> None:
    config = changed(monitor={"sample_interval": 5})
    async with member("alice", config=config) as alice:
        assert alice.pose.get_history_stats()["avg_fps"] == 0.0
        for seed in range(10):
            await alice.send_pose(landmarks(seed))
            await alice.sender.flush()
        stats = alice.pose.get_stats()
        assert (stats["sent"], stats["failed"], stats["queue_size"]) == (10.0, 0.0, 0.0)
        assert stats["current_fps"] > 0
        assert stats["current_latency"] == stats["latency"] > 0
        assert (stats["sampling_rate"], stats["quality_level"], stats["degraded"]) == (1.0, 0.0, 0.0)
        await eventually(lambda: alice.pose.get_real_time_stats()["memory_usage"] > 10)
        now = alice.pose.get_real_time_stats()
        assert now.keys() == {"fps", "latency", "cpu_usage", "memory_usage"}
        assert now["fps"] > 0
        assert now["latency"] > 0
        await eventually(lambda: alice.pose.get_history_stats()["avg_fps"] > 0)
        history = alice.pose.get_history_stats()
        assert 0 < history["min_latency"] <= history["avg_latency"] <= history["max_latency"]
        assert history["success_rate"] == 1.0


async def test_generate_performance_report_and_its_file(member: Member, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    async with member("alice") as alice:
        alice.pose.set_performance_thresholds(NEVER)
        for seed in range(10):
            await alice.send_pose(landmarks(seed))
            await alice.sender.flush()
        report = alice.pose.generate_performance_report()
        assert report["reliability"]["sent"] == 10
        assert report["reliability"]["success_rate"] == 1.0
        assert 0 < report["latency"]["avg"] <= report["latency"]["max"]
        assert report["resource_usage"].keys() >= {"cpu", "memory"}
        assert (report["user_id"], report["room"]) == ("alice", "studio")
        assert report["real_time"]["fps"] > 0
        assert report["history"].keys() >= {"avg_fps", "max_latency", "min_latency", "avg_latency", "success_rate"}
        assert not [line for line in report["recommendations"] if "compression" in line]
        alice.pose.set_performance_thresholds({"max_latency": 1e-9})
        told = alice.pose.generate_performance_report()["recommendations"]
        assert [line for line in told if "Consider enabling compression" in line]
        await alice.pose.save_performance_data(file)
        assert msgspec.json.decode(file.read_bytes())["reliability"]["sent"] == 10
        loaded = await alice.pose.load_performance_data(str(file))
        assert loaded["latency"] == alice.pose.generate_performance_report()["latency"]
        assert loaded["recommendations"] == told
        file.write_text("{}")
        with pytest.raises(posewire.MonitoringError, match=r"run\.json"):
            await alice.pose.load_performance_data(file)
        with pytest.raises(posewire.MonitoringError, match="cannot be written"):
            await alice.pose.save_performance_data(tmp_path / "none" / "run.json")


async def test_recommendations_know_the_target(member: Member) -> None:
    config = changed(monitor={"sample_interval": 5})
    async with member("alice", config=config) as alice:
        alice.pose.set_target_fps(1000)
        async with asyncio.timeout(10):
            while not [
                line
                for line in alice.pose.generate_performance_report()["recommendations"]
                if "Consider reducing target FPS" in line
            ]:
                await alice.send_pose(landmarks())
                await asyncio.sleep(0.005)
