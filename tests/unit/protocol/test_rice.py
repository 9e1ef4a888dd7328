"""Rice codes: against a slow coder written from the text, and under damage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.protocol.rice import Ints, pack, unpack
from tests.unit.strategies import bit_flips, damaged, unless_refused

# Of the wire, not of the code: said again here.
LINEAR_STEPS, MAX_K, SYMBOL_LIMIT = 12, 20, 1 << 25

symbols = st.integers(0, 40) | st.integers(0, 5000) | st.integers(0, SYMBOL_LIMIT - 1)
pairs = st.lists(st.tuples(symbols, st.integers(0, MAX_K)), max_size=60)
Pairs = list[tuple[int, int]]

SMALL: Pairs = [(0, 0), (5, 1), (1000, 3), (7, 2), (0, 4), (12, 0), (3, 0)]


def arrays(coded: Pairs) -> tuple[Ints, Ints]:
    return np.array([u for u, _ in coded], np.int64), np.array([k for _, k in coded], np.int64)


def slowly(coded: Pairs) -> bytes:
    """Code bit by bit: unary parts, then low bits; the steps after the linear ones cover twice what the last did."""
    unary, low = "", ""
    for u, k in coded:
        step, start, covers = 0, 0, 1 << k
        while u >= start + covers:
            start += covers
            step += 1
            if step >= LINEAR_STEPS:
                covers *= 2
        width = covers.bit_length() - 1
        unary += "0" * step + "1"
        low += f"{u - start:0{width}b}" if width else ""
    bits = unary + low
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


@given(pairs)
@example([(SYMBOL_LIMIT - 1, 0)])
@example([(SYMBOL_LIMIT - 1, MAX_K), (0, MAX_K)])
@example([(11, 0), (12, 0), (13, 0), (14, 0), (17, 0), (18, 0)])
def test_round_trip_and_the_same_bytes_as_the_slow_coder(coded: Pairs) -> None:
    numbers, ks = arrays(coded)
    data = pack(numbers, ks)
    assert data == slowly(coded)
    np.testing.assert_array_equal(unpack(data, ks), numbers)


@pytest.mark.parametrize("k", range(MAX_K + 1))
def test_each_step_s_ends(k: int) -> None:
    starts = [step << k for step in range(LINEAR_STEPS)]
    starts += [(LINEAR_STEPS - 2 + (1 << doubling)) << k for doubling in range(1, 25 - k)]
    coded = [(u, k) for start in starts for u in (start - 1, start, start + 1) if 0 <= u < SYMBOL_LIMIT]
    numbers, ks = arrays(coded)
    assert pack(numbers, ks) == slowly(coded)
    np.testing.assert_array_equal(unpack(pack(numbers, ks), ks), numbers)


def test_bytes_of_a_few_symbols() -> None:
    # 0 | 5 = 2 steps, 1 | 9 = 2 steps, 01: unary 1 001 001, low 1 01, two bits of padding.
    numbers, ks = arrays([(0, 0), (5, 1), (9, 2)])
    assert pack(numbers, ks) == bytes([0b1001_0011, 0b0100_0000])


def test_one_wild_symbol_costs_tens_of_bits() -> None:
    numbers, ks = arrays([(SYMBOL_LIMIT - 1, 0)])
    assert len(pack(numbers, ks)) <= 8


def test_more_low_bits_than_the_table_of_numbers_has() -> None:
    rng = np.random.default_rng(1)
    numbers, ks = rng.integers(0, SYMBOL_LIMIT, 5000), rng.integers(0, MAX_K + 1, 5000)
    assert ks.sum() > 1 << 15
    for width in (ks, np.full(5000, MAX_K)):
        data = pack(numbers, width)
        assert data == slowly(list(zip(numbers.tolist(), width.tolist(), strict=True)))
        np.testing.assert_array_equal(unpack(data, width), numbers)


def test_arguments_are_left_alone() -> None:
    numbers, ks = arrays(SMALL)
    twins = numbers.copy(), ks.copy()
    unpack(pack(numbers, ks), ks)[:] = 7
    np.testing.assert_array_equal(numbers, twins[0])
    np.testing.assert_array_equal(ks, twins[1])


def test_nothing_is_no_bytes() -> None:
    none = np.zeros(0, np.int64)
    assert pack(none, none) == b""
    assert len(unpack(b"", none)) == 0
    with pytest.raises(ProtocolError, match="1 bytes for no symbols"):
        unpack(b"\0", none)


# Damage --------------------------------------------------------------------------------------------------------------


def read(data: bytes, ks: Ints) -> Ints | None:
    """Refused, or read as the only symbols that are coded so."""
    found = unless_refused(lambda data: unpack(data, ks), data, version="3")
    if found is not None:
        assert found.shape == ks.shape
        assert found.dtype == np.int64
        assert len(ks) == 0 or 0 <= found.min() <= found.max() < 2 * SYMBOL_LIMIT + (LINEAR_STEPS << MAX_K)
        assert slowly(list(zip(found.tolist(), ks.tolist(), strict=True))) == data
    return found


@given(st.binary(max_size=60), st.lists(st.integers(0, MAX_K), max_size=12))
@example(b"", [0])
@example(b"\0" * 60, [0])
@example(b"\0" * 3 + b"\x01" + b"\xff" * 8, [0])
@example(b"\0\0\x10" + b"\xff" * 5, [20])
def test_any_bytes(data: bytes, ks: list[int]) -> None:
    read(data, np.array(ks, np.int64))


@given(st.data())
def test_good_bytes_that_were_damaged(data: st.DataObject) -> None:
    coded = data.draw(pairs.filter(bool))
    numbers, ks = arrays(coded)
    bad = data.draw(damaged(pack(numbers, ks)))
    found = read(bad, ks)
    assert found is None or found.tolist() != numbers.tolist()


def test_every_flipped_bit_changes_something_or_is_refused() -> None:
    numbers, ks = arrays(SMALL)
    for bad in bit_flips(pack(numbers, ks)):
        found = read(bad, ks)
        assert found is None or found.tolist() != numbers.tolist()


@given(pairs.filter(bool), st.binary(min_size=1, max_size=3))
def test_nothing_may_follow(coded: Pairs, more: bytes) -> None:
    numbers, ks = arrays(coded)
    with pytest.raises(ProtocolError, match="bytes for"):
        unpack(pack(numbers, ks) + more, ks)


@pytest.mark.parametrize("count", range(1, 8))
def test_padding_is_zero(count: int) -> None:
    numbers = np.zeros(count, np.int64)
    (byte,) = pack(numbers, numbers)
    assert byte == 256 - (1 << 8 - count)
    for bit in range(8 - count):
        with pytest.raises(ProtocolError, match="1 bytes for"):
            unpack(bytes([byte | 1 << bit]), numbers)


def test_symbols_are_counted() -> None:
    with pytest.raises(ProtocolError, match="8 of 9 symbols in 1 bytes"):
        unpack(b"\xff", np.zeros(9, np.int64))


@pytest.mark.parametrize("k", range(15))
def test_low_bits_are_25_at_most(k: int) -> None:
    for widest in (25, 26):
        step = LINEAR_STEPS - 1 + widest - k
        bits = "0" * step + "1" + "1" * widest
        data = int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8)
        ks = np.array([k], np.int64)
        if widest == 25:
            assert unpack(data, ks).tolist() == [((LINEAR_STEPS - 2 + (2 << widest - k)) << k) - 1]
        else:
            with pytest.raises(ProtocolError, match="26 low bits, more than 25"):
                unpack(data, ks)


def test_a_symbol_out_of_all_measure_is_refused_before_it_is_worked_out() -> None:
    # A number of 8 million bits, if anyone shifted by what the bytes say.
    bomb = bytes(1 << 20) + b"\x01" + bytes(16)
    with pytest.raises(ProtocolError, match="low bits, more than 25"):
        unpack(bomb, np.zeros(1, np.int64))
