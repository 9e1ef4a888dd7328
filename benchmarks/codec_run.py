"""The measuring of the codec benchmark: what formats cost, and whether they are right."""

from __future__ import annotations

import gc
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias, TypeVar

import numpy as np

from benchmarks.formats import AnyFormat
from benchmarks.formats.format import Frame, Layout, Parts, layout_of, parts_of
from benchmarks.recordings import Clip
from posewire.errors import PosewireError
from posewire.protocol import PoseData

STEPS: Final = np.array([1 / 2048, 1 / 2048, 1 / 512, 1 / 32])
"""What errors are counted in: the default steps of body v3 for x, y, z and visibility."""

BLOCK: Final = 32
"""Frames of a turn: enough for a format to run from warm caches, few enough for the machine's drift to hit all."""

Make: TypeAlias = Callable[[Layout], AnyFormat]
Item = TypeVar("Item")
Result = TypeVar("Result")


class CodecError(Exception):
    """A format gave back another pose than it was given; says which format, recording and frame."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a format makes of every frame of a recording: bytes of each, and the largest error, in `STEPS`."""

    sizes: list[int]
    max_error: float


@dataclass(frozen=True, slots=True)
class Times:
    """Nanoseconds of each frame of one round, of one format, and of ``json.dumps`` in the same turns."""

    encode: list[int] = field(default_factory=list)
    decode: list[int] = field(default_factory=list)
    dumps: list[int] = field(default_factory=list)


def try_format(name: str, make: Make, clip: Clip) -> Trial:
    """Encode and decode every frame, and compare.

    Raises:
        ImportError: The format's library is missing.
        CodecError: A frame came out wrong.
    """
    format_ = make(layout_of(clip.poses[0]))
    sizes: list[int] = []
    worst = 0.0
    for index, pose in enumerate(clip.poses):
        where = f"{name}: {clip.name}, frame {index}"
        frame = Frame.of(pose)
        try:
            coded = format_.encode(format_.prepare(frame))
            decoded = parts_of(format_.decode(coded))
        except (PosewireError, ValueError) as exc:
            raise CodecError(f"{where}: {exc}") from exc
        sizes.append(format_.size(coded))
        worst = max(worst, _error(frame.parts, decoded, where))
    return Trial(sizes, worst)


def time_formats(formats: dict[str, Make], clip: Clip, chance: random.Random) -> dict[str, Times]:
    """Time every frame once in each format. Formats take turns, block by block, in an order of chance."""
    layout = layout_of(clip.poses[0])
    instances = {name: make(layout) for name, make in formats.items()}
    times = {name: Times() for name in formats}
    for block in _blocks(clip.poses):
        frames = [Frame.of(pose) for pose in block]
        for name in chance.sample(list(formats), len(formats)):
            _take_turn(instances[name], frames, times[name], dumps_first=chance.random() < 0.5)
    return times


def _take_turn(format_: AnyFormat, frames: Sequence[Frame], times: Times, *, dumps_first: bool) -> None:
    sources = [format_.prepare(frame) for frame in frames]
    dicts = [frame.dicts for frame in frames]
    with _no_collector():
        # Who comes first finds the caches cold: json.dumps is the measure of all, so it is not always the one.
        if dumps_first:
            _timed(json.dumps, dicts, times.dumps)
        coded = _timed(format_.encode, sources, times.encode)
        _timed(format_.decode, coded, times.decode)
        if not dumps_first:
            _timed(json.dumps, dicts, times.dumps)


def _timed(call: Callable[[Item], Result], items: Sequence[Item], into: list[int]) -> list[Result]:
    clock = time.perf_counter_ns
    results = []
    for item in items:
        begin = clock()
        result = call(item)
        end = clock()
        into.append(end - begin)
        results.append(result)  # kept, so that nothing is freed while the clock runs
    return results


@contextmanager
def _no_collector() -> Iterator[None]:
    """Switch the garbage collector off, as timeit does."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _blocks(poses: Sequence[PoseData]) -> Iterator[tuple[PoseData, ...]]:
    rest = iter(poses)
    return iter(partial(_take, rest), ())


def _take(rest: Iterator[PoseData]) -> tuple[PoseData, ...]:
    return tuple(itertools.islice(rest, BLOCK))


def _error(original: Parts, decoded: Parts, where: str) -> float:
    """Return the largest error of the landmarks that were found, in steps. Of others the visibility means nothing."""
    if original.keys() != decoded.keys():
        raise CodecError(f"{where}: parts {', '.join(decoded)}, expected {', '.join(original)}")
    worst = 0.0
    for name, part in original.items():
        other = decoded[name]
        if other.shape != part.shape or other.dtype != part.dtype:
            raise CodecError(f"{where}: {name} is {other.dtype} {other.shape}, expected {part.dtype} {part.shape}")
        found = ~np.isnan(part[:, 0])
        missing, expected = np.isnan(other[:, :3]), np.isnan(part[:, :3])
        if (missing != expected).any() or (np.isnan(other[found, 3]) != np.isnan(part[found, 3])).any():
            raise CodecError(f"{where}: {name} has NaN in other places than it was given")
        difference = np.abs(other[found].astype(np.float64) - part[found].astype(np.float64)) / STEPS
        worst = max(worst, float(np.nanmax(difference, initial=0.0)))  # NaN: a visibility that neither has
    return worst
