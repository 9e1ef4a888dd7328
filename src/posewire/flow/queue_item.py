"""One frame that waits to be sent."""

from __future__ import annotations

from typing import Any

from posewire.protocol import Delivery, Kind


class QueueItem:
    """A frame with its place in the order: higher priority first, then earlier timestamp, then arrival.

    Attributes:
        priority: Higher goes first.
        timestamp: Capture time, seconds; orders equal priorities.
        data: What to encode when its turn comes.
        kind: What the stream carries.
        delivery: What a late frame is worth.
        stream: Name of the stream.
        queued: When it was handed in, monotonic seconds.
        expires: When it is too old to send, monotonic seconds; None never.
        serial: Order of arrival, set by the queue.
        attempts: How often it was handed in again after it could not be sent.
    """

    __slots__ = (
        "attempts",
        "data",
        "delivery",
        "expires",
        "kind",
        "priority",
        "queued",
        "serial",
        "stream",
        "timestamp",
        "waiting",
    )

    def __init__(
        self,
        priority: int,
        timestamp: float,
        data: Any,
        *,
        kind: Kind = Kind.POSE,
        delivery: Delivery = Delivery.LATEST,
        stream: str = "pose",
        queued: float = 0.0,
        expires: float | None = None,
    ) -> None:
        self.priority = priority
        self.timestamp = timestamp
        self.data = data
        self.kind = kind
        self.delivery = delivery
        self.stream = stream
        self.queued = queued
        self.expires = expires
        self.serial = 0
        self.waiting = False
        self.attempts = 0

    def __lt__(self, other: QueueItem) -> bool:
        if self.priority != other.priority:
            return self.priority > other.priority
        if self.timestamp != other.timestamp:
            return self.timestamp < other.timestamp
        return self.serial < other.serial

    def __repr__(self) -> str:
        return f"QueueItem({self.kind.name.lower()} {self.stream!r}, priority={self.priority}, t={self.timestamp})"
