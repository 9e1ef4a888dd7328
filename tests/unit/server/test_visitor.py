"""One connection's turns: who sends much waits between slices, who sends little never."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from posewire import clock
from posewire.server.visitor import Visitor, ignore, visitor_of

SMALL = 1000
LARGEST = 16 << 10


class Line:
    """A door's line, whose turns come when the test says so."""

    def __init__(self) -> None:
        self.waiting: deque[Visitor] = deque()
        self.gone: list[Visitor] = []

    def wait_in_line(self, visitor: Visitor) -> None:
        self.waiting.append(visitor)

    def left(self, visitor: Visitor) -> None:
        self.gone.append(visitor)

    def turn(self) -> None:
        self.waiting.popleft().go_on()


class Wire:
    """A transport, of which reading counts."""

    def __init__(self) -> None:
        self.reads = True
        self.closing = False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> None:
        return None


class House:
    """Visitors of one server, and what of theirs was handled, each byte in ``pace`` seconds."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.line = Line()
        self.handled: list[tuple[Visitor, bytes]] = []
        self.pace = 0.0
        self._time = 0.0
        patch.setattr(clock, "monotonic", lambda: self._time)
        patch.setattr(web.RequestHandler, "data_received", lambda visitor, data: self._handle(visitor, data))
        self._server = web.Server(self._never)

    async def _never(self, request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError(request)

    def _handle(self, visitor: Visitor, data: bytes) -> None:
        self.handled.append((visitor, data))
        self._time += len(data) * self.pace

    def visitor(self, *, let_in: bool = True) -> tuple[Visitor, Wire]:
        wire: Any = Wire()
        visitor = Visitor(self.line, self._server, "198.51.100.7", asyncio.get_running_loop())
        visitor.transport = wire
        if let_in:
            visitor.enter()
        return visitor, wire

    def of(self, visitor: Visitor) -> bytes:
        return b"".join(data for whose, data in self.handled if whose is visitor)


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


async def test_little_goes_straight_on(house: House) -> None:
    visitor, wire = house.visitor()
    for _ in range(50):
        visitor.data_received(bytes(SMALL))
    assert len(house.handled) == 50
    assert wire.reads
    assert not house.line.waiting


async def test_much_is_handled_in_slices_and_nothing_is_read_meanwhile(house: House) -> None:
    visitor, wire = house.visitor()
    data = bytes(range(256)) * 400
    visitor.data_received(data)
    assert not house.handled
    turns = 0
    while house.line.waiting:
        assert not wire.reads
        house.line.turn()
        turns += 1
    assert turns == len(house.handled) == -(-len(data) // LARGEST)
    assert house.of(visitor) == data
    assert wire.reads


async def test_slices_go_by_what_they_take(house: House) -> None:
    visitor, _ = house.visitor()
    house.pace = 0.0001 / 1024  # a tenth of a millisecond for 1 KiB
    visitor.data_received(bytes(200_000))
    while house.line.waiting:
        house.line.turn()
    took = [len(data) * house.pace for _, data in house.handled]
    assert max(took[4:]) <= 0.00015
    house.pace = 0.0
    visitor.data_received(bytes(200_000))
    while house.line.waiting:
        house.line.turn()
    assert max(len(data) for _, data in house.handled) == LARGEST
    assert len(house.handled[-2][1]) == LARGEST, "as large as they were"


async def test_what_is_slow_by_itself_is_cut_smaller_too(house: House) -> None:
    visitor, _ = house.visitor()
    house.pace = 0.001 / 1024
    for _ in range(5):
        visitor.data_received(bytes(10_000))
        while house.line.waiting:
            house.line.turn()
    assert len(house.handled[0][1]) == 10_000
    assert len(house.handled[-2][1]) == 256, "and no smaller"


async def test_they_take_turns(house: House) -> None:
    (one, _), (two, _) = house.visitor(), house.visitor()
    one.data_received(bytes(3 * LARGEST))
    two.data_received(bytes(3 * LARGEST))
    while house.line.waiting:
        house.line.turn()
    assert [visitor is one for visitor, _ in house.handled] == [True, False] * 3


@pytest.mark.parametrize("let_in", [False, True])
@given(sizes=st.lists(st.integers(1, 40_000), max_size=12), turns=st.lists(st.booleans(), min_size=12, max_size=12))
async def test_nothing_overtakes(let_in: bool, sizes: list[int], turns: list[bool]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        house = House(patch)
        visitor, _ = house.visitor(let_in=let_in)
        sent = b""
        for number, (size, turn) in enumerate(zip(sizes, turns, strict=False)):
            data = bytes((number + 1,)) * size
            sent += data
            visitor.data_received(data)
            if turn and house.line.waiting:
                house.line.turn()
            if number == 6:
                visitor.enter()
        while house.line.waiting:
            assert len(house.line.waiting) == 1, "once in line"
            house.line.turn()
        assert house.of(visitor) == sent


async def test_it_waits_for_aiohttp_to_take_more(house: House) -> None:
    visitor, wire = house.visitor()
    visitor._upgraded = True
    visitor.data_received(bytes(2 * LARGEST))
    house.line.turn()
    visitor.pause_reading()
    house.line.turn()
    assert not house.line.waiting
    assert len(house.handled) == 1
    visitor.resume_reading()
    assert not wire.reads, "what waits is enough"
    house.line.turn()
    assert len(house.handled) == 2
    assert wire.reads


async def test_who_is_ignored_is_heard_no_more(house: House) -> None:
    visitor, wire = house.visitor()
    visitor._upgraded = True
    visitor.data_received(bytes(2 * LARGEST))
    house.line.turn()
    request: Any = SimpleNamespace(protocol=visitor)
    ignore(request)
    assert visitor_of(request) is visitor
    house.line.turn()
    visitor.data_received(bytes(2 * LARGEST))
    visitor.data_received(b"small")
    visitor.resume_reading()
    assert not house.line.waiting
    assert len(house.handled) == 1
    assert not wire.reads


async def test_a_connection_that_is_lost_while_much_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[BaseException | None] = []
    monkeypatch.setattr(web.RequestHandler, "connection_lost", lambda visitor, exc: lost.append(exc))
    visitor, _ = house.visitor()
    visitor.data_received(bytes(2 * LARGEST))
    visitor.connection_lost(None)
    assert house.line.gone == [visitor]
    house.line.turn()
    assert lost == [None]
    assert not house.handled


async def test_one_that_is_closing_is_not_told_to_read(house: House) -> None:
    visitor, wire = house.visitor(let_in=False)
    visitor.data_received(bytes(70_000))
    assert not wire.reads
    wire.closing = True
    visitor.enter()
    assert not wire.reads
