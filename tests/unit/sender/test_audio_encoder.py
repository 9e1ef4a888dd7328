"""Pieces of any size and rate into packets of 20 ms."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from benchmarks.audio_quality import at_48_khz, delay_of, segmental_snr, snr
from hypothesis import given
from hypothesis import strategies as st

from posewire.config import MediaConfig
from posewire.errors import ConfigurationError, DataValidationError
from posewire.protocol import AudioChunk, Delivery, FrameType, Header, Kind, OpusPacket
from posewire.protocol.opus_packet import OPUS_LOOKAHEAD
from posewire.receiver.audio_decoder import AudioDecoder
from posewire.sender.audio_encoder import AudioEncoder
from posewire.sources import SPEECH
from tests.sound import cut, joined, numbers, sine, speech

LOOKAHEAD = OPUS_LOOKAHEAD / 48_000


def encoder(**settings: object) -> AudioEncoder:
    return AudioEncoder(MediaConfig(codec="opus", **settings))  # type: ignore[arg-type]


def encoded(coder: AudioEncoder, sound: AudioChunk, size: int = 960, start: float = 1.0) -> list[OpusPacket]:
    return [packet for chunk, at in cut(sound, size, start) for packet in coder.encode(chunk, at)]


def heard(packets: list[OpusPacket]) -> list[AudioChunk]:
    decoder = AudioDecoder(Counter())
    where = [Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.KEY, 1, 1, seq, 0, 0) for seq in range(len(packets))]
    return [
        piece for each, packet in zip(where, packets, strict=True) for piece in decoder.decode(each, packet, "a", now=0)
    ]


@pytest.mark.parametrize("size", [1, 100, 441, 959, 960, 961, 4800])
def test_pieces_of_any_size_fill_packets(size: int) -> None:
    sound = AudioChunk(sine(300, 0.1 if size < 100 else 0.5), 48_000)
    packets = encoded(encoder(), sound, size)
    assert numbers(packets) == list(range(len(sound.samples) // 960))
    times = [packet.timestamp for packet in packets]
    assert times == pytest.approx([1.0 + 0.02 * n - LOOKAHEAD for n in range(len(packets))], abs=1e-6)


def test_the_size_of_pieces_changes_nothing() -> None:
    sound = AudioChunk(sine(300, 0.2), 48_000)
    assert [packet.data for packet in encoded(encoder(), sound, 960)] == [
        packet.data for packet in encoded(encoder(), sound, 441)
    ]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_time_of_a_packet_is_that_of_its_first_sample_at_any_rate(rate: int, channels: int) -> None:
    """A click a quarter of a second in is heard there."""
    rng = np.random.default_rng(3)
    wave = np.zeros((rate // 2, channels), np.float32)
    click = rate // 4
    wave[click : click + rate // 100] = 0.5 * rng.standard_normal((rate // 100, 1)).clip(-1.5, 1.5)
    pieces = heard(encoded(encoder(bit_rate=64_000), AudioChunk(wave, rate), rate // 50))
    assert {piece.channels for piece in pieces} == {channels}
    first = next(
        piece.timestamp + int(np.argmax(np.abs(piece.samples[:, 0]) > 2000)) / 48_000
        for piece in pieces
        if (np.abs(piece.samples[:, 0]) > 2000).any()
    )
    assert first == pytest.approx(1.25, abs=0.003)


def test_speech_is_where_it_was_to_the_millisecond() -> None:
    sound = speech(3.0)
    pieces = heard(encoded(encoder(), sound, 320))
    other = joined(pieces)[::3]
    original = sound.samples[:, 0] / 32768
    delay = delay_of(original, other, most=800) / 16_000
    assert pieces[0].timestamp + delay == pytest.approx(1.0, abs=0.001)


def test_int16_and_float32_sound_the_same() -> None:
    floats = sine(300, 0.3)
    whole = AudioChunk(np.rint(floats * 32768).astype(np.int16), 48_000)
    one, two = joined(heard(encoded(encoder(), whole))), joined(heard(encoded(encoder(), AudioChunk(floats, 48_000))))
    assert segmental_snr(one, two) > 25


def test_times_that_jitter_are_smoothed_and_a_drift_is_followed() -> None:
    rng = np.random.default_rng(0)
    coder, sound = encoder(), AudioChunk(np.zeros(48_000 * 20, np.int16)[:196_800], 48_000)
    times, drift = [], 200e-6
    for number in range(20):
        for chunk, at in cut(sound, 960, 1.0 + number * 4.1):
            given_at = 1.0 + (at - 1.0) * (1 + drift) + float(rng.uniform(-0.01, 0.01))
            times += [packet.timestamp for packet in coder.encode(chunk, given_at)]
    steps = np.diff(times)
    assert steps == pytest.approx(0.02, abs=0.0003), "jitter of 10 ms is not in them"
    true = 1.0 - LOOKAHEAD + 0.02 * (1 + drift) * np.arange(len(times))
    assert float(np.abs(np.array(times) - true)[-500:].max()) < 0.005, "16 ms of drift are"
    assert coder.number == len(times)


def test_after_an_interruption_times_begin_anew_and_nothing_is_lost() -> None:
    coder = encoder()
    first = encoded(coder, AudioChunk(sine(300, 0.05), 48_000))
    assert len(first) == 2
    later = encoded(coder, AudioChunk(sine(300, 0.05), 48_000), start=100.0)
    # What waited left with silence behind it, at its own time; then it goes on, and no number is left out.
    assert [packet.timestamp for packet in later] == pytest.approx(
        [1.04 - LOOKAHEAD, 100.0 - LOOKAHEAD, 100.02 - LOOKAHEAD], abs=1e-6
    )
    assert numbers(first + later) == list(range(5))
    assert not any(piece.concealed for piece in heard(first + later))


def test_the_bit_rate_changes_on_the_way_without_a_hole() -> None:
    sound = speech(4.0)
    coder, packets = encoder(), []
    for number, (chunk, at) in enumerate(cut(sound, 320)):
        coder.bit_rate = (32_000, 12_000)[number // 25 % 2]
        packets += list(coder.encode(chunk, at))
    steady = joined(heard(encoded(encoder(), sound, 320)))
    switching = joined(heard(packets))
    assert numbers(packets) == list(range(len(packets)))
    assert len(steady) == len(switching)
    # Around each change the energy is that of the sound: an encoder that began with silence would show a hole of 6 ms.
    for at in range(25 * 960, len(steady) - 960, 25 * 960):
        near = slice(at, at + 480)
        if float(np.std(steady[near])) > 0.02:
            assert float(np.std(switching[near])) > 0.4 * float(np.std(steady[near]))
    # And the waveform too: an encoder that has heard too little of it is 5 dB worse there.
    original = at_48_khz(SPEECH)[: len(steady), 0].astype(np.float64)
    delay = delay_of(original, steady)
    changes = range(25 * 960, len(steady) - 3800, 25 * 960)
    places = np.concatenate([np.arange(change, change + 2880) for change in changes])
    assert snr(original[places], switching[places + delay]) > 9
    bits = [8 * len(packet.data) for packet in packets]
    assert sum(bits[27:52]) < 0.6 * sum(bits[2:27])


def test_each_packet_carries_the_one_before_when_asked_to() -> None:
    coder, sound = encoder(), AudioChunk(sine(300, 0.1), 48_000)
    plain = encoded(coder, sound)
    assert {packet.previous for packet in plain} == {b""}
    coder.redundant = True
    twice = encoded(coder, sound, start=1.1)
    assert [packet.previous for packet in twice] == [packet.data for packet in (plain[-1], *twice[:-1])]


def test_mono_then_stereo() -> None:
    coder = encoder()
    packets = encoded(coder, AudioChunk(sine(300, 0.1), 48_000))
    packets += encoded(coder, AudioChunk(sine(300, 0.1, channels=2), 48_000), start=1.1)
    assert [packet.channels for packet in packets] == [1] * 5 + [2] * 5
    assert packets[5].previous == b""


def test_more_than_two_channels_are_refused() -> None:
    with pytest.raises(DataValidationError, match="Invalid channels: 3"):
        list(encoder().encode(AudioChunk(np.zeros((960, 3), np.int16), 48_000), 1.0))


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigurationError, match=r"posewire\[audio\]"):
        encoder()


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=10), st.sampled_from((8000, 44_100, 48_000)))
def test_all_that_goes_in_comes_out(sizes: list[int], rate: int) -> None:
    coder, at, samples, packets = encoder(), 1.0, 0, 0
    for size in sizes:
        packets += len(list(coder.encode(AudioChunk(np.zeros(size, np.int16), rate), at)))
        samples += size
        at += size / rate
    # Less than a packet waits, and what the resampler holds back.
    assert packets * 960 <= samples * 48_000 / rate + 1 <= packets * 960 + 960 + 960
