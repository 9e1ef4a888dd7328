"""Marks in the bodies of the packets of `capacity`, to be found in the bytes of a TCP stream without parsing it.

Servers do not mask their WebSocket frames and nothing here is compressed or opened on the way, so a body comes through
every system as it was made: a packet is counted by its mark, whatever framing is around it.
"""

from __future__ import annotations

from typing import Final

_MAGIC: Final = bytes.fromhex("f1e6a7935bd24c08")
_NUMBER_BYTES: Final = 4
MARK_BYTES: Final = len(_MAGIC) + 2 + _NUMBER_BYTES


def mark(run: int, number: int, *, counts: bool, sampled: bool) -> bytes:
    """Return the beginning of a packet's body.

    Args:
        run: Stragglers of another are not counted.
        number: Of the frame.
        counts: False during the warm-up.
        sampled: Whether its latency is looked at.
    """
    return _pattern(run, counts=counts) + (b"s" if sampled else b"p") + number.to_bytes(_NUMBER_BYTES, "big")


class MarkReader:
    """Finds the marks of one run in the bytes of one connection, as they come.

    Args:
        run: Whose frames.
    """

    def __init__(self, run: int) -> None:
        self.count = 0
        """Frames that count."""
        self._plain = _pattern(run, counts=True)
        self._sampled = self._plain + b"s"
        self._tail = b""

    def feed(self, data: bytes) -> list[int]:
        """Take the next bytes; returns the numbers of the sampled frames whose marks they end."""
        # A mark may lie across two reads. Those that begin before `keep` are whole; the others wait for the next read,
        # with too few bytes to be found twice.
        data = self._tail + data
        keep = max(0, len(data) - (MARK_BYTES - 1))
        self.count += data.count(self._plain, 0, keep + len(self._plain) - 1)
        end = keep + len(self._sampled) - 1
        numbers = []
        at = data.find(self._sampled, 0, end)
        while at >= 0:
            start = at + len(self._sampled)
            numbers.append(int.from_bytes(data[start : start + _NUMBER_BYTES], "big"))
            at = data.find(self._sampled, start, end)
        self._tail = data[keep:]
        return numbers


def _pattern(run: int, *, counts: bool) -> bytes:
    return _MAGIC + bytes([run % 128 * 2 + counts])
