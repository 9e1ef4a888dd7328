"""Fits what is sent to what the link takes."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Final

from posewire import clock
from posewire.errors import DataValidationError
from posewire.flow import CreditWindow, Quality, QualityLadder, RateController
from posewire.protocol import PoseData, control
from posewire.sender.capture_delays import CaptureDelays
from posewire.sockets import Event, SocketManager

logger = logging.getLogger(__name__)

_TICK: Final = 0.1
_ENOUGH: Final = 5
"""Poses from which on their share that went out means something."""
_LOOK_BACK: Final = 1.5
"""Seconds they may lie back."""
_SHARE: Final = 0.8
"""Of the poses there are: when fewer go out, it is too much for the link."""
_OUTAGE: Final = 1.0
"""Seconds without an acknowledgement from which on there is no link whose rate could be told."""
_MAX_STREAMS: Final = 256
_REPORT_SECONDS: Final = 3.0
"""A report that is older says nothing."""
_STEADY_MS: Final = 5.0
"""Delays of capture that differ by less do not matter."""
_LATE_MS: Final = 50.0
_LOST_SHARE: Final = 0.2
"""What the server calls behind."""


class QualityControl:
    """Rate controller and quality ladder at work: asked about every pose, told what became of it.

    Runs when something happens, never by itself: no task, no timer.

    Args:
        socket: The connection: its credit, its protocol's precision, and its events ``quality``.
        delays: How much of what receivers take for a slow link is ours, from before frames are handed in.
    """

    def __init__(self, socket: SocketManager, delays: CaptureDelays) -> None:
        self.rate: float | None = None
        """Bytes a second that the link takes; None while it takes all there is."""
        self._socket = socket
        self._delays = delays
        self._ladder = QualityLadder()
        self._rates = RateController()
        self._report: control.SenderReport | None = None
        self._reported_at = 0.0
        self._next_tick = 0.0
        self._offered = self._left = 0
        self._past: deque[tuple[float, int, int]] = deque()
        self._held_up = False
        self._layered = False
        self._counts: dict[str, tuple[int, float]] = {}
        self._face = self._hands = False
        self._adaptive = True
        self._least_coarse = 0
        socket.on_server_event(control.REPORT, self._reported)

    @property
    def report(self) -> control.SenderReport | None:
        """What the receivers said lately; None when nobody did."""
        return self._report if clock.monotonic() - self._reported_at < _REPORT_SECONDS else None

    @property
    def level(self) -> int:
        """The step of the ladder, 0 for full quality."""
        return self._ladder.level

    @property
    def quality(self) -> Quality:
        """What the step means."""
        return self._ladder.quality

    @property
    def counts(self) -> tuple[int, int]:
        """Poses that were to be sent, and of them those that left."""
        return self._offered, self._left

    def optimise(self, *, adaptive: bool, coarser: int) -> None:
        """Say whether the ladder may be used, and how many bits z and the face are coarser on every step of it."""
        self._adaptive, self._least_coarse = adaptive, coarser
        if not adaptive:
            self._ladder = QualityLadder()
        self._socket.protocol.coarsen(max(self._ladder.quality.coarser, coarser))

    def loss(self, stream: int | None) -> float:
        """Return the share of a stream's frames that did not come to somebody, by the last report; 0..1."""
        report = self.report
        for each in report.streams if report is not None else []:
            if each.stream == stream and each.lost:
                return each.lost / (each.frames + each.lost)
        return 0.0

    def admits(self, stream: str, now: float) -> bool:
        """Return whether a pose of a stream is to be sent at this quality."""
        quality = self._ladder.quality
        if len(self._counts) >= _MAX_STREAMS:
            self._counts.clear()  # costs a pose too many
        count, last = self._counts.get(stream, (0, -quality.interval))
        admitted = count % quality.divisor == 0 and now - last >= quality.interval
        self._counts[stream] = (count + 1, now if admitted else last)
        self._offered += admitted
        return admitted

    def reduce(self, pose: PoseData) -> PoseData:
        """Return what of a pose is to be sent at this quality."""
        quality = self._ladder.quality
        self._face, self._hands = pose.face_landmarks is not None, pose.hand_landmarks is not None
        face = pose.face_landmarks if quality.face else None
        hands = pose.hand_landmarks if quality.hands else None
        if (face is pose.face_landmarks and hands is pose.hand_landmarks) or pose.pose_landmarks is None:
            return pose
        return PoseData.trusted(pose.pose_landmarks, face, hands, pose.timestamp, pose.skeleton)

    def left(self) -> None:
        """Note that a pose went out."""
        self._left += 1

    def held_up(self) -> None:
        """Note that something had to wait for the link."""
        self._held_up = True

    def observe(self, now: float) -> bool:
        """See how it goes, at most ten times a second; returns whether the rate may have changed."""
        if now < self._next_tick:
            return False
        self._next_tick = now + _TICK
        lane = self._socket.pose_lane
        if lane is None or lane.credit.oldest(now) > _OUTAGE:
            self._past.clear()
            return False
        credit = lane.credit
        self.rate = self._rates.observe(
            now,
            delivered=self._socket.delivered_rate,
            queueing=credit.queueing,
            held_up=self._held_up and lane.credited is True,
        )
        too_much = self._too_much(now, credit)
        clear = not self._held_up and credit.clear
        before = self._ladder.quality
        if self._adaptive and self._ladder.observe(
            now, too_much=too_much, clear=clear, face=self._face, hands=self._hands
        ):
            self._change(before, credit)
        self._layer()
        self._held_up = False
        return True

    def _too_much(self, now: float, credit: CreditWindow) -> bool:
        """Whether fewer poses went out than there were, lately; or come late to everyone."""
        self._past.append((now, self._offered, self._left))
        while len(self._past) > 2 and (
            self._offered - self._past[1][1] >= _ENOUGH or now - self._past[0][0] > _LOOK_BACK
        ):
            self._past.popleft()
        _, offered, left = self._past[0]
        offered, left = self._offered - offered, self._left - left
        if offered >= _ENOUGH and left < _SHARE * offered and (credit.congested or not credit.acknowledged_bytes):
            return True
        report = self.report
        # Where it is late for nobody but on our own link, that link has said so already.
        everyone = report is not None and 0 < report.receivers == report.behind and credit.clear
        return everyone and report is not None and self._late_on_the_way(report, now)

    def _late_on_the_way(self, report: control.SenderReport, now: float) -> bool:
        """Whether receivers are behind for more than that capturing takes longer than it did: ages count from there."""
        spread = 1000 * self._delays.spread(now)
        if spread < _STEADY_MS or not report.streams:
            return True
        return any(
            each.queueing - spread >= _LATE_MS or each.lost > _LOST_SHARE * (each.frames + each.lost)
            for each in report.streams
        )

    def _change(self, before: Quality, credit: CreditWindow) -> None:
        quality = self._ladder.quality
        self._socket.protocol.coarsen(max(quality.coarser, self._least_coarse))
        self._layer()
        self._past.clear()
        self._counts.clear()
        logger.info("quality: %s, after %s", quality.name, before.name)
        data = {
            "level": self.level,
            "name": quality.name,
            "before": before.name,
            "degraded": self.level > 0,
            "rate": credit.rate,
            "queueing": credit.queueing,
        }
        self._socket.dispatch(Event(name="quality", data=data))

    def _reported(self, data: Any) -> None:
        try:
            self._report = control.from_plain(data, control.SenderReport, what="report")
        except DataValidationError as exc:
            logger.warning("report not understood: %s", exc)
            return
        self._reported_at = clock.monotonic()
        self._layer()

    def _layer(self) -> None:
        report = self.report
        layered = self.level > 0 or (report is not None and report.behind > 0)
        if layered is not self._layered:
            self._layered = layered
            self._socket.protocol.layer(layered)
