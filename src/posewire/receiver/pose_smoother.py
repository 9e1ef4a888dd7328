"""Smooths the poses of one loop, each stream by itself."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from posewire.protocol import PoseData
from posewire.protocol.pose_data import PARTS, Landmarks
from posewire.receiver.one_euro_filter import OneEuro, OneEuroFilter

_MAX_STREAMS: Final = 256
"""Streams that are remembered; then the one heard longest ago begins anew."""


class PoseSmoother:
    """A `OneEuroFilter` for each part of each stream.

    Args:
        settings: How much is smoothed.
    """

    def __init__(self, settings: OneEuro) -> None:
        self._settings = settings
        self._streams: OrderedDict[tuple[str, str], dict[str, OneEuroFilter]] = OrderedDict()

    def smooth(self, user_id: str, stream: str, pose: PoseData, time: float) -> PoseData:
        """Return the pose smoothed by those before it; ``time`` is its capture time, seconds."""
        filters = self._streams.get((user_id, stream))
        if filters is None:
            if len(self._streams) >= _MAX_STREAMS:
                self._streams.popitem(last=False)
            filters = self._streams[user_id, stream] = {name: OneEuroFilter(self._settings) for name in PARTS}
        self._streams.move_to_end((user_id, stream))
        parts: list[Landmarks | None] = []
        for name in PARTS:
            part = getattr(pose, name)
            parts.append(None if part is None else filters[name].filter(part, time))
        body, face, hands = parts
        return PoseData.trusted(body, face, hands, pose.timestamp, pose.skeleton)
