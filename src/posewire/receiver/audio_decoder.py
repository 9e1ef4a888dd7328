"""From packets of sound to samples, without holes."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Final

import numpy as np

from posewire.errors import ConfigurationError, ProtocolError
from posewire.limits import MAX_AUDIO_SAMPLES
from posewire.protocol import AudioChunk, AudioLevel, Header, LevelMeter, OpusPacket
from posewire.protocol.opus_codec import OpusDecoder
from posewire.protocol.opus_packet import OPUS_RATE
from posewire.receiver.concealer import HISTORY, Floats, bridge, extend

logger = logging.getLogger(__name__)

_MOST_STREAMS: Final = 8
"""Streams of a member that are kept; then its own that was heard longest ago begins anew."""
_MOST_MADE_UP: Final = 0.2
"""Seconds of a gap that are filled; what is longer fades to silence, and comes back."""
_FADE: Final = 0.06
_FORGOTTEN: Final = 50
"""Opus packets, a second, after which nothing leads from one side of the gap to the other: nobody listened."""
_JITTER: Final = 0.03
"""Seconds that capture times may be wrong."""


class AudioDecoder:
    """Decodes the sound of every member, fills what did not come, and measures how loud each is. Never waits.

    What is missing is noticed, and made up, when the next packet comes: a packet gives several pieces then, in order,
    those before the last flagged `AudioChunk.concealed`. Opus is concealed by libopus itself, or read from the copy
    the next packet carries (then it is the true sound, and not flagged); PCM by `posewire.receiver.concealer`. A gap
    of more than 0.2 s is not filled; the sound before it fades out.

    Args:
        drops: What does not come out is counted here: ``late``.
    """

    def __init__(self, drops: Counter[str]) -> None:
        self.concealed = 0
        """Pieces made up."""
        self.recovered = 0
        """Packets that did not come and were read from the copy in the next."""
        self._drops = drops
        self._members: dict[int, _Member] = {}
        self._warned = False

    def decode(self, header: Header, sound: AudioChunk | OpusPacket, user_id: str, *, now: float) -> list[AudioChunk]:
        """Return the sound of a packet, after what was missing before it; nothing when it comes too late.

        Args:
            header: The packet's.
            sound: What is in it.
            user_id: Whose it is.
            now: Monotonic seconds.

        Raises:
            ProtocolError: It is no Opus (``damaged``), or there is no decoder (``no_codec``).
        """
        member = self._members.get(header.member)
        if member is None or member.user_id != user_id:
            member = self._members[header.member] = _Member(user_id)
        stream = member.streams.pop(header.stream, None)
        if stream is None or not stream.continues(sound):
            stream = self._begin(sound)
        member.streams[header.stream] = stream
        if len(member.streams) > _MOST_STREAMS:
            del member.streams[next(iter(member.streams))]
        pieces = stream.take(header.seq, sound)
        if not pieces:
            self._drops["late"] += 1
        self.concealed += sum(piece.concealed for piece in pieces)
        self.recovered += sum(not piece.concealed for piece in pieces[:-1])
        for piece in pieces:
            member.meter.add(piece.level, piece.duration, now=now)
        return pieces

    def levels(self, *, now: float) -> dict[str, AudioLevel]:
        """Return how loud each member is whose sound somebody here follows, smoothed; ``now`` in monotonic seconds."""
        return {member.user_id: member.meter.read(now=now) for member in self._members.values()}

    def speaking(self, *, now: float) -> set[str]:
        """Return the members that speak at ``now``, of those whose sound somebody here follows."""
        return {member.user_id for member in self._members.values() if member.meter.speaking(now=now)}

    def forget(self, member: int | None) -> None:
        """Forget a member that left, by its number, or all of them."""
        if member is None:
            self._members.clear()
        else:
            self._members.pop(member, None)

    def _begin(self, sound: AudioChunk | OpusPacket) -> _OpusStream | _PcmStream:
        if isinstance(sound, AudioChunk):
            return _PcmStream(sound)
        try:
            return _OpusStream(sound.channels)
        except ConfigurationError as exc:
            if not self._warned:
                logger.warning("Opus cannot be heard: %s", exc.detail)
                self._warned = True
            raise ProtocolError("2", exc.detail, reason="no_codec") from exc


class _Member:
    """A member that was heard: how loud it is, and its streams, the one heard last at the end."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.meter = LevelMeter()
        self.streams: dict[int, _OpusStream | _PcmStream] = {}


class _OpusStream:
    """One stream of Opus."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._decoder = OpusDecoder(channels)
        self._number: int | None = None
        self._seq = -1
        self._data = b""
        self._end = 0.0

    def continues(self, sound: AudioChunk | OpusPacket) -> bool:
        """Return whether the sound may be of this stream."""
        return isinstance(sound, OpusPacket) and sound.channels == self._channels

    def take(self, seq: int, packet: Any) -> list[AudioChunk]:
        """Return what a packet gives.

        Raises:
            ProtocolError: It is no Opus.
        """
        if seq <= self._seq:
            return []
        missing = 0 if self._number is None else packet.number - self._number - 1
        if not 0 <= missing <= _FORGOTTEN:
            self._decoder, missing = OpusDecoder(self._channels), 0  # the sender began anew, or nobody listened
        pieces = self._fill(packet, missing) if missing else []
        # What was filled is, whatever becomes of the packet itself.
        self._number, self._seq = packet.number - 1, seq
        piece = self._chunk(self._decoder.decode(packet.data), packet.timestamp)
        self._number, self._data, self._end = packet.number, packet.data, piece.timestamp + piece.duration
        return [*pieces, piece]

    def _fill(self, packet: OpusPacket, missing: int) -> list[AudioChunk]:
        copy = None
        made_up = missing - bool(packet.previous)
        pieces: list[AudioChunk] = []
        left = round(_MOST_MADE_UP * OPUS_RATE)
        while len(pieces) < made_up and left > 0 and self._data:
            piece = self._chunk(self._decoder.conceal(self._data), self._end, concealed=True)
            self._end += piece.duration
            left -= len(piece.samples)
            pieces.append(piece)
        if packet.previous:
            try:
                copy = self._decoder.decode(packet.previous)
            except ProtocolError:
                copy = None
        if copy is not None:
            pieces.append(self._chunk(copy, packet.timestamp - len(copy) / OPUS_RATE))
        return pieces

    @staticmethod
    def _chunk(samples: Any, timestamp: float, *, concealed: bool = False) -> AudioChunk:
        return AudioChunk(samples, OPUS_RATE, max(0.0, timestamp), concealed)


class _PcmStream:
    """One stream of PCM of one form."""

    def __init__(self, first: AudioChunk) -> None:
        self._form = _form(first)
        self._seq = -1
        self._tail: Floats | None = None
        self._end = self._length = 0.0

    def continues(self, sound: AudioChunk | OpusPacket) -> bool:
        """Return whether the sound may be of this stream."""
        return isinstance(sound, AudioChunk) and _form(sound) == self._form

    def take(self, seq: int, chunk: Any) -> list[AudioChunk]:
        """Return what a packet gives."""
        if seq <= self._seq:
            return []
        lost = seq - self._seq - 1
        pieces = self._fill(chunk, lost) if lost and self._tail is not None else []
        keep = max(1, round(HISTORY * chunk.sample_rate))
        self._tail = _floats(chunk.samples[-keep:])
        self._seq, self._end, self._length = seq, chunk.timestamp + chunk.duration, chunk.duration
        return [*pieces, chunk]

    def _fill(self, chunk: AudioChunk, lost: int) -> list[AudioChunk]:
        assert self._tail is not None
        rate = chunk.sample_rate
        gap, usual = chunk.timestamp - self._end, lost * self._length
        # The sender may have paused too, or its times may jump: then the size of the packets is all there is to go by.
        seconds = gap if abs(gap - usual) < usual / 2 + _JITTER else usual
        count = round(seconds * rate)
        if count < 1:
            return []
        after = _floats(chunk.samples[: max(1, round(HISTORY * rate))])
        if seconds <= _MOST_MADE_UP and count * chunk.channels <= MAX_AUDIO_SAMPLES:
            return [self._made_up(bridge(self._tail, after, count, rate), chunk, chunk.timestamp - seconds)]
        fade = min(round(_FADE * rate), MAX_AUDIO_SAMPLES // chunk.channels)
        out = extend(self._tail, fade, rate)
        back = extend(after[::-1], fade, rate)[::-1]
        return [self._made_up(out, chunk, self._end), self._made_up(back, chunk, chunk.timestamp - fade / rate)]

    @staticmethod
    def _made_up(samples: Floats, like: AudioChunk, timestamp: float) -> AudioChunk:
        if like.samples.dtype == np.int16:
            whole = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
            return AudioChunk(whole, like.sample_rate, max(0.0, timestamp), concealed=True)
        return AudioChunk(samples, like.sample_rate, max(0.0, timestamp), concealed=True)


def _form(chunk: AudioChunk) -> tuple[int, int, str]:
    return chunk.sample_rate, chunk.channels, chunk.samples.dtype.str


def _floats(samples: Any) -> Floats:
    scale = np.float32(1 / 32768) if samples.dtype == np.int16 else np.float32(1)
    return np.asarray(samples * scale, dtype=np.float32)
