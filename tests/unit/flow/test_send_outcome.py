"""What became of a frame, as a truth value."""

from __future__ import annotations

import pytest

from posewire.flow import SendOutcome


@pytest.mark.parametrize(
    ("outcome", "taken"),
    [(SendOutcome.ACCEPTED, True), (SendOutcome.REPLACED, True), (SendOutcome.DROPPED, False)],
)
def test_true_when_the_frame_was_taken(outcome: SendOutcome, taken: bool) -> None:
    assert bool(outcome) is taken


def test_there_are_no_others() -> None:
    assert {outcome.value for outcome in SendOutcome} == {"accepted", "replaced", "dropped"}
