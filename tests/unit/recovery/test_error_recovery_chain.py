"""Which strategy is tried for which error, how often, and what stops the search."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from posewire.errors import ConnectionError, PosewireError, ProtocolError, RoomError, RoomFullError, RoomNotFoundError
from posewire.recovery import ErrorRecoveryChain

ERROR = RoomNotFoundError("studio")


class Calls:
    """Strategies that note that they were called."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def sync(self, name: str, *results: Any) -> Callable[[Any], Any]:
        """Return a strategy that gives ``results`` in turn, the last for ever; an exception is raised."""
        left = list(results)

        def strategy(error: Any) -> Any:
            assert error is ERROR
            self.made.append(name)
            result = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(result, BaseException):
                raise result
            return result

        return strategy

    def waiting(self, name: str, *results: Any) -> Callable[[Any], Any]:
        """The same as a coroutine function that really waits."""
        inner = self.sync(name, *results)

        async def strategy(error: Any) -> Any:
            await asyncio.sleep(0)
            return inner(error)

        return strategy


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def test_without_strategies() -> None:
    assert await ErrorRecoveryChain().handle_error(ERROR) is False


@pytest.mark.parametrize("form", ["sync", "waiting"])
@pytest.mark.parametrize("result", [True, None, 0, "done"])
async def test_the_first_that_helps_ends_it(calls: Calls, form: str, result: Any) -> None:
    chain = ErrorRecoveryChain()
    chain.add_strategy(RoomError, getattr(calls, form)("first", result))
    chain.add_strategy(RoomError, calls.sync("second", True))
    assert await chain.handle_error(ERROR) is True
    assert calls.made == ["first"]


@pytest.mark.parametrize("form", ["sync", "waiting"])
@pytest.mark.parametrize("result", [False, RoomError("studio", "no"), ConnectionError("gone"), OSError("gone")])
async def test_one_that_does_not_help_is_tried_again_and_then_the_next(calls: Calls, form: str, result: Any) -> None:
    chain = ErrorRecoveryChain()
    chain.add_strategy(RoomError, getattr(calls, form)("first", result))
    chain.add_strategy(RoomError, calls.sync("second", True))
    assert await chain.handle_error(ERROR) is True
    assert calls.made == ["first"] * 3 + ["second"]


@pytest.mark.parametrize("retries", [1, 2, 5])
async def test_none_helps(calls: Calls, retries: int, caplog: pytest.LogCaptureFixture) -> None:
    chain = ErrorRecoveryChain(retries)
    chain.add_strategy(RoomError, calls.sync("first", False))
    chain.add_strategy(PosewireError, calls.sync("second", ConnectionError("gone")))
    assert await chain.handle_error(ERROR) is False
    assert calls.made == ["first"] * retries + ["second"] * retries
    # Each failure is in the log: which error, which attempt, and why.
    assert len(caplog.records) == 2 * retries
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "studio" in caplog.messages[0]
    assert f"attempt {retries}" in caplog.messages[-1]
    assert "gone" in caplog.messages[-1]


async def test_one_that_helps_at_the_last_attempt(calls: Calls) -> None:
    chain = ErrorRecoveryChain()
    chain.add_strategy(RoomError, calls.waiting("first", False, OSError("gone"), True))
    assert await chain.handle_error(ERROR) is True
    assert calls.made == ["first"] * 3


async def test_the_most_specific_type_comes_first_and_then_the_order_of_adding(calls: Calls) -> None:
    chain = ErrorRecoveryChain(1)
    for kind in (Exception, RoomError, PosewireError, RoomNotFoundError, RoomError):
        chain.add_strategy(kind, calls.sync(f"{kind.__name__} {len(chain.recovery_strategies)}", False))
    for stranger in (RoomFullError, ProtocolError, OSError):
        chain.add_strategy(stranger, calls.sync("stranger", True))
    assert len(chain.strategies_for(ERROR)) == 5
    assert await chain.handle_error(ERROR) is False
    assert calls.made == ["RoomNotFoundError 3", "RoomError 1", "RoomError 4", "PosewireError 2", "Exception 0"]


def test_an_error_with_two_parents_finds_both() -> None:
    chain = ErrorRecoveryChain()
    strategies: list[Any] = [lambda _: True, lambda _: True, lambda _: True]
    chain.add_strategy(PosewireError, strategies[0])
    chain.add_strategy(OSError, strategies[1])
    chain.add_strategy(ConnectionError, strategies[2])
    found = chain.strategies_for(ConnectionError("gone"))
    assert found[0] is strategies[2]
    assert set(found) == set(strategies)


async def test_a_bug_in_a_strategy_is_logged_and_the_next_is_asked(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    chain = ErrorRecoveryChain(max_retries=1)
    chain.add_strategy(RoomError, calls.sync("first", KeyError("bug")))
    chain.add_strategy(PosewireError, calls.sync("second", True))
    assert await chain.handle_error(ERROR)
    assert calls.made == ["first", "second"]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "KeyError('bug')" in record.message
    assert record.exc_info is not None, "where it was raised"
    assert ERROR.__context__ is None, "and the error is what it was"


async def test_cancelling_is_not_swallowed() -> None:
    chain = ErrorRecoveryChain()
    started = asyncio.Event()
    attempts = 0

    async def hang(_: Any) -> None:
        nonlocal attempts
        attempts += 1
        started.set()
        await asyncio.Event().wait()

    chain.add_strategy(RoomError, hang)
    task = asyncio.create_task(chain.handle_error(ERROR), name="recovery")
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts == 1


@pytest.mark.parametrize("retries", [0, -1])
def test_tried_once_at_least(retries: int) -> None:
    with pytest.raises(ValueError, match="from 1"):
        ErrorRecoveryChain(retries)


def test_defaults_of_the_specification() -> None:
    chain = ErrorRecoveryChain()
    assert (chain.max_retries, chain.recovery_strategies) == (3, [])

    def strategy(_: Any) -> bool:
        return True

    chain.add_strategy(RoomError, strategy)
    assert chain.recovery_strategies == [(RoomError, strategy)]
