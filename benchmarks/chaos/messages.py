"""What the parent and the workers of `chaos` tell each other."""

from __future__ import annotations

import msgspec


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """Request: play the schedule of a seed. Answered with a `Verdict`."""

    seed: int
