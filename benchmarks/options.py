"""Arguments that benchmarks share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence

from benchmarks.formats import FORMATS
from benchmarks.systems import RELAYS, SYSTEMS, missing


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, ``--save`` and ``--seed``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help="also write it to benchmarks/results/")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the order of turns and of synthetic motion (default: 1)"
    )


def positive(text: str) -> float:
    """Return a number over 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected more than 0")
    return value


def not_negative(text: str) -> float:
    """Return a number, at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected 0 or more")
    return value


def counts(text: str) -> list[int]:
    """Return comma-separated whole numbers, each at least 1."""
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected whole numbers from 1, separated by commas")
    return values


def rates(text: str) -> list[float]:
    """Return comma-separated numbers over 0."""
    return [positive(part) for part in text.split(",")]


def at_least_one(text: str) -> int:
    """Return a whole number, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1")
    return value


def systems(text: str) -> list[str]:
    """Return comma-separated names of systems."""
    return _names(text, SYSTEMS)


def relays(text: str) -> list[str]:
    """Return comma-separated names of systems that carry finished packets."""
    return _names(text, RELAYS)


def installed(names: Sequence[str]) -> list[str]:
    """Return the systems that can be measured here; says on stderr what the others lack and how to get it."""
    lacking = {name: why for name in names if (why := missing(name)) is not None}
    for name, why in lacking.items():
        print(f"without {name}: {why}", file=sys.stderr)
    return [name for name in names if name not in lacking]


def formats(text: str) -> list[str]:
    """Return comma-separated names of formats."""
    return _names(text, FORMATS)


def _names(text: str, known: Collection[str]) -> list[str]:
    names = text.split(",")
    if strange := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{strange[0]}: expected some of {', '.join(known)}")
    return names
