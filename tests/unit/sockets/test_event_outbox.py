"""Events over connections that break: each is taken once and in order, and whoever sent it learns what became of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import ConnectionError, RoomError
from posewire.protocol import Delivery, FrameType, Header, Kind, control, unpack_header
from posewire.sockets.event_outbox import EventOutbox
from posewire.sockets.lane import Reply
from tests.unit.sockets.virtual_loop import run


def packet(seq: int) -> bytes:
    return Header(3, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, 1, seq, 0, 0).pack()


class FakeLane:
    """One connection: what was written, and the answers that are owed.

    Attributes:
        written: Numbers of the events, in order.
        owed: Answers that have not been given.
        busy: Turns of the loop that it takes to write.
    """

    def __init__(self) -> None:
        self.open = True
        self.written: list[int] = []
        self.owed: list[tuple[int, Reply]] = []
        self.busy = 0

    async def submit(self, event: str, data: bytes) -> Reply:
        assert event == control.FRAME
        if not self.open:
            raise ConnectionError("gone")
        for _ in range(self.busy):
            await asyncio.sleep(0)
        reply: Reply = asyncio.get_running_loop().create_future()
        reply.add_done_callback(lambda done: done.cancelled() or done.exception())
        seq = unpack_header(data).seq
        self.written.append(seq)
        self.owed.append((seq, reply))
        return reply

    def cut(self) -> None:
        self.open = False
        for _, reply in self.owed:
            if not reply.done():
                reply.set_exception(ConnectionError("went away"))


class Rig:
    """An outbox, its lane, and numbers as a packet writer gives them."""

    def __init__(self) -> None:
        self.lane: FakeLane | None = FakeLane()
        self.outbox = EventOutbox(self._usable)
        self.next_seq = 0
        self.epoch = 1

    def _usable(self) -> Any:
        if self.lane is None or not self.lane.open:
            raise ConnectionError("not connected")
        return self.lane

    def write(self) -> bytes:
        self.next_seq += 1
        return packet(self.next_seq - 1)

    async def submit(self) -> Reply:
        reply, size = await self.outbox.submit(self.write, lambda: self.epoch)
        assert size == len(packet(0))
        return reply

    @property
    def there(self) -> FakeLane:
        assert self.lane is not None
        return self.lane

    def answer(self, result: Any = 1) -> None:
        """Give the answer that is owed longest."""
        _, reply = self.there.owed.pop(0)
        if isinstance(result, BaseException):
            reply.set_exception(result)
        else:
            reply.set_result(result)


# One by one ----------------------------------------------------------------------------------------------------------


async def test_an_answer_settles_it() -> None:
    rig = Rig()
    first, second = await rig.submit(), await rig.submit()
    assert (len(rig.outbox), rig.there.written) == (2, [0, 1])
    rig.answer(7)
    assert await first == 7
    assert (second.done(), len(rig.outbox)) == (False, 1)
    rig.answer(RoomError("r", "may not"))
    with pytest.raises(RoomError):
        await second
    assert len(rig.outbox) == 0


async def test_without_a_connection_nothing_is_numbered() -> None:
    rig = Rig()
    rig.there.cut()
    with pytest.raises(ConnectionError, match="not connected"):
        await rig.submit()
    assert (rig.next_seq, len(rig.outbox)) == (0, 0)


async def test_what_cannot_be_written_is_not_kept() -> None:
    rig = Rig()

    def refuse() -> bytes:
        raise RoomError("r", "not in this room")

    with pytest.raises(RoomError):
        await rig.outbox.submit(refuse, lambda: 1)
    assert (len(rig.outbox), rig.there.written) == (0, [])


async def test_what_the_server_has_is_settled_and_the_rest_sent_again_in_order() -> None:
    rig = Rig()
    replies = [await rig.submit() for _ in range(5)]
    rig.there.cut()
    await asyncio.sleep(0)
    assert not any(reply.done() for reply in replies), "the next connection will tell"
    rig.lane = FakeLane()
    await rig.outbox.resumed(2, rig.epoch)
    assert [reply.done() for reply in replies] == [True, True, False, False, False]
    assert rig.there.written == [2, 3, 4]
    assert (replies[0].result(), replies[1].result()) == (0, 0)
    for result in (5, 6, 7):
        rig.answer(result)
    assert [await reply for reply in replies] == [0, 0, 5, 6, 7]
    assert len(rig.outbox) == 0


async def test_of_a_room_that_was_left_nothing_is_sent_again() -> None:
    rig = Rig()
    old = await rig.submit()
    rig.epoch += 1
    rig.next_seq = 0
    new = await rig.submit()
    rig.there.cut()
    await asyncio.sleep(0)
    rig.lane = FakeLane()
    await rig.outbox.resumed(0, rig.epoch)
    with pytest.raises(ConnectionError, match="the room was left before the server confirmed the event"):
        await old
    assert rig.there.written == [0]
    rig.answer()
    assert await new == 1


async def test_a_session_that_is_not_resumed_says_so_once() -> None:
    rig = Rig()
    replies = [await rig.submit() for _ in range(3)]
    rig.there.cut()
    rig.outbox.fail(ConnectionError("not known whether the event arrived"))
    for reply in replies:
        with pytest.raises(ConnectionError, match="not known"):
            await reply
    assert len(rig.outbox) == 0
    rig.outbox.fail(ConnectionError("again"))
    await asyncio.sleep(0)


async def test_an_answer_that_comes_after_it_was_given_up_changes_nothing() -> None:
    rig = Rig()
    reply = await rig.submit()
    rig.outbox.fail(ConnectionError("given up"))
    rig.answer(3)
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError, match="given up"):
        await reply


@pytest.mark.parametrize("outcome", [1, RoomError("r", "no")])
async def test_nobody_waits_for_it_any_more(outcome: Any) -> None:
    rig = Rig()
    reply = await rig.submit()
    reply.cancel()
    rig.answer(outcome)
    await asyncio.sleep(0)
    assert len(rig.outbox) == 0


async def test_an_answer_that_will_not_come_leaves_it_for_the_next_connection() -> None:
    rig = Rig()
    reply = await rig.submit()
    _, owed = rig.there.owed.pop()
    owed.cancel()
    await asyncio.sleep(0)
    assert (reply.done(), len(rig.outbox)) == (False, 1)


async def test_a_connection_that_goes_while_they_are_sent_again() -> None:
    rig = Rig()
    replies = [await rig.submit() for _ in range(3)]
    rig.there.cut()
    rig.lane = FakeLane()
    rig.there.busy = 1
    again = asyncio.create_task(rig.outbox.resumed(0, rig.epoch), name="test.resumed")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.there.cut()
    await again
    assert rig.there.written == sorted(rig.there.written)
    rig.lane = FakeLane()
    await rig.outbox.resumed(0, rig.epoch)
    assert rig.there.written == [0, 1, 2]
    for _ in replies:
        rig.answer()
    assert [await reply for reply in replies] == [1, 1, 1]


async def test_newer_ones_wait_until_the_older_are_sent_again() -> None:
    rig = Rig()
    for _ in range(3):
        await rig.submit()
    rig.there.cut()
    rig.lane = FakeLane()
    rig.there.busy = 2
    again = asyncio.create_task(rig.outbox.resumed(1, rig.epoch), name="test.resumed")
    await asyncio.sleep(0)
    newer = [asyncio.create_task(rig.submit(), name="test.submit") for _ in range(2)]
    await asyncio.gather(again, *newer)
    assert rig.there.written == [1, 2, 3, 4]


async def test_cancelled_while_it_waits_its_turn_it_is_not_sent_nor_numbered() -> None:
    rig = Rig()
    async with rig.outbox.sending:
        task = asyncio.create_task(rig.submit(), name="test.submit")
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (rig.next_seq, len(rig.outbox), rig.there.written) == (0, 0, [])


@pytest.mark.parametrize("turns", [1, 2])
async def test_cancelled_while_it_is_written_it_is_sent_with_the_next_connection(turns: int) -> None:
    """It has its number: without it the server would take the ones behind it for all there are."""
    rig = Rig()
    rig.there.busy = 3
    task = asyncio.create_task(rig.submit(), name="test.submit")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(rig.outbox) == 1
    rig.there.cut()
    rig.lane = FakeLane()
    await rig.outbox.resumed(0, rig.epoch)
    assert rig.there.written == [0]


# Any order of everything ---------------------------------------------------------------------------------------------


class Server:
    """What it has taken, as a relay with a seat does."""

    def __init__(self) -> None:
        self.next_event = 0
        self.taken: list[int] = []

    def take(self, seq: int) -> int:
        if seq < self.next_event:
            return 0
        self.taken.append(seq)
        self.next_event = seq + 1
        return 9


class World(Rig):
    """The outbox with a server that may be slow, behind connections that are cut anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.sent: list[tuple[int, Reply]] = []
        self.settled: dict[int, int] = {}
        self.arrived = 0
        """Of what was written on this lane."""
        self.answers: list[tuple[Reply, int]] = []
        """On their way."""

    async def send(self) -> None:
        seq = self.next_seq
        try:
            reply = await self.submit()
        except ConnectionError:
            assert self.next_seq == seq
            return
        self.settled[seq] = 0
        reply.add_done_callback(lambda _: self.settled.update({seq: self.settled[seq] + 1}))
        self.sent.append((seq, reply))

    def arrive(self, count: int) -> None:
        lane = self.there
        for seq, reply in lane.owed[self.arrived : self.arrived + count]:
            self.answers.append((reply, self.server.take(seq)))
            self.arrived += 1

    def reply(self, count: int) -> None:
        for _ in range(min(count, len(self.answers))):
            reply, result = self.answers.pop(0)
            if not reply.done():
                reply.set_result(result)

    def cut(self) -> None:
        self.there.cut()
        self.answers.clear()

    async def come_back(self) -> None:
        self.cut()
        self.lane, self.arrived = FakeLane(), 0
        await self.outbox.resumed(self.server.next_event, self.epoch)


STEPS = st.lists(
    st.tuples(st.sampled_from(("send", "arrive", "reply", "cut", "come back", "turn")), st.integers(1, 4)), max_size=60
)


@settings(max_examples=200)
@given(STEPS)
def test_each_is_taken_once_and_in_order_and_settled_once(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        world = World()
        for step, count in steps:
            match step:
                case "send":
                    for _ in range(count):
                        await world.send()
                case "arrive":
                    world.arrive(count)
                case "reply":
                    world.reply(count)
                case "cut":
                    world.cut()
                case "come back":
                    await world.come_back()
                case _:
                    await asyncio.sleep(0)
            taken = world.server.taken
            assert taken == list(range(len(taken))), "in order, once, and none left out"
            # Whoever is told that the server has it is not told wrong.
            assert all(seq < world.server.next_event for seq, reply in world.sent if reply.done())
            assert len(world.outbox) <= len(world.sent)
        await world.come_back()
        world.arrive(1000)
        world.reply(1000)
        await asyncio.sleep(0)
        assert world.server.taken == [seq for seq, _ in world.sent]
        assert all(reply.done() and reply.exception() is None for _, reply in world.sent)
        await asyncio.sleep(0)
        assert set(world.settled.values()) <= {1}
        assert len(world.outbox) == 0

    run(main())
