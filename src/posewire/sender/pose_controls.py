"""What can be set on a pose sender, while it sends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

import msgspec

from posewire import clock
from posewire.errors import InvalidDataError
from posewire.sender.adaptation import Adaptation
from posewire.sender.send_settings import (
    QOS_LEVELS,
    QUEUE_KEYS,
    SendSettings,
    checked_settings,
    read_json,
    write_json,
)
from posewire.sender.thinning import Thinning
from posewire.sender.unified_sender import MAX_QUALITY_LEVEL, UnifiedSender
from posewire.sockets import SocketManager
from posewire.values import is_whole, plain, shown

_COARSER: Final = 2
"""Bits that optimization level ``high`` takes from z and the face."""


class PoseControls:
    """The setters of a `PoseSender`. Each takes effect on the next pose; with a bad value the old one stays.

    Args:
        socket: The connection.
        sender: The pipeline.
    """

    def __init__(self, socket: SocketManager, sender: UnifiedSender) -> None:
        self._socket = socket
        self._sender = sender
        self._thinning = Thinning()
        self._adaptation = Adaptation()
        self._kept = SendSettings()
        """The settings that nobody else keeps."""
        self._qos = QOS_LEVELS[self._kept.qos_level]

    # How many poses --------------------------------------------------------------------------------------------------

    def set_sampling_rate(self, rate: float) -> None:
        """Send this share of the poses, 0 (none) to 1 (all), evenly spread over each stream.

        Raises:
            InvalidDataError: Outside 0..1.
        """
        self.set_send_config(sampling_rate=rate)

    def get_sampling_rate(self) -> float:
        """Return the share of poses that is sent now: what was set, less what monitoring took off."""
        return self._thinning.rate

    def set_target_fps(self, fps: float | None) -> None:
        """Send at most so many poses of a stream a second, by capture time; None for all.

        Monitoring sends a smaller share of the poses when fewer than 80 % of this leave.

        Raises:
            InvalidDataError: Not a number over 0.
        """
        self.set_send_config(target_fps=fps)

    def set_recovery_strategy(self, strategy: str) -> None:
        """Say how the sampling rate comes back: ``immediate``, ``gradual`` or ``adaptive``; see `Adaptation`.

        Raises:
            InvalidDataError: No such strategy.
        """
        self.set_send_config(recovery_strategy=strategy)

    # How big, how fast, how sure -------------------------------------------------------------------------------------

    def enable_compression(self, enabled: bool = True) -> None:
        """Compress bodies of v1 and v2 over the threshold, or none; see `SocketManager.enable_compression`."""
        self.set_send_config(compression_enabled=enabled)

    def set_bandwidth_limit(self, limit: float | None) -> None:
        """Limit bytes a second; see `UnifiedSender.set_bandwidth_limit`.

        Raises:
            InvalidDataError: Not a number over 0.
        """
        self.set_send_config(bandwidth_limit=limit)

    def set_qos_level(self, level: str) -> None:
        """Say what a pose is worth while it waits.

        ``low``: gives way to what has a higher priority, and is not tried again. ``medium``: the newest of a stream
        replaces an older one. ``high``: each pose is sent, in order, before others of its priority.

        Raises:
            ValueError: No such level.
        """
        self.set_send_config(qos_level=level)

    def set_optimization_level(self, level: str) -> None:
        """Say how much quality may be given up for the link.

        ``none``: none, whatever the link does; frames are dropped instead. ``low``: the quality ladder and, while
        monitoring, the sampling rate follow the link. ``high``: the same, and z and the face are always coarser (v3).

        Raises:
            ValueError: No such level.
        """
        self.set_send_config(optimization_level=level)

    def set_protocol_version(self, version: str) -> None:
        """Write poses as ``v1``, ``v2`` or ``v3`` from the next one on.

        Raises:
            ValueError: There is no such version.
        """
        self.set_send_config(protocol_version=version)

    def set_time_offset(self, offset: float) -> None:
        """Send poses as captured so many milliseconds later than their timestamps say; see `Intake.set_time_offset`.

        Raises:
            InvalidDataError: Not a number, or over an hour.
        """
        self.set_send_config(time_offset=offset)

    @property
    def timeout(self) -> float:
        """Seconds that a pose may wait to be sent; then it is dropped as ``expired``. See `set_send_config`."""
        return self._kept.timeout

    @property
    def retry_count(self) -> int:
        """How often a pose that could not be sent is handed in again. See `set_send_config`."""
        return self._kept.retry_count

    @property
    def retry_delay(self) -> float:
        """Seconds before the first of these attempts; ``retry_backoff`` times as long before each next one."""
        return self._kept.retry_delay

    # The queue -------------------------------------------------------------------------------------------------------

    def set_queue_config(self, **config: Any) -> None:
        """Change ``max_size`` (frames), ``cleanup_threshold`` and ``cleanup_keep`` (shares of it), all or none.

        When more than the threshold wait, those of the lowest priority go, of these the oldest, until ``cleanup_keep``
        is left. Events are never dropped for others.

        Raises:
            ConfigurationError: An unknown name, or a value out of range.
        """
        self.set_send_config(**checked_settings(config, QUEUE_KEYS))

    def clean_queue(self, keep: int | None = None) -> int:
        """Drop the frames of the lowest priority until ``keep`` wait, by default the share ``cleanup_keep``.

        Returns:
            How many went; they are counted as ``queue_full``.

        Raises:
            InvalidDataError: No whole number from 0; nothing goes.
        """
        queue, keep = self._sender.queue, plain(keep)
        if keep is None:
            return queue.keep_best(int(queue.clean_up_shares[1] * queue.capacity))
        if not is_whole(keep) or keep < 0:
            raise InvalidDataError(f"keep {shown(keep)}: expected a whole number of frames from 0")
        return queue.keep_best(keep)

    def get_queue_size(self) -> int:
        """Return how many frames wait."""
        return len(self._sender.queue)

    def get_queue_capacity(self) -> int:
        """Return how many frames may wait."""
        return self._sender.queue.capacity

    def get_average_wait_time(self) -> float:
        """Return the mean of the seconds that the last 100 frames waited in the queue; 0 before the first."""
        waits = self._sender.waits
        return sum(waits) / len(waits) if waits else 0.0

    def get_queue_status(self) -> dict[str, Any]:
        """Return how full the queue is, and for how long frames wait in it.

        ``size``, ``capacity`` and ``threshold`` in frames, ``utilization`` 0..1, ``average_wait_time`` and
        ``longest_wait`` in seconds, ``priorities`` (how many frames wait of each), ``drops`` by reason.
        """
        queue, now = self._sender.queue, clock.monotonic()
        waiting = queue.waiting()
        priorities = [item.priority for item in waiting]
        return {
            "size": len(queue),
            "capacity": queue.capacity,
            "threshold": queue.threshold,
            "utilization": len(queue) / queue.capacity,
            "average_wait_time": self.get_average_wait_time(),
            "longest_wait": max((now - item.queued for item in waiting), default=0.0),
            "priorities": {priority: priorities.count(priority) for priority in dict.fromkeys(priorities)},
            "drops": {reason: count for reason, count in queue.drops.items() if count},
        }

    # Quality ---------------------------------------------------------------------------------------------------------

    def is_degraded(self) -> bool:
        """Return whether less than everything is sent: a step of the quality ladder, or a share taken off."""
        return self._sender.is_degraded or self._adaptation.degraded

    @property
    def current_quality_level(self) -> int:
        """The step of the quality ladder: 0 is full quality, `MAX_QUALITY_LEVEL` the least."""
        return self._sender.current_quality_level

    @property
    def MAX_QUALITY_LEVEL(self) -> int:  # noqa: N802  # the specification's name
        """The last step of the quality ladder."""
        return MAX_QUALITY_LEVEL

    def get_network_conditions(self) -> dict[str, float]:
        """Return what is known of the link.

        ``connected`` (1 or 0), ``round_trip`` and ``queueing`` in seconds, ``delivered_rate`` in bytes a second,
        ``in_flight`` and ``window`` in bytes, ``receivers`` and ``receivers_behind``.
        """
        status = self._sender.status()
        names = ("round_trip", "queueing", "delivered_rate", "in_flight", "window", "receivers", "receivers_behind")
        return {"connected": float(self._socket.connected), **{name: float(getattr(status, name)) for name in names}}

    # All of it -------------------------------------------------------------------------------------------------------

    def get_send_config(self) -> dict[str, Any]:
        """Return every setting by name, as it is in force now; `set_send_config` takes the same."""
        return msgspec.to_builtins(self._settings())  # type: ignore[no-any-return]

    def set_send_config(self, **config: Any) -> None:
        """Change settings, all or none of those named; `SendSettings` lists them.

        Raises:
            InvalidDataError: Sampling rate, target fps, bandwidth limit, recovery strategy or time offset.
            ValueError: QoS level, optimization level or protocol version.
            ConfigurationError: Another value, or an unknown name.
        """
        config = checked_settings(config)
        before = self._settings()
        self._kept = msgspec.structs.replace(before, **config)
        for name, value in config.items():
            if (apply := self._appliers().get(name)) is not None:
                apply(value)
        if not config.keys().isdisjoint(QUEUE_KEYS):
            self._shape_queue(self._kept)

    async def save_config(self, filename: str | os.PathLike[str]) -> None:
        """Write every setting to a JSON file, whole or not at all. Cancelling may still write it.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        await asyncio.to_thread(write_json, filename, self._settings(), what="settings file")

    async def load_config(self, filename: str | os.PathLike[str]) -> None:
        """Make the settings in a JSON file, all or none of them.

        Raises:
            ConfigurationError: The file cannot be read, or holds something else.
            PosewireError: As `set_send_config`.
        """
        self.set_send_config(**await asyncio.to_thread(read_json, filename, what="settings file"))

    # Inside ----------------------------------------------------------------------------------------------------------

    def _settings(self) -> SendSettings:
        protocol, queue = self._socket.protocol, self._sender.queue
        threshold, keep = queue.clean_up_shares
        return msgspec.structs.replace(
            self._kept,
            compression_enabled=protocol.compression_threshold is not None,
            bandwidth_limit=self._sender.status().bandwidth_limit,
            protocol_version=protocol.version,
            max_size=queue.capacity,
            cleanup_threshold=threshold,
            cleanup_keep=keep,
        )

    def _appliers(self) -> dict[str, Callable[[Any], None]]:
        return {
            "sampling_rate": lambda _: self._sample(),
            "target_fps": self._aim,
            "compression_enabled": self._socket.enable_compression,
            "bandwidth_limit": self._sender.set_bandwidth_limit,
            "qos_level": self._set_qos,
            "time_offset": self._sender.intake.set_time_offset,
            "optimization_level": self._optimise,
            "recovery_strategy": self._recover,
            "protocol_version": self._socket.protocol.set_version,
        }

    def _sample(self) -> None:
        """Let through what was set, less what the adaptation takes off."""
        self._thinning.set_rate(self._kept.sampling_rate * self._adaptation.share)

    def _aim(self, fps: float | None) -> None:
        self._thinning.set_fps(fps)

    def _set_qos(self, level: str) -> None:
        self._qos = QOS_LEVELS[level]

    def _optimise(self, level: str) -> None:
        self._sender.quality.optimise(adaptive=level != "none", coarser=_COARSER if level == "high" else 0)
        if level == "none" and self._adaptation.degraded:
            self._adaptation.reset()
            self._sample()

    def _recover(self, strategy: Any) -> None:
        self._adaptation.strategy = strategy

    def _shape_queue(self, settings: SendSettings) -> None:
        queue = self._sender.queue
        queue.resize(settings.max_size)
        queue.clean_up_at(settings.cleanup_threshold, settings.cleanup_keep)
