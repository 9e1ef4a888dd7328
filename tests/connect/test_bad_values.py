"""What is wrong is refused with an error that says what and why, and changes nothing; NumPy's numbers are numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import ErrorRecoveryChain, PerformanceMonitor, PosewireError, Session
from posewire.monitor import AlertManager
from posewire.recording import load_recording
from posewire.sources import WavFile
from tests.connect.conftest import Member, landmarks

NAN = float("nan")
POSE = landmarks()
SOUND = np.zeros(480, np.int16)

WRONG: dict[str, tuple[Callable[[Session, Any], Any], list[Any]]] = {
    "keep": (lambda s, v: s.pose.clean_queue(v), ["x", NAN, -1, True, 1.5]),
    "thresholds": (lambda s, v: s.pose.set_performance_thresholds(v), [5, None, "x", [1]]),
    "thresholds ": (lambda s, v: s.alerts.set_thresholds(v), [5, None, "x", [("max_age", 1)]]),
    "thresholds  ": (lambda s, v: s.alerts.replace_thresholds(v), [5, None, "x", []]),
    "latency": (lambda s, v: s.monitor.update(True, v), ["x", None, NAN, -1, -0.5, True, 10**400]),
    "window_size": (lambda _, v: PerformanceMonitor(v), ["x", None, NAN, 1, 2.5, 10**400, True]),
    "cooldown": (lambda _, v: AlertManager(cooldown=v), ["x", None, NAN, -1, True]),
    "samples": (lambda _, v: AlertManager(samples=v), ["x", None, NAN, 0, 1.5, True]),
    "max_retries": (lambda _, v: ErrorRecoveryChain(v), ["x", None, NAN, 0, 1.5, True]),
    "error_type": (lambda s, v: s.recovery.add_strategy(v, lambda _: True), ["x", None, 5, int]),
    "recovery_func": (lambda s, v: s.recovery.add_strategy(ValueError, v), ["x", None, 5]),
    "event": (lambda s, v: s.on(v, lambda _: None), [[], None, 5, b"x"]),
    "priority": (lambda s, v: s.send_pose(POSE, priority=v), ["x", None, 1.5, True, NAN]),
    "timestamp": (lambda s, v: s.send_pose(POSE, timestamp=v), ["x", NAN, -1, True, 1e13]),
    "timestamp ": (lambda s, v: s.send_audio(SOUND, timestamp=v), ["x", NAN, -1, True, 1e13]),
    "settings file": (lambda s, v: s.pose.save_config(v), [5, None, "", b"x", "a\0b"]),
    "settings file ": (lambda s, v: s.pose.load_config(v), [5, None, "", b"x", "a\0b"]),
    "performance data": (lambda s, v: s.save_performance_data(v), [5, None, "", b"x", "a\0b"]),
    "performance data ": (lambda s, v: s.pose.load_performance_data(v), [5, None, "", b"x", "a\0b"]),
    "config file": (lambda _, v: posewire.load_config(v), [5, b"x", "a\0b"]),
    "recording": (lambda _, v: load_recording(v), [5, None, "", b"x", "a\0b"]),
    "wav": (lambda _, v: WavFile(v), [5, None, "", b"x", "a\0b"]),
    "data": (lambda s, v: s.socket.protocol.decompress_data(v), ["x", 5, None, np.int64(5), np.array([1, 2])]),
    "user_id": (lambda s, v: s.frames(user_id=v), [NAN, 5, b"x", []]),
    "stream": (lambda s, v: s.frames(stream=v), [NAN, 5, b"x", []]),
    "playout": (lambda s, v: s.frames(playout=v), [NAN, 5, b"x", [], "slow"]),
}
"""Name of the field, how it is given, what it may not be."""


def kept(session: Session) -> Any:
    return (
        session.pose.get_send_config(),
        session.alerts.get_thresholds(),
        session.monitor.get_stats()["sent"],
        len(session.recovery.recovery_strategies),
    )


@pytest.mark.parametrize("field", WRONG)
async def test_what_is_wrong_is_named_and_changes_nothing(member: Member, field: str) -> None:
    give, values = WRONG[field]
    async with member("alice") as alice:
        alice.pose.set_sampling_rate(0.5)  # what is left out is checked all the same
        before = kept(alice)
        for value in values:
            with pytest.raises((PosewireError, ValueError), match=f"{field.strip()}.*(expected|allowed)") as caught:
                made = give(alice, value)
                if inspect.isawaitable(made):
                    await made
            shown = repr(value)[:20]
            assert shown in str(caught.value) or str(value) in str(caught.value), "it says what it was given"
            assert kept(alice) == before


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, int])
async def test_numbers_of_numpy_are_numbers(member: Member, tmp_path: Path, kind: type[Any]) -> None:
    one, file = kind(1), tmp_path / "settings.json"
    async with member("alice") as alice:
        alice.pose.set_sampling_rate(one)
        alice.pose.set_target_fps(kind(30))
        alice.pose.set_bandwidth_limit(kind(1e6))
        alice.pose.set_time_offset(kind(20))
        alice.pose.set_send_config(timeout=kind(2), cleanup_threshold=one)
        alice.media.set_target_fps(kind(60))
        alice.media.set_audio_delay(kind(20))
        alice.alerts.set_thresholds({"max_latency": one})
        alice.monitor.set_target_fps(kind(30))
        alice.monitor.update(True, one)
        assert alice.pose.start_monitoring(one) is None  # type: ignore[func-returns-value]
        alice.pose.stop_monitoring()
        assert await alice.send_pose(POSE, timestamp=kind(1_700_000_000))
        assert await alice.send_audio(posewire.AudioChunk(SOUND, 48_000, kind(1_700_000_000)))
        alice.frames(playout="smooth", fps=kind(30), delay=one, smoothing=posewire.OneEuro(beta=one))
        await alice.pose.save_config(file)
        await alice.save_performance_data(tmp_path / "run.json")
        assert posewire.load_performance_data(tmp_path / "run.json").to_dict()
        settings = msgspec.json.decode(file.read_bytes())
        assert (settings["target_fps"], settings["time_offset"], settings["timeout"]) == (30, 20, 2)
        assert {type(value) for value in alice.pose.get_send_config().values()} <= {int, float, bool, str}


async def test_whole_numbers_of_numpy_are_whole(member: Member) -> None:
    whole: Callable[[int], Any] = np.int64
    async with member("alice") as alice:
        alice.pose.set_queue_config(max_size=whole(50))
        alice.socket.set_compression_threshold(whole(99))
        assert alice.pose.clean_queue(whole(0)) == 0
        assert await alice.send_pose(POSE, priority=whole(7))
        assert type(alice.pose.get_queue_capacity()) is int
        assert type(alice.socket.compression_threshold) is int
    assert type(posewire.AudioChunk(SOUND, whole(8000)).sample_rate) is int
    assert type(posewire.MonitorConfig(window_size=whole(5)).window_size) is int
