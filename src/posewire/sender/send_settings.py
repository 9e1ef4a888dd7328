"""The settings of a pose sender: checked, read and written as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from posewire.errors import ConfigurationError, InvalidDataError
from posewire.protocol import VERSIONS, Delivery
from posewire.sender.adaptation import RecoveryStrategy
from posewire.values import is_number, is_whole, path_of, plain, shown

MOST_BYTES: Final = 1e15
MOST_OFFSET_MS: Final = 3_600_000.0
_MOST_SECONDS: Final = 3600.0


class QosLevel(msgspec.Struct, frozen=True, kw_only=True):
    """What a level of service means for a pose."""

    priority: int
    """Added to the priority it is sent with."""
    delivery: Delivery
    """``LATEST``: a newer pose of the stream takes its place while it waits. ``ORDERED``: each one goes, in order."""
    retried: bool
    """Whether it is handed in again when it could not be sent."""


QOS_LEVELS: Final = {
    "low": QosLevel(priority=-5, delivery=Delivery.LATEST, retried=False),
    "medium": QosLevel(priority=0, delivery=Delivery.LATEST, retried=True),
    "high": QosLevel(priority=5, delivery=Delivery.ORDERED, retried=True),
}
OPTIMIZATION_LEVELS: Final = ("none", "low", "high")
RECOVERY_STRATEGIES: Final = get_args(RecoveryStrategy)


class SendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be set on a `PoseSender`; see its setters."""

    sampling_rate: float = 1.0
    target_fps: float | None = None
    compression_enabled: bool = True
    bandwidth_limit: float | None = None
    qos_level: str = "medium"
    optimization_level: str = "low"
    recovery_strategy: str = "gradual"
    protocol_version: str = "v3"
    time_offset: float = 0.0
    """Milliseconds."""
    timeout: float = 30.0
    """Seconds a pose may wait to be sent, those between attempts included."""
    retry_count: int = 3
    """How often a pose that could not be sent is handed in again."""
    retry_delay: float = 0.05
    """Seconds before the first of these."""
    retry_backoff: float = 2.0
    """Each later wait is so many times the one before."""
    max_size: int = 256
    """Frames that may wait in the queue."""
    cleanup_threshold: float = 1.0
    """Share of ``max_size``: when more wait, the lowest priorities are cleaned out."""
    cleanup_keep: float = 1.0
    """Share of ``max_size`` that is left then."""

    def retry_wait(self, attempt: int) -> float:
        """Return the seconds before the ``attempt``-th retry, counted from 0."""
        return min(self.retry_delay * self.retry_backoff ** min(attempt, 32), self.timeout)


QUEUE_KEYS: Final = ("max_size", "cleanup_threshold", "cleanup_keep")


def _check_bandwidth(limit: Any) -> None:
    if limit is not None and (not is_number(limit) or not 0 < limit <= MOST_BYTES):
        problem = f"expected more than 0, at most {MOST_BYTES:g} bytes a second"
        raise InvalidDataError(f"bandwidth limit {shown(limit)}: {problem}")


def _check_rate(rate: Any) -> None:
    if not is_number(rate) or not 0 <= rate <= 1:
        raise InvalidDataError(f"sampling rate {shown(rate)}: expected 0 to 1")


def _check_fps(fps: Any) -> None:
    if fps is not None and (not is_number(fps) or not 0 < fps <= 1000):
        raise InvalidDataError(f"target fps {shown(fps)}: expected more than 0, at most 1000")


def _check_recovery(strategy: Any) -> None:
    if not isinstance(strategy, str) or strategy not in RECOVERY_STRATEGIES:
        raise InvalidDataError(f"recovery strategy {shown(strategy)}: expected one of {', '.join(RECOVERY_STRATEGIES)}")


def _check_offset(milliseconds: Any) -> None:
    if not is_number(milliseconds) or abs(milliseconds) > MOST_OFFSET_MS:
        raise InvalidDataError(f"time offset {shown(milliseconds)}: expected milliseconds, an hour at most")


def _one_of(words: str, allowed: Mapping[str, Any] | tuple[str, ...]) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{words} {shown(value)}: expected one of {', '.join(allowed)}")

    return check


def _number(name: str, least: float, most: float, *, whole: bool = False) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not is_number(value) or not least <= value <= most or (whole and not is_whole(value)):
            kind = "a whole number from " if whole else ""
            raise ConfigurationError(f"send.{name}", value, f"expected {kind}{least:g} to {most:g}")

    return check


def _check_flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError("send.compression_enabled", value, "expected True or False")


_CHECKS: Final[dict[str, Callable[[Any], None]]] = {
    "sampling_rate": _check_rate,
    "target_fps": _check_fps,
    "compression_enabled": _check_flag,
    "bandwidth_limit": _check_bandwidth,
    "qos_level": _one_of("qos level", QOS_LEVELS),
    "optimization_level": _one_of("optimization level", OPTIMIZATION_LEVELS),
    "recovery_strategy": _check_recovery,
    "protocol_version": _one_of("protocol version", VERSIONS),
    "time_offset": _check_offset,
    "timeout": _number("timeout", 0.001, _MOST_SECONDS),
    "retry_count": _number("retry_count", 0, 1000, whole=True),
    "retry_delay": _number("retry_delay", 0, _MOST_SECONDS),
    "retry_backoff": _number("retry_backoff", 1, 100),
    "max_size": _number("max_size", 1, 100_000, whole=True),
    "cleanup_threshold": _number("cleanup_threshold", 0.001, 1),
    "cleanup_keep": _number("cleanup_keep", 0, 1),
}


def checked_settings(values: Mapping[str, Any], allowed: tuple[str, ...] = tuple(_CHECKS)) -> dict[str, Any]:
    """Return settings with plain numbers; when one of them is wrong, none, so that all or none can be made.

    Raises:
        InvalidDataError: Sampling rate, target fps, bandwidth limit, recovery strategy or time offset.
        ValueError: QoS level, optimization level or protocol version.
        ConfigurationError: Any other value, or an unknown name.
    """
    for name, value in values.items():
        if name not in allowed:
            raise ConfigurationError(f"send.{name}", value, f"unknown; allowed: {', '.join(allowed)}")
        _CHECKS[name](plain(value))
    return {name: plain(value) for name, value in values.items()}


def write_json(file: str | os.PathLike[str], data: Any, *, what: str) -> None:
    """Write ``data`` as JSON for people, whole or not at all. Blocks.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    path = _path(file, what)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(data)) + b"\n")
        part.replace(path)
    except OSError as exc:
        raise ConfigurationError(what, str(path), f"cannot be written: {exc.strerror}") from exc


def read_json(file: str | os.PathLike[str], *, what: str) -> dict[str, Any]:
    """Return the object in a JSON file. Blocks.

    Raises:
        ConfigurationError: It cannot be read, or holds something else.
    """
    path = _path(file, what)
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as exc:
        raise ConfigurationError(what, str(file), f"cannot be read: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigurationError(what, str(file), f"not valid JSON: {exc}") from exc
    if not isinstance(data, dict):
        raise ConfigurationError(what, str(file), f"expected an object, got {type(data).__name__}")
    return data


def _path(file: Any, what: str) -> Path:
    if (path := path_of(file)) is None:
        raise ConfigurationError(what, shown(file), "expected the name of a file")
    return path
