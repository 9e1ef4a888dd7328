"""What became of a frame that was handed in."""

from __future__ import annotations

import enum


class SendOutcome(enum.Enum):
    """Returned by every send; true when the frame was taken."""

    ACCEPTED = "accepted"
    """It waits for its turn, or is on its way."""
    REPLACED = "replaced"
    """Taken, in the place of an older frame of its stream that had not left yet."""
    DROPPED = "dropped"
    """Not taken; `sender.drops` says why."""

    def __bool__(self) -> bool:
        return self is not SendOutcome.DROPPED
