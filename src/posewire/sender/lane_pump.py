"""Sends what waits when there are several connections: none holds up what goes on another."""

from __future__ import annotations

from collections.abc import Callable

from posewire.flow import QueueItem, SendQueue, TokenBucket
from posewire.protocol import Kind
from posewire.sender.frame_writer import FrameWriter
from posewire.sender.quality_control import QualityControl
from posewire.sockets import Lane, SocketManager


class LanePump:
    """Chooses, of the frames whose lane takes more, the best: sound and events for the primary one, poses for others.

    Args:
        socket: The connections.
        queue: What waits.
        writer: Knows the numbers of streams.
        bucket: The limit on all connections together.
        quality: Told when a pose has to wait for its lane.
        send: Writes a frame, which has left the queue, to a lane.
    """

    def __init__(
        self,
        socket: SocketManager,
        queue: SendQueue,
        writer: FrameWriter,
        bucket: TokenBucket,
        quality: QualityControl,
        send: Callable[[QueueItem, Lane, float], None],
    ) -> None:
        self._socket = socket
        self._queue = queue
        self._writer = writer
        self._bucket = bucket
        self._quality = quality
        self._send = send

    def pump(self, now: float) -> QueueItem | None:
        """Send frames for as long as some lane takes more, without waiting.

        Returns:
            A frame that something has to be waited for before it can go: an event, or the first of its stream.
        """
        primary = self._socket.lane
        if primary is None:
            return None
        stuck: set[Lane | None] = {None}

        def fits(item: QueueItem) -> bool:
            return self._lane_of(item, primary) not in stuck

        while (item := self._queue.best_of(now, fits)) is not None:
            lane = self._lane_of(item, primary)
            if lane is None or self._bucket.delay(now) > 0:
                return None
            if not lane.takes(self._writer.expected_size(item), now, urgent=item.kind is Kind.AUDIO):
                stuck.add(lane)
                if item.kind is Kind.POSE:
                    self._quality.held_up()
                continue
            number = self._writer.number_of(item)
            if number is None:
                return item
            self._queue.withdraw(item)
            self._send(item, lane, now)
            self._socket.side.sent(number, lane)
        return None

    def _lane_of(self, item: QueueItem, primary: Lane) -> Lane | None:
        if item.kind is not Kind.POSE or (number := self._writer.number_of(item)) is None:
            return primary
        return self._socket.side.lane_for(number, primary)
