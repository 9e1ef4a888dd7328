"""Values as users hand them in."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from posewire.values import is_number, is_whole, path_of, plain, shown


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((kind(3), 3) for kind in (int, np.int8, np.int64, np.uint16)),
        *((kind(0.5), 0.5) for kind in (float, np.float16, np.float32, np.float64)),
        (np.bool_(True), True),
        (True, True),
        (Level.HIGH, 3),
    ],
)
def test_a_number_becomes_a_plain_one_that_json_takes(value: Any, expected: float) -> None:
    number = plain(value)
    assert number == expected
    assert type(number) is type(expected)
    assert msgspec.json.decode(msgspec.json.encode(number)) == expected


@pytest.mark.parametrize("value", ["1", b"1", None, [1], np.array([1.0]), np.array(1.0), 1 + 2j, object()])
def test_anything_else_stays_what_it_is_and_is_no_number(value: Any) -> None:
    assert plain(value) is value
    assert not is_number(value)
    assert not is_whole(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, np.longdouble(1)])
def test_no_number(value: Any) -> None:
    assert not is_number(plain(value))


def test_numbers() -> None:
    assert is_number(0)
    assert is_number(-1e308)
    assert is_whole(10**400)
    assert not is_whole(1.0)
    assert not is_whole(False)


@pytest.mark.parametrize("value", ["run.json", Path("/tmp/run.json"), "/tmp/ünï"])
def test_the_name_of_a_file(value: Any) -> None:
    assert path_of(value) == Path(value)


@pytest.mark.parametrize("value", [5, None, b"run.json", "", ".", "/", "a\0b", True, 1.5, [], object()])
def test_no_name_of_a_file(value: Any) -> None:
    assert path_of(value) is None


def test_what_is_shown_is_not_endless() -> None:
    assert shown("x") == "'x'"
    assert len(shown("x" * 1000)) == 60
    assert shown(10**5000) == "a int too long to show"
