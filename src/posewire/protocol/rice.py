"""Adaptive Golomb-Rice codes, packed and unpacked by whole arrays.

A symbol ``u`` with parameter ``k`` is ``u >> k`` in unary (zeros, then a one) and the ``k`` low bits. From the twelfth
unary step on each step doubles what it covers (exponential Golomb), so that one wild symbol costs tens of bits, not
thousands. All unary parts come first, then all low bits: so neither side needs a loop over symbols.

S. W. Golomb, Run-length encodings, IEEE Trans. Inf. Theory 12 (1966); R. F. Rice, JPL Publication 79-22 (1979);
J. Teuhola, A compression method for clustered bit-vectors, Inf. Process. Lett. 7 (1978).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from posewire.errors import ProtocolError

Ints: TypeAlias = npt.NDArray[np.int64]

LINEAR_STEPS: Final = 12
"""Unary steps that cover ``2 ** k`` symbols each; the ones after them double."""
MAX_K: Final = 20
SYMBOL_LIMIT: Final = 1 << 25
"""Symbols are below it."""
_MAX_WIDTH: Final = 25
_COUNT: Final = np.arange(1 << 16)
"""Numbers to slice from."""


def pack(symbols: Ints, ks: Ints) -> bytes:
    """Return ``symbols``, each coded with its ``k``, padded with zero bits to whole bytes."""
    if not len(symbols):
        return b""
    steps = symbols >> ks
    low, widths = symbols, ks
    if np.maximum.reduce(steps) >= LINEAR_STEPS:
        steps, low, widths = _lengthen(steps, symbols, ks)
    unary_ends = np.add.accumulate(steps + 1)
    low_ends = np.add.accumulate(widths)
    unary, total = int(unary_ends[-1]), int(low_ends[-1])
    bits = np.zeros(unary + total, np.uint8)
    bits[unary_ends - 1] = 1
    # A low bit is as high in its symbol as the symbol's end is away.
    shifts = (low_ends - 1).repeat(widths)
    shifts -= _counting(total)
    bits[unary:] = (low.repeat(widths) >> shifts) & 1
    return np.packbits(bits).tobytes()


def unpack(data: bytes, ks: Ints) -> Ints:
    """Return the ``len(ks)`` symbols in ``data``.

    Raises:
        ProtocolError: Too short, too long, or padded with ones.
    """
    count = len(ks)
    if not count:
        if data:
            raise ProtocolError("3", f"{len(data)} bytes for no symbols")
        return ks
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    ends = bits.nonzero()[0][:count]
    if len(ends) < count:
        raise ProtocolError("3", f"{len(ends)} of {count} symbols in {len(data)} bytes")
    steps = ends.copy()
    steps[1:] -= ends[:-1]
    steps[1:] -= 1
    widths, base = ks, steps << ks
    if np.maximum.reduce(steps) >= LINEAR_STEPS:
        widths, base = _shorten(steps, ks, base)
    low_ends = np.add.accumulate(widths)
    low_ends += ends[-1] + 1
    total = int(low_ends[-1])
    if not 0 <= len(bits) - total < 8 or (data[-1] << (total & 7 or 8)) & 255:
        raise ProtocolError("3", f"{len(data)} bytes for {total} bits")
    # Every width is at most 25, so the 32 bits from the byte where it starts hold it.
    windows: npt.NDArray[np.uint32] = np.ndarray((len(data) + 1,), ">u4", data + b"\0\0\0\0", strides=(1,))
    low_ends -= widths
    found: Ints = windows[low_ends >> 3].astype(np.int64)
    found >>= 32 - (low_ends & 7) - widths
    found &= (1 << widths) - 1
    found += base
    return found


def _lengthen(steps: Ints, symbols: Ints, ks: Ints) -> tuple[Ints, Ints, Ints]:
    """Return steps, low bits and widths with the tail's doubling."""
    tail = (steps >= LINEAR_STEPS).nonzero()[0]
    doublings = np.frexp(steps[tail] - (LINEAR_STEPS - 2))[1] - 1  # floor(log2)
    steps, symbols, widths = steps.copy(), symbols.copy(), ks.copy()
    steps[tail] = LINEAR_STEPS - 1 + doublings
    symbols[tail] -= (LINEAR_STEPS - 2 + (1 << doublings)) << ks[tail]
    widths[tail] += doublings
    return steps, symbols, widths


def _shorten(steps: Ints, ks: Ints, base: Ints) -> tuple[Ints, Ints]:
    """Return widths and least symbols with the tail's doubling."""
    tail = (steps >= LINEAR_STEPS).nonzero()[0]
    doublings = steps[tail] - (LINEAR_STEPS - 1)
    widths = ks.copy()
    widths[tail] += doublings
    if np.maximum.reduce(widths) > _MAX_WIDTH:
        raise ProtocolError("3", f"a symbol of {widths.max()} low bits, more than {_MAX_WIDTH}")
    base[tail] = (LINEAR_STEPS - 2 + (1 << doublings)) << ks[tail]
    return widths, base


def _counting(count: int) -> Ints:
    return _COUNT[:count] if count <= len(_COUNT) else np.arange(count)
