"""zlib with a ceiling."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.limits import MAX_INFLATED_BYTES
from posewire.protocol.inflate import inflate
from tests.unit.strategies import damaged, unless_refused


def read(data: bytes) -> bytes:
    return inflate(data, version="7")


@given(st.binary(max_size=2000), st.integers(0, 9))
def test_round_trip(data: bytes, level: int) -> None:
    assert inflate(zlib.compress(data, level), version="2") == data


@pytest.mark.parametrize("size", [0, 1, MAX_INFLATED_BYTES - 1, MAX_INFLATED_BYTES])
def test_up_to_the_limit(size: int) -> None:
    assert len(inflate(zlib.compress(bytes(size), 1), version="2")) == size


@pytest.mark.parametrize("size", [MAX_INFLATED_BYTES + 1, 3 * MAX_INFLATED_BYTES])
def test_over_the_limit(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"inflates over {MAX_INFLATED_BYTES} bytes"):
        inflate(zlib.compress(bytes(size), 1), version="2")


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = zlib.compress(bytes(64 << 20), 9)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            inflate(bomb, version="2")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # zlib's blocks and the bytes made of them, not sixteen times as much.
    assert peak < 3 * MAX_INFLATED_BYTES


DATA = b"landmarks, landmarks, landmarks"
PACKED = zlib.compress(DATA)


@pytest.mark.parametrize("size", range(len(PACKED)))
def test_cut_short(size: int) -> None:
    with pytest.raises(ProtocolError, match="cut short"):
        inflate(PACKED[:size], version="2")


def test_followed_by_something_else() -> None:
    with pytest.raises(ProtocolError, match="3 bytes after the compressed data"):
        inflate(PACKED + b"etc", version="2")
    with pytest.raises(ProtocolError):
        inflate(PACKED + PACKED, version="2")


@given(damaged(PACKED))
def test_damage_is_refused_or_changes_nothing(data: bytes) -> None:
    # A checksum stands behind zlib's data; of the two bytes in front of it some bits are advice only.
    assert unless_refused(read, data, version="7") in (DATA, None)


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_in_one_way(data: bytes) -> None:
    inflated = unless_refused(read, data, version="7")
    assert inflated is None or zlib.decompress(data) == inflated
