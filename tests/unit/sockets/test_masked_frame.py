"""A client's WebSocket frame against RFC 6455 in plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.sockets.masked_frame import MaskedFrames


def parse(frame: bytes) -> tuple[bytes, bytes]:
    """Return masking key and payload of one whole frame, as section 5.2 has it."""
    assert frame[0] == 0x82, "FIN, no extension, binary"
    assert frame[1] & 0x80, "masked"
    size, at = frame[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(frame[2:4], "big"), 4
        assert size >= 126, "the shortest form that holds it"
    elif size == 127:
        size, at = int.from_bytes(frame[2:10], "big"), 10
        assert size >= 1 << 16
    key, masked = frame[at : at + 4], frame[at + 4 :]
    assert len(masked) == size
    return key, bytes(byte ^ key[index % 4] for index, byte in enumerate(masked))


@given(st.binary(max_size=300))
def test_the_payload_comes_out_again(payload: bytes) -> None:
    assert parse(MaskedFrames().frame(payload))[1] == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_001])
def test_every_form_of_length(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    assert parse(MaskedFrames().frame(payload))[1] == payload
    assert payload == bytes(index % 251 for index in range(size)), "what is handed in is not changed"


def test_each_frame_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []

    def token_bytes(size: int) -> bytes:
        start = 256 * len(drawn)
        drawn.append(b"".join((start + index).to_bytes(4, "big") for index in range(size // 4)))
        return drawn[-1]

    monkeypatch.setattr("posewire.sockets.masked_frame.secrets.token_bytes", token_bytes)
    frames = MaskedFrames()
    keys = [parse(frames.frame(b"abcde"))[0] for _ in range(600)]
    assert keys == [index.to_bytes(4, "big") for index in range(600)]
    assert len(drawn) == 3
