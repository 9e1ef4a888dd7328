"""Poses on top of the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from posewire import clock
from posewire.errors import ConnectionError, PosewireError, RoomError
from posewire.flow import SendOutcome
from posewire.monitor import PerformanceMonitor
from posewire.protocol import Kind, to_pose_data
from posewire.rooms import RoomManager
from posewire.sender.intake import checked_priority, checked_time
from posewire.sender.pose_figures import PoseFigures
from posewire.sender.retries import Retries
from posewire.sender.unified_sender import UnifiedSender
from posewire.sockets import SocketManager


class PoseSender(PoseFigures):
    """Sends poses: as many, as fine and as urgently as was set, and tells how it goes.

    Its setters are those of `PoseControls`, its figures those of `PoseFigures`. A session runs `run`.

    Args:
        socket: The connection.
        rooms: Where `join_room` and `leave_room` go.
        sender: The pipeline.
        monitor: Figures.
    """

    def __init__(
        self, socket: SocketManager, rooms: RoomManager, sender: UnifiedSender, monitor: PerformanceMonitor
    ) -> None:
        super().__init__(socket, sender, monitor)
        self._rooms = rooms
        self._retries = Retries(self._settings, lambda: socket.room_id, sender.resend, sender.give_up)
        self._closed = False
        sender.on_failed = self._retries.failed

    async def send(
        self, pose: Any, stream: str = "pose", timestamp: float | None = None, priority: int = 5
    ) -> SendOutcome:
        """Hand a pose in; see `UnifiedSender.send`. ``DROPPED``, counted as ``sampled``, when it is not its turn.

        Raises:
            ConnectionError: It was closed.
            InvalidDataError: The priority is no whole number, or the timestamp no number of seconds.
        """
        if self._closed:
            raise ConnectionError("the pose sender is closed")
        kept, qos, priority = self._kept, self._qos, checked_priority(priority)
        if timestamp is not None:
            timestamp = checked_time(timestamp)
        if kept.target_fps is not None or self._thinning.rate < 1.0:
            pose = to_pose_data(pose)
            if not self._thinning.admits(stream, pose.timestamp or clock.now() if timestamp is None else timestamp):
                self._sender.drops["sampled"] += 1
                await asyncio.sleep(0)
                return SendOutcome.DROPPED
        self._retries.handed_in(stream)
        return await self._sender.send(
            "pose",
            pose,
            priority + qos.priority,
            stream=stream,
            timestamp=timestamp,
            delivery=qos.delivery,
            max_age=kept.timeout,
        )

    async def send_pose_data(self, pose_data: Any, priority: int = 5, *, room_id: str | None = None) -> bool:
        """Hand a pose in for the room we are in; True when it was taken.

        Raises:
            RoomError: ``room_id`` is another room.
            DataValidationError: It is no pose.
        """
        if room_id is not None and room_id != self._socket.room_id:
            raise RoomError(room_id, f"not in this room; we are in {self._socket.room_id or 'none'}")
        return bool(await self.send(pose_data, priority=priority))

    def validate_data(self, data: Any) -> bool:
        """Return whether `send` would take ``data``. A `PoseData` was checked when it was made: that costs nothing."""
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

    def set_endpoints(self, endpoints: Sequence[str]) -> None:
        """Use these servers, the first that answers; see `SocketManager.set_endpoints`."""
        self._socket.set_endpoints(endpoints)

    def get_endpoint_usage(self) -> dict[str, int]:
        """Return how often the session came to each server; more is in `SocketManager.get_endpoint_usage`."""
        return {url: usage.uses for url, usage in self._socket.get_endpoint_usage().items()}

    def get_stats(self) -> dict[str, float]:
        """Return the figures of `PoseFigures.get_stats`, and ``retries``: poses that were handed in again."""
        return {**super().get_stats(), "retries": float(self._retries.retried)}

    # Lifetime --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what `start_monitoring` says, for ever. Cancelling gives up what is to be tried again."""
        try:
            while True:
                await self._wanted.wait()
                await asyncio.sleep(self._interval)
                if self._wanted.is_set():
                    self._adapt()
                    self.check_performance()
        finally:
            self._retries.clear()

    async def aclose(self) -> None:
        """Take no more poses, drop those that wait, stop monitoring, forget the figures. Idempotent; does not wait.

        The session, its other streams and its events go on.
        """
        self._closed = True
        self._cease()
        self._retries.clear()
        queue = self._sender.queue
        for item in queue.waiting():
            if item.kind is Kind.POSE:
                queue.drop(item, "cleared")
        self._sender.waits.clear()
        self._forget()

    async def cleanup(self) -> None:
        """The specification's name of `aclose`."""
        await self.aclose()
