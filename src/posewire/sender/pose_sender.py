"""Poses on top of the pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

from posewire.errors import InvalidDataError, PosewireError, RoomError
from posewire.flow import SendOutcome
from posewire.monitor import PerformanceMonitor
from posewire.protocol import to_pose_data
from posewire.rooms import RoomManager
from posewire.sender.unified_sender import UnifiedSender
from posewire.sockets import SocketManager


class PoseSender:
    """Sends poses, thinned to a sampling rate, in a chosen version.

    Args:
        socket: The connection.
        rooms: Where `join_room` and `leave_room` go.
        sender: The pipeline.
        monitor: Figures.
    """

    def __init__(
        self, socket: SocketManager, rooms: RoomManager, sender: UnifiedSender, monitor: PerformanceMonitor
    ) -> None:
        self._socket = socket
        self._rooms = rooms
        self._sender = sender
        self._monitor = monitor
        self._sampling_rate = 1.0
        self._due = 1.0

    async def send(
        self, pose: Any, stream: str = "pose", timestamp: float | None = None, priority: int = 5
    ) -> SendOutcome:
        """Hand a pose in; see `UnifiedSender.send`. ``DROPPED``, counted as ``sampled``, between samples."""
        if self._sampling_rate < 1.0:
            # Accumulated, so that a rate of 0.3 sends three of ten frames evenly.
            self._due += self._sampling_rate
            if self._due < 1.0:
                to_pose_data(pose)
                self._sender.drops["sampled"] += 1
                await asyncio.sleep(0)
                return SendOutcome.DROPPED
            self._due -= 1.0
        return await self._sender.send("pose", pose, priority, stream=stream, timestamp=timestamp)

    async def send_pose_data(self, pose_data: Any, room_id: str | None = None, priority: int = 5) -> bool:
        """Hand a pose in for the room we are in; True when it was taken.

        Raises:
            RoomError: ``room_id`` is another room.
            DataValidationError: It is no pose.
        """
        if room_id is not None and room_id != self._socket.room_id:
            raise RoomError(room_id, f"not in this room; we are in {self._socket.room_id or 'none'}")
        return bool(await self.send(pose_data, priority=priority))

    def validate_data(self, data: Any) -> bool:
        """Return whether `send` would take ``data``."""
        try:
            to_pose_data(data)
        except PosewireError:
            return False
        return True

    async def join_room(self, room: str) -> bool:
        """Enter a room; see `RoomManager.join_room`."""
        return await self._rooms.join_room(room)

    async def leave_room(self, room: str) -> bool:
        """Leave a room; see `RoomManager.leave_room`."""
        return await self._rooms.leave_room(room)

    def is_connected(self) -> bool:
        """Return whether poses can go out now."""
        return self._socket.connected

    def set_sampling_rate(self, rate: float) -> None:
        """Send this share of the poses, 0 (none) to 1 (all), evenly spread.

        Raises:
            InvalidDataError: Outside 0..1; the old rate stays.
        """
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise InvalidDataError(f"sampling rate {rate!r}: expected 0 to 1")
        self._sampling_rate = float(rate)
        # The next frame is due at once, unless nothing is to go.
        self._due = 1.0 - self._sampling_rate if rate else 0.0

    def get_sampling_rate(self) -> float:
        """Return the share of poses that is sent."""
        return self._sampling_rate

    def set_time_offset(self, ms: float) -> None:
        """Send poses as captured so many milliseconds later than their timestamps say; see `Intake.set_time_offset`.

        Raises:
            InvalidDataError: Not a number, or over an hour; the old offset stays.
        """
        self._sender.intake.set_time_offset(ms)

    def set_protocol_version(self, version: str) -> None:
        """Write poses as ``v1``, ``v2`` or ``v3`` from the next one on.

        Raises:
            ValueError: There is no such version; the old one stays.
        """
        self._socket.protocol.set_version(version)

    def enable_compression(self, enabled: bool = True) -> None:
        """Compress bodies of v1 and v2 over the threshold of the settings, or none."""
        self._socket.protocol.compression_threshold = (
            self._socket.config.sender.compression_threshold if enabled else None
        )

    def set_bandwidth_limit(self, limit: float | None) -> None:
        """Limit bytes a second; see `UnifiedSender.set_bandwidth_limit`."""
        self._sender.set_bandwidth_limit(limit)

    def get_queue_size(self) -> int:
        """Return how many frames wait."""
        return self._sender.status().waiting

    def get_queue_capacity(self) -> int:
        """Return how many frames may wait."""
        return self._sender.status().capacity

    def get_stats(self) -> dict[str, float]:
        """Return the monitor's figures by name."""
        return self._monitor.get_stats()
