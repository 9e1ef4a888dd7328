"""What is remembered for a session: a model that remembers everything is the judge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posewire.server.fast_path import Outgoing
from posewire.server.journal import Journal


def message(number: int, size: int = 1) -> Outgoing:
    return Outgoing(bytes([number % 256]) * size)


class JournalMachine(RuleBasedStateMachine):
    """A journal, and a list of all that was ever told to it."""

    @initialize(limit=st.integers(0, 60))
    def create(self, limit: int) -> None:
        self.limit = limit
        self.journal = Journal(limit)
        self.messages: list[Outgoing] = []
        self.confirmed = 0
        self.overflown = False

    def note(self, received: int) -> None:
        if self.confirmed < received <= len(self.messages):
            self.confirmed = received

    @rule(size=st.integers(1, 30))
    def append(self, size: int) -> None:
        self.messages.append(message(len(self.messages), size))
        self.journal.append(self.messages[-1])
        if sum(len(each.wire) for each in self.messages[self.confirmed :]) > self.limit:
            self.overflown = True

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        received = data.draw(st.integers(0, len(self.messages) + 2))
        self.journal.confirm(received)
        self.note(received)

    @rule(data=st.data())
    def after(self, data: st.DataObject) -> None:
        received = data.draw(st.integers(0, len(self.messages) + 2))
        found = self.journal.after(received)
        if not self.confirmed <= received <= len(self.messages):
            assert found is None
            return
        # Once it was too much, nothing is promised but that what is given is right.
        if not self.overflown or found is not None:
            assert found == self.messages[received:]
        self.note(received)

    @rule()
    def it_is_asked_twice(self) -> None:
        """An answer may be lost: what was not confirmed is still there."""
        assert self.journal.after(self.confirmed) == self.journal.after(self.confirmed)
        assert self.overflown or self.journal.after(self.confirmed) == self.messages[self.confirmed :]

    @invariant()
    def it_counts_all_and_holds_no_more_than_it_may(self) -> None:
        assert self.journal.count == len(self.messages)
        held = list(self.journal._messages)
        assert self.journal._bytes == sum(len(each.wire) for each in held) <= self.limit
        assert self.overflown or len(held) == len(self.messages) - self.confirmed
        assert held == self.messages[len(self.messages) - len(held) :]


TestJournal = JournalMachine.TestCase


def test_an_overflow_gives_nothing_rather_than_a_part_and_goes_on_counting() -> None:
    journal = Journal(10)
    for number in range(4):
        journal.append(message(number, 3))
    assert journal.count == 4
    assert [journal.after(received) for received in (0, 1, 5, 6)] == [None] * 4
    journal.append(message(4))
    assert journal.count == 5


def test_exactly_the_limit_is_not_over_it() -> None:
    messages = [message(0, 4), message(1, 6)]
    journal = Journal(sum(len(each.wire) for each in messages))
    for each in messages:
        journal.append(each)
    assert journal.after(0) == messages
    journal.append(message(2))
    assert journal.after(0) is None
    assert journal.after(3) == []


@given(st.integers(max_value=-1))
def test_less_than_nothing_was_never_received(received: int) -> None:
    journal = Journal(100)
    only = message(0)
    journal.append(only)
    journal.confirm(received)
    assert journal.after(received) is None
    assert journal.after(0) == [only]
