"""Packets of sound, some of which do not come."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.config import MediaConfig
from posewire.errors import ProtocolError
from posewire.protocol import AudioChunk, Delivery, FrameType, Header, Kind, OpusPacket, PoseProtocol
from posewire.receiver.audio_decoder import AudioDecoder
from posewire.sender.audio_encoder import AudioEncoder
from tests.fuzz.receive_path import PLAIN, STREAMS, ReceivePath
from tests.sound import cut, joined, sine


def header(seq: int, *, member: int = 3, stream: int = 1) -> Header:
    return Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.KEY, stream, member, seq, 0, 0)


class Rig:
    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.decoder = AudioDecoder(self.drops)

    def hear(self, seq: int, sound: AudioChunk | OpusPacket, user: str = "a", **where: int) -> list[AudioChunk]:
        return self.decoder.decode(header(seq, **where), sound, user, now=10.0 + 0.02 * seq)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def opus(seconds: float = 0.4, *, redundant: bool = False, channels: int = 1, hz: float = 300) -> list[OpusPacket]:
    encoder = AudioEncoder(MediaConfig(codec="opus"))
    encoder.redundant = redundant
    sound = AudioChunk(sine(hz, seconds, channels=channels), 48_000)
    return [packet for chunk, at in cut(sound, 960) for packet in encoder.encode(chunk, at)]


def pcm(count: int = 20, *, rate: int = 48_000, size: int = 960, dtype: Any = np.int16) -> list[AudioChunk]:
    wave = sine(200, count * size / rate, rate)
    samples = np.rint(wave * 32768).astype(np.int16) if dtype == np.int16 else wave
    return [chunk for chunk, _ in cut(AudioChunk(samples, rate), size)]


def flags(pieces: list[AudioChunk]) -> list[bool]:
    return [piece.concealed for piece in pieces]


# Opus ----------------------------------------------------------------------------------------------------------------


def test_opus_comes_out_in_pieces_of_20_ms_with_their_times(rig: Rig) -> None:
    packets = opus()
    pieces = [piece for seq, packet in enumerate(packets) for piece in rig.hear(seq, packet)]
    assert len(pieces) == len(packets) == 20
    assert {(piece.sample_rate, piece.channels, len(piece.samples)) for piece in pieces} == {(48_000, 1, 960)}
    assert [piece.timestamp for piece in pieces] == [packet.timestamp for packet in packets]
    assert flags(pieces) == [False] * 20
    assert rig.decoder.concealed == rig.decoder.recovered == 0
    assert not rig.drops


@pytest.mark.parametrize("missing", [1, 2, 5, 10])
def test_a_gap_is_filled_and_flagged(rig: Rig, missing: int) -> None:
    packets = opus()
    before = [piece for seq in range(5) for piece in rig.hear(seq, packets[seq])]
    pieces = rig.hear(5 + missing, packets[5 + missing])
    assert flags(pieces) == [True] * missing + [False]
    assert rig.decoder.concealed == missing
    times = [piece.timestamp for piece in (*before, *pieces)]
    assert np.diff(times) == pytest.approx(0.02, abs=1e-6)
    assert float(np.std(pieces[0].samples)) > 0.5 * float(np.std(before[-1].samples))


def test_packets_that_never_left_are_a_gap_too(rig: Rig) -> None:
    """The sender drops what waited too long: no number of the stream is missing then."""
    packets = opus()
    rig.hear(0, packets[0])
    assert flags(rig.hear(1, packets[3])) == [True, True, False]


def test_a_pause_of_the_sender_is_none(rig: Rig) -> None:
    packets = opus(0.1)
    later = OpusPacket(packets[1].data, 1, 1, b"", packets[1].timestamp + 60)
    rig.hear(0, packets[0])
    assert flags(rig.hear(1, later)) == [False]


def test_the_copy_is_the_true_sound(rig: Rig) -> None:
    packets = opus(redundant=True)
    clean = Rig()
    expected = [clean.hear(seq, packet)[-1] for seq, packet in enumerate(packets)]
    heard = [piece for seq in range(20) if seq not in (6, 12) for piece in rig.hear(seq, packets[seq])]
    assert heard == expected, "bit by bit, as if nothing had been lost"
    assert rig.decoder.recovered == 2
    assert rig.decoder.concealed == 0


def test_of_two_lost_packets_the_copy_is_of_the_second(rig: Rig) -> None:
    packets = opus(redundant=True)
    rig.hear(0, packets[0])
    pieces = rig.hear(3, packets[3])
    assert flags(pieces) == [True, False, False]
    assert np.diff([piece.timestamp for piece in pieces]) == pytest.approx(0.02, abs=1e-6)


def test_a_copy_that_is_damaged_is_made_up(rig: Rig) -> None:
    packets = opus()
    rig.hear(0, packets[0])
    packet = OpusPacket(packets[2].data, 1, 2, b"\xff", packets[2].timestamp)
    assert [piece.timestamp for piece in rig.hear(2, packet)] == [packets[2].timestamp]
    assert rig.decoder.concealed == 0


def test_a_long_gap_fades_and_is_not_filled(rig: Rig) -> None:
    packets = opus(1.0)
    rig.hear(0, packets[0])
    pieces = rig.hear(31, packets[31])
    assert flags(pieces) == [True] * 10 + [False]
    assert pieces[9].timestamp == pytest.approx(packets[10].timestamp, abs=1e-6)
    assert pieces[10].timestamp == packets[31].timestamp
    assert float(np.std(pieces[9].samples)) < 0.5 * float(np.std(pieces[0].samples))


def test_after_a_second_nothing_is_made_up(rig: Rig) -> None:
    packets = opus(1.2)
    rig.hear(0, packets[0])
    assert flags(rig.hear(55, packets[55])) == [False]


def test_late_ones_are_counted(rig: Rig) -> None:
    packets = opus()
    rig.hear(0, packets[0])
    rig.hear(2, packets[2])
    assert rig.hear(1, packets[1]) == []
    assert rig.hear(2, packets[2]) == []
    assert rig.drops["late"] == 2


def test_a_sender_that_began_anew(rig: Rig) -> None:
    packets = opus()
    for seq in range(5):
        rig.hear(seq, packets[seq])
    assert flags(rig.hear(5, packets[0])) == [False]
    assert flags(rig.hear(6, packets[1])) == [False]


def test_mono_and_stereo_may_follow_each_other(rig: Rig) -> None:
    mono, stereo = opus(0.1), opus(0.1, channels=2)
    assert [rig.hear(seq, packet)[0].channels for seq, packet in enumerate((*mono, *stereo))] == [1] * 5 + [2] * 5


def test_damage_is_refused_and_its_place_filled(rig: Rig) -> None:
    packets = opus()
    rig.hear(0, packets[0])
    with pytest.raises(ProtocolError):
        rig.hear(1, OpusPacket(b"\xff", 1, 1))
    assert flags(rig.hear(2, packets[2])) == [True, False]


def test_without_pyav_it_is_counted_and_said_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packets = opus(0.1)
    monkeypatch.setitem(sys.modules, "av", None)
    with caplog.at_level(logging.WARNING):
        for seq in range(3):
            with pytest.raises(ProtocolError) as caught:
                rig.hear(seq, packets[seq])
            assert caught.value.reason == "no_codec"
    assert caplog.text.count("pip install 'posewire[audio]'") == 1


# PCM -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("rate", [8000, 48_000])
def test_pcm_comes_out_as_it_went_in_and_gaps_are_bridged(rig: Rig, dtype: Any, rate: int) -> None:
    chunks = pcm(rate=rate, size=rate // 50, dtype=dtype)
    for seq in range(5):
        assert rig.hear(seq, chunks[seq]) == [chunks[seq]]
    pieces = rig.hear(7, chunks[7])
    assert flags(pieces) == [True, False]
    assert pieces[1] == chunks[7]
    made = pieces[0]
    assert made.samples.dtype == dtype
    assert len(made.samples) == 2 * rate // 50
    assert made.timestamp == pytest.approx(chunks[5].timestamp, abs=1e-6)
    # The tone goes on, and there is no click at either end.
    whole = joined([chunks[4], made, chunks[7]])
    assert float(np.abs(np.diff(whole)).max()) < 3 * float(np.abs(np.diff(joined(chunks))).max())


def test_pcm_times_that_jitter_are_no_gap(rig: Rig) -> None:
    chunks = pcm()
    for seq, chunk in enumerate(chunks):
        shaken = AudioChunk(chunk.samples, 48_000, chunk.timestamp + 0.015 * (seq % 2))
        assert rig.hear(seq, shaken) == [shaken]


def test_a_pause_of_pcm_is_not_filled_though_a_packet_was_lost(rig: Rig) -> None:
    chunks = pcm()
    rig.hear(0, chunks[0])
    later = AudioChunk(chunks[2].samples, 48_000, chunks[2].timestamp + 30)
    pieces = rig.hear(2, later)
    assert flags(pieces) == [True, False]
    assert len(pieces[0].samples) == 960, "as much as was lost"


def test_a_long_gap_of_pcm_fades_out_and_in(rig: Rig) -> None:
    chunks = pcm(60)
    rig.hear(0, chunks[0])
    out, back, true = rig.hear(50, chunks[50])
    assert flags([out, back, true]) == [True, True, False]
    assert out.timestamp == pytest.approx(chunks[1].timestamp)
    assert back.timestamp + back.duration == pytest.approx(true.timestamp)
    assert abs(int(out.samples[-1, 0])) < 50
    assert abs(int(back.samples[0, 0])) < 50


def test_the_form_of_pcm_may_change(rig: Rig) -> None:
    rig.hear(0, pcm()[0])
    other = pcm(rate=8000, size=160)[3]
    assert rig.hear(5, other) == [other]


def test_large_pieces_are_filled_within_the_limit(rig: Rig) -> None:
    big = np.zeros((20_000, 8), np.int16)
    rig.hear(0, AudioChunk(big, 384_000, 1.0))
    pieces = rig.hear(4, AudioChunk(big, 384_000, 1.0 + 4 * 20_000 / 384_000))
    assert flags(pieces)[-1] is False


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 2000), st.floats(-0.5, 0.5)), min_size=1, max_size=12))
def test_whatever_the_times_say(steps: list[tuple[int, int, float]]) -> None:
    rig, seq, at = Rig(), 0, 1.0
    for skip, size, jump in steps:
        seq += skip
        at = max(0.0, at + jump)
        chunk = AudioChunk(np.full(size, 1000, np.int16), 48_000, at)
        pieces = rig.hear(seq, chunk)
        assert not pieces or pieces[-1] == chunk
        assert sum(piece.duration for piece in pieces[:-1]) <= 0.25


# Members -------------------------------------------------------------------------------------------------------------


def test_members_and_streams_are_kept_apart(rig: Rig) -> None:
    chunks = pcm()
    rig.hear(0, chunks[0])
    assert flags(rig.hear(5, chunks[5], user="b", member=4)) == [False]
    assert flags(rig.hear(5, chunks[5], stream=2)) == [False]
    assert flags(rig.hear(2, chunks[2])) == [True, False]


def test_streams_of_a_member_are_bounded(rig: Rig) -> None:
    chunk = pcm()[0]
    for stream in range(1, 30):
        rig.hear(0, chunk, stream=stream)
    assert len(rig.decoder._members[3].streams) == 8
    assert 29 in rig.decoder._members[3].streams


def test_who_left_is_forgotten_and_the_number_may_be_anothers(rig: Rig) -> None:
    chunks = pcm()
    rig.hear(0, chunks[0])
    rig.hear(0, chunks[0], user="b", member=4)
    rig.decoder.forget(3)
    assert set(rig.decoder.levels(now=10.0)) == {"b"}
    assert flags(rig.hear(5, chunks[5])) == [False]
    assert flags(rig.hear(9, chunks[9], user="c")) == [False], "another user under the same number"
    rig.decoder.forget(None)
    assert rig.decoder.levels(now=10.0) == {}


async def test_a_protocol_that_forgets_a_member_tells_the_receiver() -> None:
    path = ReceivePath(None)
    chunk = pcm()[0]
    where = Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.KEY, STREAMS[Kind.AUDIO], PLAIN, 0, 0, 10**15)
    path.take(where.pack() + PoseProtocol().encode_audio(chunk))
    assert set(path.receiver.audio.levels(now=0.0)) == {"plain"}
    path.socket.protocol.forget(PLAIN)
    assert not path.receiver.audio.levels(now=0.0)
    path.take(Header(2, Kind.AUDIO, 1, 0, STREAMS[Kind.AUDIO], PLAIN, 1, 0, 10**15).pack() + b"\0")  # type: ignore[arg-type]
    path.socket.protocol.reset()
    assert not path.receiver.audio.levels(now=0.0)


def test_levels(rig: Rig) -> None:
    quiet = AudioChunk(np.zeros(960, np.int16), 48_000, 1.0)
    for seq, chunk in enumerate(pcm()):
        rig.hear(seq, chunk)
        rig.hear(seq, quiet, user="b", member=4)
    now = 10.0 + 0.02 * 19
    levels = rig.decoder.levels(now=now)
    assert levels["a"].rms == pytest.approx(-9.03, abs=0.2)
    assert levels["a"].peak == pytest.approx(-6.02, abs=0.1)
    assert levels["b"].rms == -120
    assert rig.decoder.speaking(now=now) == {"a"}
    assert rig.decoder.speaking(now=now + 5) == set()
