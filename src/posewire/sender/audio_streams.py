"""Our own sound on its way to the pipeline: as it is, or coded."""

from __future__ import annotations

from typing import Final

from posewire import clock
from posewire.config import MediaConfig
from posewire.errors import InvalidDataError
from posewire.flow import AudioRate, SendOutcome
from posewire.limits import MAX_STREAMS
from posewire.protocol import AudioChunk, Kind, LevelMeter
from posewire.sender.audio_encoder import AudioEncoder
from posewire.sender.intake import checked_time
from posewire.sender.unified_sender import UnifiedSender

_TICK: Final = 0.2
"""Seconds between two looks at the link."""


class _Stream:
    """One stream that is coded."""

    def __init__(self, config: MediaConfig) -> None:
        self.encoder = AudioEncoder(config)
        self.rate = AudioRate(config.bit_rate_min, config.bit_rate, config.redundancy)
        self.next_look = 0.0


class AudioStreams:
    """Codes each stream of sound with the bits the link takes, and hands it to the pipeline.

    Args:
        sender: The pipeline; knows what the link takes, and what the receivers report.
        config: How sound is coded.
    """

    def __init__(self, sender: UnifiedSender, config: MediaConfig) -> None:
        self.meter = LevelMeter()
        self._sender = sender
        self._config = config
        self._streams: dict[str, _Stream] = {}

    @property
    def bit_rate(self) -> int | None:
        """The least bit rate of our streams; None while nothing is coded."""
        return min((stream.rate.bit_rate for stream in self._streams.values()), default=None)

    async def send(self, chunk: AudioChunk, name: str, timestamp: float | None, priority: int) -> SendOutcome:
        """Hand a piece of sound in. Only lets the others have a turn, after each packet; cancelling is safe.

        Returns:
            ``DROPPED`` when one of its packets was; ``ACCEPTED`` too when it only waits for the rest of a packet.
        """
        now = clock.monotonic()
        self.meter.add(chunk.level, chunk.duration, now=now)
        if self._config.codec == "pcm":
            return await self._sender.send("audio", chunk, priority, stream=name, timestamp=timestamp)
        if not isinstance(name, str):
            raise InvalidDataError(f"stream {name!r:.60}: expected a name")
        captured = chunk.timestamp if timestamp is None else checked_time(timestamp)
        stream = self._stream(name)
        self._look(stream, name, now)
        outcome = SendOutcome.ACCEPTED
        for packet in stream.encoder.encode(chunk, captured or clock.now()):
            one = await self._sender.send("audio", packet, priority, stream=name)
            outcome = outcome if one else one
        return outcome

    def _stream(self, name: str) -> _Stream:
        stream = self._streams.get(name)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                del self._streams[next(iter(self._streams))]  # the server lets nobody have more
            stream = self._streams[name] = _Stream(self._config)
        return stream

    def _look(self, stream: _Stream, name: str, now: float) -> None:
        if now < stream.next_look:
            return
        stream.next_look = now + _TICK
        status = self._sender.status()
        rates = [rate for rate in (status.bandwidth_limit, status.rate) if rate is not None]
        loss = self._sender.loss(Kind.AUDIO, name)
        stream.rate.observe(now, rate=min(rates, default=None), level=status.quality_level, loss=loss)
        stream.encoder.bit_rate = stream.rate.bit_rate
        stream.encoder.redundant = stream.rate.redundant
