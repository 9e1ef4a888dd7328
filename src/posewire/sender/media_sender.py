"""Whole captures and sound on top of the pipeline."""

from __future__ import annotations

from collections import deque
from typing import Any

from posewire import clock
from posewire.config import MediaConfig
from posewire.errors import DataValidationError
from posewire.flow import SendOutcome
from posewire.protocol import AudioLevel, PoseData, to_audio_chunk, to_pose_data
from posewire.protocol.landmarks import is_tracker_result
from posewire.protocol.pose_data import PARTS
from posewire.sender.audio_streams import AudioStreams
from posewire.sender.unified_sender import UnifiedSender

_WINDOW = 100


class MediaSender:
    """Sends frames of body, face and hands together, and audio.

    Args:
        sender: The pipeline.
        config: What raw PCM is, and how sound is coded.
    """

    def __init__(self, sender: UnifiedSender, config: MediaConfig | None = None) -> None:
        self._sender = sender
        self._config = config or MediaConfig()
        self._audio = AudioStreams(sender, self._config)
        self._frames: deque[tuple[float, bool]] = deque(maxlen=_WINDOW)
        self._taken = 0
        self._refused = 0

    async def send_pose_frame(self, pose_results: Any, face_results: Any = None, hands_results: Any = None) -> bool:
        """Merge the results of up to three trackers into one pose and hand it in; True when it was taken.

        Args:
            pose_results: Anything `to_pose_data` takes.
            face_results: The same; its face counts.
            hands_results: The same; its hands count.

        Raises:
            DataValidationError: One of them is no result.
        """
        pose = merge_results(pose_results, face_results, hands_results)
        return self._count(await self._sender.send("pose", pose, priority=5))

    async def send_audio_frame(self, audio_data: Any, priority: int = 5) -> bool:
        """Hand a chunk of sound in: int16 bytes, an array, or an `AudioChunk`; True when it was taken.

        Raises:
            DataValidationError: It is no sound.
        """
        return bool(await self.send_audio(audio_data, priority=priority))

    async def send_audio(
        self, pcm: Any, stream: str = "audio", timestamp: float | None = None, priority: int = 8
    ) -> SendOutcome:
        """Hand a chunk of sound in; see `UnifiedSender.send`.

        With ``media.codec`` ``opus`` it leaves in packets of 20 ms; what does not fill one waits for the next chunk.

        Raises:
            DataValidationError: It is no sound, or has more than two channels and is to be coded.
            ConfigurationError: It is to be coded, and PyAV is not installed.
        """
        chunk = to_audio_chunk(pcm, sample_rate=self._config.sample_rate, channels=self._config.channels)
        outcome = await self._audio.send(chunk, stream, timestamp, priority)
        self._count(outcome)
        return outcome

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

    def get_stats(self) -> dict[str, float]:
        """Return ``fps``, ``success_rate`` (0..1, of the window), ``sent`` and ``refused``."""
        taken = sum(taken for _, taken in self._frames)
        return {
            "fps": self.fps,
            "success_rate": taken / len(self._frames) if self._frames else 1.0,
            "sent": float(self._taken),
            "refused": float(self._refused),
        }

    def _count(self, outcome: SendOutcome) -> bool:
        taken = bool(outcome)
        self._frames.append((clock.monotonic(), taken))
        self._taken += taken
        self._refused += not taken
        return taken


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
