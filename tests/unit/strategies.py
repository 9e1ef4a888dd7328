"""Hypothesis strategies that several units share: poses, headers, damaged bytes, plain data."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import DrawFn, SearchStrategy

from posewire.errors import ProtocolError
from posewire.limits import MAX_NAME_CHARS
from posewire.protocol import Delivery, FrameType, Header, Kind, PoseData, Seal
from posewire.protocol.header import BODY_VERSIONS

Floats = npt.NDArray[np.float32]
T = TypeVar("T")

characters = st.characters(exclude_categories=["Cs"])
"""All that UTF-8 has a form for: a lone surrogate has none."""

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=MAX_NAME_CHARS)
"""User, room, stream and event names."""

coordinates = st.floats(-1e6, 1e6, width=32)
"""Far more than a tracker gives, subnormal numbers and -0.0 among them."""


@st.composite
def landmarks(draw: DrawFn, count: int) -> Floats:
    """``[count, 4]``, some joints not found, some visibilities unknown."""
    array: Floats = draw(hnp.arrays(np.float32, (count, 4), elements=coordinates))
    array[draw(hnp.arrays(np.bool_, count)), :3] = np.nan
    array[draw(hnp.arrays(np.bool_, count)), 3] = np.nan
    return array


timestamps = st.floats(0, 4e9, allow_nan=False)


@st.composite
def poses(draw: DrawFn, *, timestamp: SearchStrategy[float] = timestamps) -> PoseData:
    """Any pose: every part there or not, MediaPipe's or another skeleton."""
    skeleton = draw(st.just("mediapipe33") | names)
    count = 33 if skeleton == "mediapipe33" else draw(st.integers(1, 60))
    pose = draw(st.none() | landmarks(count))
    face = draw(st.none() | st.sampled_from((468, 478)).flatmap(landmarks))
    hands = draw(st.none() | landmarks(42).map(lambda array: array.reshape(2, 21, 4)))
    if pose is None and face is None and hands is None:
        pose = draw(landmarks(count))
    return PoseData(pose, face, hands, draw(timestamp), skeleton)


def uints(bits: int) -> SearchStrategy[int]:
    """Unsigned integers of ``bits``, both ends often."""
    return st.integers(0, (1 << bits) - 1)


headers: SearchStrategy[Header] = st.builds(
    Header,
    version=st.sampled_from(BODY_VERSIONS),
    kind=st.sampled_from(Kind),
    delivery=st.sampled_from(Delivery),
    frame_type=st.sampled_from(FrameType),
    stream=uints(8),
    member=uints(16),
    seq=uints(32),
    ref=uints(16),
    captured_us=uints(64),
    seal=st.sampled_from(Seal),
)

plain: SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(characters)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=12,
)
"""Whatever a Socket.IO argument may be: what msgpack knows, maps with text as keys."""


@st.composite
def damaged(draw: DrawFn, good: bytes) -> bytes:
    """``good`` with one byte changed, cut short, or with something behind it."""
    at = draw(st.integers(0, len(good) - 1))
    match draw(st.sampled_from(("change", "cut", "extend"))):
        case "change":
            return good[:at] + bytes([good[at] ^ draw(st.integers(1, 255))]) + good[at + 1 :]
        case "cut":
            return good[:at]
        case _:
            return good + draw(st.binary(min_size=1, max_size=8))


def bit_flips(good: bytes) -> typing.Iterator[bytes]:
    """Yield ``good`` with each of its bits flipped, one at a time."""
    for at in range(len(good)):
        for bit in range(8):
            yield good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]


def unless_refused(decode: Callable[[bytes], T], data: bytes, *, version: str | None = None) -> T | None:
    """Return what ``data`` decodes to, None when it is refused; any other exception fails the test."""
    try:
        return decode(data)
    except ProtocolError as error:
        if version is not None and error.version != version:
            raise AssertionError(f"refused as version {error.version}, not {version}") from error
        return None


def structs(cls: type[Any]) -> SearchStrategy[Any]:
    """Messages of type ``cls``, every field drawn from its annotation."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{field: _of(hints[field]) for field in cls.__struct_fields__})


def _of(hint: Any) -> SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated and args[0] is bytes:
        return st.sampled_from((b"", bytes(range(args[1].max_length))))
    if origin is typing.Annotated and args[0] is int:
        return st.integers(args[1].ge, args[1].le)
    if origin is typing.Annotated and args[0] is float:
        return st.floats(args[1].ge, args[1].le)
    if origin is typing.Annotated and args[0] is not str:
        return _of(args[0])
    if origin is typing.Annotated:
        return names
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is list:
        return st.lists(_of(args[0]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(_of, args))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return structs(hint)
    return {
        str: st.text(characters, max_size=20),
        int: st.integers(-(1 << 63), (1 << 64) - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        types.NoneType: st.none(),
    }[hint]
