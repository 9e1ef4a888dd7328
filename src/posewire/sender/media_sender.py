"""Whole captures and sound on top of the pipeline."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, Literal

from posewire import clock
from posewire.config import MediaConfig
from posewire.errors import DataValidationError, InvalidDataError
from posewire.flow import SendOutcome
from posewire.protocol import AudioChunk, AudioLevel, Kind, MediaData, MediaProtocol, PoseData, to_pose_data
from posewire.protocol.landmarks import is_tracker_result
from posewire.protocol.pose_data import PARTS
from posewire.sender.audio_streams import AudioStreams
from posewire.sender.intake import checked_time
from posewire.sender.send_settings import checked_settings
from posewire.sender.thinning import Thinning
from posewire.sender.unified_sender import UnifiedSender
from posewire.values import is_number, plain, shown

_WINDOW: Final = 100
_POSE_PRIORITY: Final = 5
State = Literal["started", "paused", "stopped"]


class MediaSender:
    """Sends frames of body, face and hands together, and audio: while it is started, which it is to begin with.

    Args:
        sender: The pipeline.
        config: What raw PCM is, and how sound is coded.
    """

    def __init__(self, sender: UnifiedSender, config: MediaConfig | None = None) -> None:
        self._sender = sender
        config = config or MediaConfig()
        self._protocol = MediaProtocol(sample_rate=config.sample_rate, channels=config.channels)
        self._audio = AudioStreams(sender, config)
        self._state: State = "started"
        self._thinning = Thinning()
        self._audio_delay = 0.0
        self._frames: deque[tuple[float, bool]] = deque(maxlen=_WINDOW)
        self._taken = 0
        self._refused = 0
        self._ids = {"pose": 0, "audio": 0}
        self._ends = {"pose": 0.0, "audio": 0.0}
        """Until when there is something of each, by capture time."""
        self._streams: set[tuple[Kind, str]] = set()

    # Sending ---------------------------------------------------------------------------------------------------------

    async def send_pose_frame(
        self, pose_results: Any, face_results: Any = None, hands_results: Any = None, *, timestamp: float | None = None
    ) -> bool:
        """Merge the results of up to three trackers into one pose and hand it in; True when it was taken.

        Args:
            pose_results: Anything `to_pose_data` takes.
            face_results: The same; its face counts.
            hands_results: The same; its hands count.
            timestamp: Capture time, seconds on the scale of ``time.time()``; by default the results' own, else now.

        Raises:
            DataValidationError: One of them is no result.
        """
        pose = merge_results(pose_results, face_results, hands_results)
        return bool(await self.send_media(self._media("pose", pose, timestamp), priority=_POSE_PRIORITY))

    async def send_audio_frame(self, audio_data: Any, priority: int = 5, *, timestamp: float | None = None) -> bool:
        """Hand a chunk of sound in: int16 bytes, an array, or an `AudioChunk`; True when it was taken.

        Raises:
            DataValidationError: It is no sound.
        """
        return bool(await self.send_audio(audio_data, timestamp=timestamp, priority=priority))

    async def send_audio(
        self, pcm: Any, stream: str = "audio", timestamp: float | None = None, priority: int = 8
    ) -> SendOutcome:
        """Hand a chunk of sound in; see `UnifiedSender.send`.

        With ``media.codec`` ``opus`` it leaves in packets of 20 ms; what does not fill one waits for the next chunk.

        Raises:
            DataValidationError: It is no sound, or has more than two channels and is to be coded.
            ConfigurationError: It is to be coded, and PyAV is not installed.
        """
        return await self.send_media(self._media("audio", pcm, timestamp), stream=stream, priority=priority)

    async def send_media(self, media: MediaData, *, stream: str | None = None, priority: int = 5) -> SendOutcome:
        """Hand a wrapped frame in. ``DROPPED`` when it may not go, counted as ``paused`` or ``sampled``.

        Raises:
            DataValidationError: It holds no pose, or no sound.
        """
        data = self._protocol.checked(media)
        stream = media.data_type if stream is None else stream
        captured = checked_time(media.timestamp) or data.timestamp or clock.now()
        if reason := self._kept_back(data, stream, captured):
            self._sender.drops[reason] += 1
            await asyncio.sleep(0)
            outcome = SendOutcome.DROPPED
        else:
            outcome = await self._hand_in(data, stream, captured, priority)
            self._streams.add((Kind.POSE if isinstance(data, PoseData) else Kind.AUDIO, stream))
        self._count(outcome)
        return outcome

    # Control ---------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``started``, ``paused`` or ``stopped``."""
        return self._state

    def start(self) -> None:
        """Take frames, again. Idempotent."""
        self._state = "started"

    def pause(self) -> None:
        """Take no frames until `start`: mute. What waits still leaves. Idempotent.

        That is what is handed in here, and by `Session.send_audio`, which goes through here. Poses of
        `Session.send_pose` and of `PoseSender` do not; `UnifiedSender.pause` holds everything back.
        """
        self._state = "paused"

    def stop(self) -> None:
        """Take no frames until `start`, and drop those of our streams that wait, counted as ``cleared``. Idempotent."""
        self._state = "stopped"
        queue = self._sender.queue
        for item in queue.waiting():
            if (item.kind, item.stream) in self._streams:
                queue.drop(item, "cleared")

    def set_target_fps(self, fps: float | None) -> None:
        """Send at most so many pose frames of a stream a second, by capture time; None for all.

        Raises:
            InvalidDataError: Not a number over 0; the old rate stays.
        """
        self._thinning.set_fps(checked_settings({"target_fps": fps})["target_fps"])

    def set_bandwidth_limit(self, limit: float | None) -> None:
        """Limit bytes a second of all that is sent; see `UnifiedSender.set_bandwidth_limit`.

        Raises:
            InvalidDataError: Not a number over 0; the old limit stays.
        """
        self._sender.set_bandwidth_limit(limit)

    def set_audio_delay(self, milliseconds: float) -> None:
        """Say that sound is handed in so much later than what was captured with it: a microphone's buffers.

        Its capture times are set back by that, so that receivers play sound and pose together.

        Raises:
            InvalidDataError: No number from 0 to 10,000; the old delay stays.
        """
        milliseconds = plain(milliseconds)
        if not is_number(milliseconds) or not 0 <= milliseconds <= 10_000:
            raise InvalidDataError(f"audio delay {shown(milliseconds)}: expected 0 to 10000 milliseconds")
        self._audio_delay = milliseconds / 1000

    # Figures ---------------------------------------------------------------------------------------------------------

    @property
    def level(self) -> AudioLevel:
        """How loud our own sound is, over all streams, smoothed; -120 dBFS when there is none."""
        return self._audio.meter.read(now=clock.monotonic())

    @property
    def speaking(self) -> bool:
        """Whether we speak: from -42 dBFS on, until it is under -52."""
        return self._audio.meter.speaking(now=clock.monotonic())

    @property
    def audio_bit_rate(self) -> int | None:
        """Bits a second that Opus codes with now, the least over our streams; None while nothing is coded."""
        return self._audio.bit_rate

    @property
    def fps(self) -> float:
        """Frames handed in a second, over a sliding window of 100."""
        if len(self._frames) < 2:
            return 0.0
        span = clock.monotonic() - self._frames[0][0]
        return (len(self._frames) - 1) / span if span > 0 else 0.0

    @property
    def latency(self) -> float:
        """Seconds that frames wait before they leave: mean of the last 100, whoever handed them in."""
        waits = self._sender.waits
        return sum(waits) / len(waits) if waits else 0.0

    @property
    def success_rate(self) -> float:
        """0..1: frames of the sliding window that were taken; 1 when there was none."""
        return sum(taken for _, taken in self._frames) / len(self._frames) if self._frames else 1.0

    @property
    def sync_offset(self) -> float:
        """Seconds by which sound is ahead of the poses, by capture time; 0 until there is both."""
        pose, audio = self._ends["pose"], self._ends["audio"]
        return audio - pose if pose and audio else 0.0

    def get_stats(self) -> dict[str, float]:
        """Return ``fps``, ``latency``, ``sync_offset`` (seconds), ``success_rate`` (0..1), ``sent``, ``refused``."""
        return {
            "fps": self.fps,
            "latency": self.latency,
            "success_rate": self.success_rate,
            "sync_offset": self.sync_offset,
            "sent": float(self._taken),
            "refused": float(self._refused),
        }

    # Inside ----------------------------------------------------------------------------------------------------------

    def _media(self, data_type: str, data: Any, timestamp: float | None) -> MediaData:
        if timestamp is not None:
            timestamp = checked_time(timestamp)
        self._ids[data_type] += 1
        return MediaData(data=data, timestamp=timestamp or 0.0, frame_id=self._ids[data_type], data_type=data_type)

    async def _hand_in(self, data: PoseData | AudioChunk, stream: str, captured: float, priority: int) -> SendOutcome:
        if isinstance(data, PoseData):
            outcome = await self._sender.send("pose", data, priority, stream=stream, timestamp=captured)
            self._ends["pose"] = captured
        else:
            captured = max(0.0, captured - self._audio_delay)
            outcome = await self._audio.send(data, stream, captured, priority)
            self._ends["audio"] = captured + data.duration
        return outcome

    def _kept_back(self, data: PoseData | AudioChunk, stream: str, captured: float) -> str:
        if self._state != "started":
            return "paused"
        return "sampled" if isinstance(data, PoseData) and not self._thinning.admits(stream, captured) else ""

    def _count(self, outcome: SendOutcome) -> None:
        taken = bool(outcome)
        self._frames.append((clock.monotonic(), taken))
        self._taken += taken
        self._refused += not taken


def merge_results(pose: Any, face: Any = None, hands: Any = None) -> PoseData:
    """Return one pose: all that ``pose`` holds, with the face of ``face`` and the hands of ``hands``.

    Raises:
        DataValidationError: Nothing was given, or one is no result, or has not the part it is given for.
    """
    parts: dict[str, Any] = dict.fromkeys(PARTS)
    timestamp, skeleton = 0.0, None
    if pose is not None:
        body = to_pose_data(pose)
        parts = {name: getattr(body, name) for name in PARTS}
        timestamp, skeleton = body.timestamp, body.skeleton
    for name, result in (("face_landmarks", face), ("hand_landmarks", hands)):
        if result is None:
            continue
        # A bare face or pair of hands would be taken for a body.
        wrapped = result if isinstance(result, PoseData) or is_tracker_result(result) else {name: result}
        part = getattr(to_pose_data(wrapped), name)
        if part is None:
            raise DataValidationError(name, type(result).__name__, f"expected a result with {name}")
        parts[name] = part
    body_part, face_part, hands_part = (parts[name] for name in PARTS)
    if skeleton is None:
        return PoseData(body_part, face_part, hands_part, timestamp)
    return PoseData(body_part, face_part, hands_part, timestamp, skeleton)
