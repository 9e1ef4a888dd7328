"""What body version 3 promises: no number is further than half a step from the one that was sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from posewire.protocol import PoseData
from posewire.protocol.pose_data import PARTS

HALF_STEPS = (1 / 4096, 1 / 4096, 1 / 1024, 1 / 64)
"""Of x, y, z and visibility, at the default precision."""


def assert_within(found: PoseData, sent: PoseData, half_steps: Any = HALF_STEPS) -> None:
    """Fail unless ``found`` is ``sent`` to half a step, with the same parts and the same joints found."""
    assert found.skeleton == sent.skeleton
    for name in PARTS:
        got, want = getattr(found, name), getattr(sent, name)
        if got is None or want is None:
            assert got is want, name
            continue
        assert got.dtype == np.float32
        assert got.shape == want.shape
        assert (np.isnan(got) == np.isnan(want)).all(), name
        error = np.nan_to_num(np.abs(got.astype(np.float64) - want))
        assert (error <= half_steps).all(), f"{name}: {error.reshape(-1, 4).max(axis=0)}"
