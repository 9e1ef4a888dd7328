"""libopus through PyAV."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from benchmarks.audio_quality import delay_of, segmental_snr

from posewire.errors import ConfigurationError, ProtocolError
from posewire.protocol.opus_codec import OpusDecoder, OpusEncoder, load_av
from posewire.protocol.opus_packet import OPUS_FRAME, OPUS_LOOKAHEAD
from tests.sound import sine


def coded(sound: np.ndarray, bit_rate: int = 32_000) -> list[bytes]:
    encoder = OpusEncoder(sound.shape[1], bit_rate)
    return [encoder.encode(sound[at : at + OPUS_FRAME]) for at in range(0, len(sound), OPUS_FRAME)]


@pytest.mark.parametrize("channels", [1, 2])
def test_what_comes_out_is_what_went_in_a_little_later(channels: int) -> None:
    sound = sine(440, 0.5, channels=channels)
    decoder = OpusDecoder(channels)
    heard = np.concatenate([decoder.decode(packet) for packet in coded(sound, 64_000)])
    assert heard.shape == sound.shape
    assert heard.dtype == np.int16
    first, second = sound[:, 0].astype(np.float64), heard[:, -1].astype(np.float64) / 32768
    # A tone is like itself a period later too: look for less than half of one around where it should be.
    delay = OPUS_LOOKAHEAD + delay_of(
        first[4800:-4800], second[4800 + OPUS_LOOKAHEAD : -4800 + OPUS_LOOKAHEAD], most=50
    )
    assert abs(delay - OPUS_LOOKAHEAD) <= 10, "0.2 ms"
    assert segmental_snr(first[4800:-4800], second[4800 + delay : len(first) - 4800 + delay]) > 15


def test_the_bit_rate_is_kept() -> None:
    rng = np.random.default_rng(1)
    sound = rng.normal(0, 0.1, (48_000, 1)).astype(np.float32)
    for bit_rate in (12_000, 32_000, 64_000):
        packets = coded(sound, bit_rate)
        assert 0.7 * bit_rate < 8 * sum(map(len, packets)) < 1.15 * bit_rate


def test_a_lost_packet_goes_on_as_it_was_and_then_fades() -> None:
    decoder = OpusDecoder(1)
    packets = coded(sine(300, 0.4))
    for packet in packets[:10]:
        last = decoder.decode(packet)
    loud = float(np.std(last))
    made_up = [decoder.conceal(packets[9]) for _ in range(25)]
    assert {len(part) for part in made_up} == {OPUS_FRAME}
    # libopus's own concealment, not silence: the first is about as loud as what came before.
    assert float(np.std(made_up[0])) > 0.7 * loud
    assert abs(int(made_up[0][0, 0]) - int(last[-1, 0])) < 3000, "no click"
    assert float(np.std(made_up[-1])) < 0.1 * loud


@pytest.mark.parametrize("data", [b"\xff", b"\x03", b"\x4b\xff" + bytes(30), b"\x01abc", b"\x02\xfe"])
def test_what_is_no_opus_is_refused_and_nothing_breaks(data: bytes) -> None:
    decoder = OpusDecoder(1)
    good = coded(sine(300, 0.1))
    decoder.decode(good[0])
    with pytest.raises(ProtocolError, match="Opus of"):
        decoder.decode(data)
    assert len(decoder.decode(good[1])) == OPUS_FRAME


def test_noise_is_decoded_or_refused() -> None:
    rng = np.random.default_rng(0)
    decoder = OpusDecoder(2)
    for _ in range(300):
        data = rng.bytes(int(rng.integers(1, 100)))
        try:
            samples = decoder.decode(data)
        except ProtocolError:
            continue
        assert samples.shape[1] == 2
        assert len(samples) <= 5760, "120 ms"


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for make in (load_av, lambda: OpusEncoder(1, 32_000), lambda: OpusDecoder(1)):
        with pytest.raises(ConfigurationError, match=r"media.codec=opus.*pip install 'posewire\[audio\]'"):
            make()
