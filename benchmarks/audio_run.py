"""The measuring of the audio benchmark: time, bytes and likeness of each way to send sound."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.audio_quality import (
    Floats,
    delay_of,
    energy_error,
    segmental_snr,
    snr,
    spectral_distance,
)
from posewire.config import MediaConfig
from posewire.protocol import (
    HEADER_BYTES,
    AudioChunk,
    Delivery,
    FrameType,
    Header,
    Kind,
    OpusPacket,
    PoseProtocol,
)
from posewire.protocol.opus_packet import OPUS_FRAME, OPUS_RATE
from posewire.receiver.audio_decoder import AudioDecoder
from posewire.sender.audio_encoder import AudioEncoder

Samples = npt.NDArray[np.float32]

SEAL_BYTES: Final = 8
"""Of the MAC; a room key makes it 16."""
_EPOCH: Final = 1.0
_PERCENTILES: Final = (50, 95, 99)


class Way(msgspec.Struct, frozen=True):
    """One way to send sound."""

    name: str
    bit_rate: int | None
    """None is PCM, int16."""
    redundant: bool = False


def pieces(sound: Samples) -> Iterator[tuple[AudioChunk, float]]:
    """Yield 20 ms after 20 ms, int16 as a capture loop has it, with its time."""
    whole = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    for number in range(len(whole) // OPUS_FRAME):
        at = _EPOCH + number * OPUS_FRAME / OPUS_RATE
        yield AudioChunk(whole[number * OPUS_FRAME : (number + 1) * OPUS_FRAME], OPUS_RATE, at), at


def encoder_of(way: Way, protocol: PoseProtocol) -> Callable[[AudioChunk, float], list[tuple[bytes, float]]]:
    """Return what makes bodies, with their times, of a piece."""
    if way.bit_rate is None:
        return lambda chunk, at: [(protocol.encode_audio(chunk), at)]
    coder = AudioEncoder(MediaConfig(codec="opus", bit_rate=way.bit_rate, bit_rate_min=6000))
    coder.redundant = way.redundant
    return lambda chunk, at: [(protocol.encode_audio(one), one.timestamp) for one in coder.encode(chunk, at)]


class Listener:
    """The receiving side of a stream."""

    def __init__(self, protocol: PoseProtocol) -> None:
        self.decoder = AudioDecoder(Counter())
        self._protocol = protocol

    def hear(self, seq: int, body: bytes, at: float) -> list[AudioChunk]:
        """Return what a packet gives."""
        header = Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.KEY, 1, 1, seq, 0, round(at * 1e6))
        sound: AudioChunk | OpusPacket = self._protocol.decode_audio(header, bytes(HEADER_BYTES) + body, timestamp=at)
        return self.decoder.decode(header, sound, "speaker", now=at)


def measure(way: Way, sound: Samples) -> dict[str, Any]:
    """Return time of each piece (µs of wall and of this thread's CPU), bytes, and likeness of what comes out."""
    protocol = PoseProtocol()
    encode, listener = encoder_of(way, protocol), Listener(protocol)
    encoding: list[int] = []
    encoding_cpu: list[int] = []
    decoding: list[int] = []
    decoding_cpu: list[int] = []
    heard: list[AudioChunk] = []
    size = packets = 0
    for chunk, at in pieces(sound):
        cpu, begin = time.thread_time_ns(), time.perf_counter_ns()
        bodies = encode(chunk, at)
        encoding.append(time.perf_counter_ns() - begin)
        encoding_cpu.append(time.thread_time_ns() - cpu)
        for body, stamp in bodies:
            cpu, begin = time.thread_time_ns(), time.perf_counter_ns()
            got = listener.hear(packets, body, stamp)
            decoding.append(time.perf_counter_ns() - begin)
            decoding_cpu.append(time.thread_time_ns() - cpu)
            heard += got
            packets += 1
            size += HEADER_BYTES + SEAL_BYTES + len(body)
    original, other, delay = _aligned(sound, heard)
    return {
        "name": way.name,
        "bit_rate": way.bit_rate,
        "packets": packets,
        "bytes_per_s": round(size / (packets * OPUS_FRAME / OPUS_RATE)),
        "encode_us": _percentiles(encoding),
        "encode_cpu_us": _percentiles(encoding_cpu),
        "decode_us": _percentiles(decoding),
        "decode_cpu_us": _percentiles(decoding_cpu),
        "delay_samples": delay,
        "stamp_error_ms": round(_stamp_error(heard, delay, way), 3),
        "snr_db": round(snr(original, other), 2),
        "segmental_snr_db": round(segmental_snr(original, other), 2),
        "spectral_distance_db": round(spectral_distance(original, other), 2),
    }


def lossy(way: Way, sound: Samples, loss: float, seeds: Sequence[int]) -> dict[str, Any]:
    """Return how well gaps are filled when ``loss`` of the packets do not come, means over seeds.

    ``energy_error_db`` is of the lost frames against the original; ``silence_db`` the same with nothing in their
    place; ``snr_db`` is over everything, against what comes out without loss; ``segmental_snr_db`` and
    ``spectral_distance_db`` are over everything, against the original: what codec and loss do together.
    """
    protocol = PoseProtocol()
    encode = encoder_of(way, protocol)
    packets = [packet for chunk, at in pieces(sound) for packet in encode(chunk, at)]
    whole = _play(packets, range(len(packets)), protocol)[0]
    original, clean, delay = _aligned(sound, whole)
    results: list[dict[str, float]] = []
    for seed in seeds:
        chance = random.Random(seed)
        # The first and the last come: what is before and after a conversation is not to be made up.
        kept = [n for n in range(len(packets)) if n in (0, len(packets) - 1) or chance.random() >= loss]
        heard, decoder = _play(packets, kept, protocol)
        other = _joined(heard)[delay : delay + len(original)]
        gone = np.setdiff1d(np.arange(len(packets)), kept)
        # A packet is heard in two frames of the original where the codec looks ahead; most of it is in its own.
        frames = gone[gone < len(original) // OPUS_FRAME].astype(np.intp)
        if not len(frames) or len(other) != len(original):
            continue
        muted = other.copy()
        for frame in frames:
            muted[frame * OPUS_FRAME : (frame + 1) * OPUS_FRAME] = 0
        results.append(
            {
                "energy_error_db": energy_error(original, other, frames),
                "silence_db": energy_error(original, muted, frames),
                "snr_db": snr(clean, other),
                "segmental_snr_db": segmental_snr(original, other),
                "spectral_distance_db": spectral_distance(original, other),
                "lost": len(gone),
                "made_up": decoder.concealed,
                "read_from_copy": decoder.recovered,
                **_steps(heard),
            }
        )
    means = {name: round(float(np.mean([each[name] for each in results])), 2) for name in results[0]}
    return {"name": way.name, "loss": loss, "rounds": len(results), **means}


def _play(
    packets: Sequence[tuple[bytes, float]], kept: Sequence[int], protocol: PoseProtocol
) -> tuple[list[AudioChunk], AudioDecoder]:
    listener = Listener(protocol)
    heard = [piece for seq in kept for piece in listener.hear(seq, *packets[seq])]
    return heard, listener.decoder


def _joined(heard: Sequence[AudioChunk]) -> Floats:
    return np.concatenate([piece.samples[:, 0] for piece in heard]).astype(np.float64) / 32768


def _aligned(sound: Samples, heard: Sequence[AudioChunk]) -> tuple[Floats, Floats, int]:
    """Return original and heard sound without the codec's delay, whole frames of the same length, and that delay."""
    original, other = sound[:, 0].astype(np.float64), _joined(heard)
    delay = delay_of(original, other)
    other = other[max(0, delay) :]
    length = min(len(original), len(other)) // OPUS_FRAME * OPUS_FRAME
    return original[:length], other[:length], delay


def _stamp_error(heard: Sequence[AudioChunk], delay: int, way: Way) -> float:
    """Return by how many ms the capture times are off from where the sound is found in the original."""
    first = heard[0].timestamp - _EPOCH
    return abs(first * 1000 + delay / OPUS_RATE * 1000)


def _steps(heard: Sequence[AudioChunk]) -> dict[str, float]:
    """Return the largest step at a joint of true and made-up sound, and the largest inside true sound, of 1."""
    joints, inside = [0.0], [0.0]
    for one, two in itertools.pairwise(heard):
        if one.concealed != two.concealed:
            joints.append(abs(int(two.samples[0, 0]) - int(one.samples[-1, 0])) / 32768)
    true = [piece.samples[:, 0].astype(np.int32) for piece in heard if not piece.concealed]
    inside += [float(np.abs(np.diff(samples)).max()) / 32768 for samples in true]
    return {"largest_joint": max(joints), "largest_inside": max(inside)}


def _percentiles(times: Sequence[int]) -> dict[str, float]:
    values = np.percentile(np.array(times) / 1000, _PERCENTILES)
    return {f"p{percent}": round(float(value), 1) for percent, value in zip(_PERCENTILES, values, strict=True)}
