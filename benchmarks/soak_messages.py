"""What the parent and the workers of `soak` tell each other."""

from __future__ import annotations

from typing import Literal

import msgspec

Action = Literal["look", "flood", "pace", "stop", "join", "leave"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Request. ``look`` is answered with `Vitals`, all else with `Ready` once it is done or has begun."""

    action: Action
    fps: float = 0.0
    """For ``pace``."""
    frames: int = 0
    """For ``flood``."""


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it is now, after a garbage collection."""

    rss: int
    """Bytes."""
    tasks: int
    descriptors: int
    frames: int
    """Sent, taken or received, by role."""
    lost: int
    """Dropped on purpose (publisher, server), or missing in the numbers that came (subscribers)."""
    busy: bool = False
    """Publisher: the flood is not over."""
