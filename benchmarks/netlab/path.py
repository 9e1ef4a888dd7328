"""What one direction of a link is like, and how that is written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from benchmarks.netlab.errors import SettingError

_RATES: Final = {"": 1.0, "bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_SIZES: Final = {"b": 1.0, "kb": 1e3, "mb": 1e6}
_SHARES: Final = {"": 1.0, "%": 0.01}
_SWITCH: Final = {"on": True, "off": False}
_QUANTITY: Final = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?) *([a-z%]*)", re.IGNORECASE)


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a link. The default is a perfect one.

    Raises:
        SettingError: A field cannot be what it is.
    """

    rate: float | None = None
    """Bits a second, counted at the size of the IP packet; None is no limit."""
    delay: float = 0.0
    """Seconds a packet is under way after its last bit has left."""
    jitter: float = 0.0
    """Seconds: each packet takes this much longer at most, evenly distributed from 0."""
    loss: float = 0.0
    """Share of the packets, 0 to 1, that are lost, each by chance of its own. They take their time on the line."""
    buffer: float = 0.4
    """Seconds of `rate` that fit before the line, drop-tail; counts only with a rate."""
    buffer_bytes: int | None = None
    """The same in bytes; when given, `buffer` does not count."""
    outage: bool = False
    """Nothing passes: packets that come, wait or are under way are lost."""
    reorder: bool = False
    """Whether jitter may let one packet overtake another."""

    def __post_init__(self) -> None:
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise SettingError("rate", self.rate, "more than 0 bit/s, or none")
        for name in ("delay", "jitter", "buffer"):
            seconds = getattr(self, name)
            if not 0 <= seconds <= 3600:
                raise SettingError(name, seconds, "0 to 3600 seconds")
        if not 0 <= self.loss <= 1:
            raise SettingError("loss", self.loss, "0 to 1, or 0% to 100%")
        if self.buffer_bytes is not None and self.buffer_bytes < 0:
            raise SettingError("buffer_bytes", self.buffer_bytes, "0 bytes or more")

    @property
    def capacity(self) -> float:
        """Bytes that may wait for the line."""
        if self.rate is None:
            return math.inf
        return self.buffer_bytes if self.buffer_bytes is not None else self.buffer * self.rate / 8


def parse_path(text: str, base: Path | None = None) -> Path:
    """Return ``base`` with the settings of ``text``, such as ``rate=128kbit,delay=20ms,loss=2%,buffer=6400B``.

    Rates are in bit, kbit, mbit or gbit a second (``none``: no limit), times in us, ms or s, sizes in B, kB or MB, a
    loss in % or from 0 to 1; ``outage`` and ``reorder`` are ``on`` or ``off``. ``clear`` begins again from a perfect
    line.

    Raises:
        SettingError: Names the field, the value and what was expected.
    """
    path = Path() if base is None else base
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        if part == "clear":
            path = Path()
            continue
        name, equals, value = part.partition("=")
        if not equals or name not in _READERS:
            raise SettingError("path", part, f"clear, or one of {', '.join(_READERS)} with '=' and a value")
        path = msgspec.structs.replace(path, **_READERS[name](value))
    return path


def read_time(field: str, text: str) -> float:
    """Return seconds.

    Raises:
        SettingError: It is no number with us, ms or s.
    """
    return _quantity(field, text, _TIMES, "a time such as 20ms or 1.5s")


def describe(path: Path) -> str:
    """Return a path as `parse_path` reads it; ``clear`` when it is a perfect one."""
    parts = [
        "rate=none" if path.rate is None else f"rate={path.rate / 1e3:g}kbit",
        *(f"{name}={getattr(path, name) * 1e3:g}ms" for name in ("delay", "jitter") if getattr(path, name)),
        *([f"loss={path.loss * 100:g}%"] if path.loss else []),
        *(["outage=on"] if path.outage else []),
        *(["reorder=on"] if path.reorder else []),
    ]
    if path.rate is not None:
        parts.append(f"buffer={path.buffer * 1e3:g}ms" if path.buffer_bytes is None else f"buffer={path.buffer_bytes}B")
    return "clear" if path == Path() else ",".join(parts)


def _quantity(field: str, text: str, units: Mapping[str, float], expected: str) -> float:
    match = _QUANTITY.fullmatch(text)
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise SettingError(field, text, expected)
    try:
        return float(match[1]) * factor
    except ValueError:
        raise SettingError(field, text, expected) from None


def _rate(text: str) -> dict[str, Any]:
    if text == "none":
        return {"rate": None}
    return {"rate": _quantity("rate", text, _RATES, "a rate such as 128kbit or 1.5mbit, or none")}


def _buffer(text: str) -> dict[str, Any]:
    expected = "a time such as 400ms or a size such as 6400B"
    if text.lower().endswith("b"):
        return {"buffer_bytes": round(_quantity("buffer", text, _SIZES, expected))}
    return {"buffer": _quantity("buffer", text, _TIMES, expected), "buffer_bytes": None}


def _switch(field: str, text: str) -> dict[str, Any]:
    if text not in _SWITCH:
        raise SettingError(field, text, "on or off")
    return {field: _SWITCH[text]}


_READERS: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "rate": _rate,
    "delay": lambda text: {"delay": read_time("delay", text)},
    "jitter": lambda text: {"jitter": read_time("jitter", text)},
    "loss": lambda text: {"loss": _quantity("loss", text, _SHARES, "a share such as 2% or 0.02")},
    "buffer": _buffer,
    "outage": lambda text: _switch("outage", text),
    "reorder": lambda text: _switch("reorder", text),
}
