"""What the parent and the attackers of `siege` tell each other."""

from __future__ import annotations

import msgspec


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """Request: attack for a while. Answered with `Struck` when it is over."""

    attack: str
    seconds: float


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    attempts: int
