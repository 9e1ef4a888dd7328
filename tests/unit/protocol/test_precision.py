"""How finely a pose is quantised: bounds, and errors that say what was wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import DataValidationError
from posewire.protocol.precision import COARSEST, FINEST, Precision

bits = st.integers(COARSEST, FINEST)


def test_steps_when_nobody_says() -> None:
    precision = Precision()
    assert (precision.xy, precision.z, precision.visibility) == (11, 9, 5)


@given(bits, bits, bits)
def test_bits_of_each_channel(xy: int, z: int, visibility: int) -> None:
    assert Precision(xy, z, visibility).channels == (xy, xy, z, visibility)


@given(st.tuples(bits, bits, bits), st.tuples(bits, bits, bits))
def test_equal_by_value(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (Precision(*one) == Precision(*other)) == (one == other)
    assert hash(Precision(*one)) == hash(Precision(*one))


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Precision().xy = 3  # type: ignore[misc]


@pytest.mark.parametrize("field", ["xy", "z", "visibility"])
@pytest.mark.parametrize("value", [COARSEST, FINEST])
def test_both_ends_are_allowed(field: str, value: int) -> None:
    assert getattr(Precision(**{field: value}), field) == value


@pytest.mark.parametrize("field", ["xy", "z", "visibility"])
@pytest.mark.parametrize("value", [COARSEST - 1, FINEST + 1, 1 << 70, -(1 << 70), 11.0, True, None, "11"])
def test_an_error_names_field_value_and_expectation(field: str, value: Any) -> None:
    with pytest.raises(DataValidationError) as caught:
        Precision(**{field: value})
    assert caught.value.field == f"precision.{field}"
    assert caught.value.value == repr(value)
    assert "expected -8 to 20" in str(caught.value)
