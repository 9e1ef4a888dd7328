"""How finely a pose is quantised."""

from __future__ import annotations

from typing import Final

import msgspec

from posewire.errors import DataValidationError

FINEST: Final = 20
COARSEST: Final = -8


class Precision(msgspec.Struct, frozen=True, gc=False):
    """Steps of the quantiser as powers of two: a value is sent to the nearest multiple of ``2 ** -bits``.

    The error is at most half a step in each coordinate, in every frame.

    Attributes:
        xy: Of x and y; 11 is 1/2048, a third of a pixel in an image 640 wide.
        z: Of z, which trackers know less well.
        visibility: Of visibility.

    Raises:
        DataValidationError: A number outside -8..20.
    """

    xy: int = 11
    z: int = 9
    visibility: int = 5

    def __post_init__(self) -> None:
        for name in ("xy", "z", "visibility"):
            bits = getattr(self, name)
            if type(bits) is not int or not COARSEST <= bits <= FINEST:
                raise DataValidationError(f"precision.{name}", repr(bits), f"expected {COARSEST} to {FINEST}")

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Bits of x, y, z and visibility."""
        return self.xy, self.xy, self.z, self.visibility
