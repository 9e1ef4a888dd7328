"""What a client's message may be like, looked at before it is decoded."""

from __future__ import annotations

from typing import Final

from posewire.errors import ProtocolError

MAX_MESSAGE_BYTES: Final = 80 << 10
"""Of a message that is no packet: an event of 64 KiB, or a report of 256 streams, and what is around it."""
MAX_NESTING: Final = 12
MAX_CONTAINERS: Final = 1024
"""Lists and maps of one message; a report has one for each stream."""
MAX_ELEMENTS: Final = 6144
"""Values of one message, keys included; a report of 256 streams has 4,900."""
MAX_TEXT_BYTES: Final = 16 << 10
"""Of one string: a token is the longest."""
MAX_KEY_BYTES: Final = 512

_FRAME_HEADS: Final = (b"\x83\xa4type\x02\xa4data\x92\xa5frame", b"\x84\xa4type\x02\xa4data\x92\xa5frame")
_HEAD_BYTES: Final = len(_FRAME_HEADS[0])
_FRAME_AFTER: Final = 64
"""Namespace and number of the acknowledgement."""


def check_client_message(message: bytes) -> None:
    """Refuse what would cost much to decode: it is too long, too deep, or has too many values.

    A packet that asks for an acknowledgement may be as long as packets may be, when it is encoded as in docs/wire.md.
    Costs at most some microseconds for each value, and stops at the first too many.

    Raises:
        ProtocolError: With the reason ``oversized`` or ``damaged``.
    """
    size = len(message)
    if size > MAX_MESSAGE_BYTES:
        if not _is_packet(message):
            raise ProtocolError(
                "socket.io", f"message of {size} bytes is over the limit of {MAX_MESSAGE_BYTES}", reason="oversized"
            )
        return
    if message.startswith(_FRAME_HEADS) and _is_packet(message):
        return
    _walk(message)


def _is_packet(message: bytes) -> bool:
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(message[_HEAD_BYTES]) if len(message) > _HEAD_BYTES else None
    if width is None or not message.startswith(_FRAME_HEADS):
        return False
    first = _HEAD_BYTES + 1 + width
    packet = int.from_bytes(message[_HEAD_BYTES + 1 : first], "big")
    return 0 <= len(message) - first - packet <= _FRAME_AFTER


# What a value's first byte says: how many bytes are its own; or that it is text, or bytes, or holds others.
_TEXT, _BYTES, _LIST, _MAP, _WRONG = -1, -2, -3, -4, -5


def _kind(first: int) -> tuple[int, int]:
    """Return the kind of a value or the size of a number, and the bytes its length takes; or its length, negated."""
    if first <= 0x7F or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return 0, 0
    for low, high, kind in ((0x80, 0x8F, _MAP), (0x90, 0x9F, _LIST), (0xA0, 0xBF, _TEXT)):
        if low <= first <= high:
            return kind, -(first - low)
    widths = {
        **dict.fromkeys((0xC4, 0xC5, 0xC6), _BYTES),
        **dict.fromkeys((0xD9, 0xDA, 0xDB), _TEXT),
        **dict.fromkeys((0xDC, 0xDD), _LIST),
        **dict.fromkeys((0xDE, 0xDF), _MAP),
    }
    if first in widths:
        return widths[first], {0xC4: 1, 0xD9: 1, 0xC5: 2, 0xDA: 2, 0xDC: 2, 0xDE: 2}.get(first, 4)
    numbers = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
    return (numbers[first], 0) if first in numbers else (_WRONG, 0)  # extensions, and the byte that is never used


_KINDS: Final = tuple(_kind(first) for first in range(256))


def _walk(message: bytes) -> None:
    """Walk over the values of a message without making any."""
    end = len(message)
    at = elements = containers = 0
    left = 1
    """Values to come in the innermost list or map."""
    keys = False
    """Whether it is a map, in which keys are to come when ``left`` is even."""
    outer: list[tuple[int, bool]] = []
    while True:
        while not left:
            if not outer:
                return  # what comes after is for the decoder to refuse
            left, keys = outer.pop()
        elements += 1
        if elements > MAX_ELEMENTS or at >= end:
            raise _refused(f"more than {MAX_ELEMENTS} values" if at < end else "cut off")
        is_key = keys and not left & 1
        left -= 1
        kind, width = _KINDS[message[at]]
        at += 1
        if kind >= 0 and not is_key:
            at += kind
            continue
        if width > 0:
            length = int.from_bytes(message[at : at + width], "big")
            at += width
        else:
            length = -width
        if is_key and (kind != _TEXT or length > MAX_KEY_BYTES):
            raise _refused("a key that is no short text")
        if kind in (_TEXT, _BYTES):
            if kind == _TEXT and length > MAX_TEXT_BYTES:
                raise _refused(f"text of {length} bytes")
            at += length
        elif kind == _WRONG:
            raise _refused("an extension type")
        else:
            containers += 1
            if containers > MAX_CONTAINERS:
                raise _refused(f"more than {MAX_CONTAINERS} lists and maps")
            if len(outer) >= MAX_NESTING:
                raise _refused(f"nested more than {MAX_NESTING} deep")
            outer.append((left, keys))
            left, keys = (length, False) if kind == _LIST else (2 * length, True)


def _refused(why: str) -> ProtocolError:
    return ProtocolError("socket.io", f"message refused: {why}")
