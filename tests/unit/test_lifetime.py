"""Nobody's cancellation is swallowed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from posewire.lifetime import cancel_and_wait, cancellation_kept, failure_of


async def test_it_waits_for_clean_up() -> None:
    cleaned = False

    async def slow_to_end() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned = True

    task = asyncio.create_task(slow_to_end())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert cleaned
    assert failure_of(task) is None


async def test_it_obeys_its_own_cancellation_after_the_task_is_over() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel_and_wait(task))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done(), "it still waits for the task it is responsible for"
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert task.cancelled()


async def test_what_a_task_failed_with_stays_in_it() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await cancel_and_wait(task)
    assert isinstance(failure_of(task), ZeroDivisionError)


async def test_a_swallowed_cancellation_is_raised_again() -> None:
    reached = False

    async def swallows() -> None:
        nonlocal reached
        with cancellation_kept():
            # What asyncio.wait_for of Python 3.11 does when its result comes at the same moment.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        reached = True

    task = asyncio.create_task(swallows())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not reached


async def test_without_a_cancellation_nothing_is_raised() -> None:
    with cancellation_kept():
        await asyncio.sleep(0)
