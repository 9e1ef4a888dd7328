"""Owned tasks: ended without swallowing anyone's cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator

_owner: contextvars.ContextVar[asyncio.Task[object] | None] = contextvars.ContextVar("posewire.owner", default=None)


def own() -> None:
    """Say that the current task owns all tasks made from here on, whoever makes them."""
    _owner.set(asyncio.current_task())


async def cancel_and_wait(task: asyncio.Task[object]) -> None:
    """Cancel ``task`` and wait until it is over; what it failed with stays in the task.

    Waits for as long as the task's clean-up does. When the caller is cancelled meanwhile, it still waits for the
    task, then obeys. Called from a task that ``task`` owns (see `own`), an event handler for one, it only cancels: each
    would wait for the other.
    """
    task.cancel()
    if _owner.get() is task:
        return
    ours: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])  # raises only our own cancellation, never the task's
        except asyncio.CancelledError as exc:
            ours = exc
    if ours is not None:
        raise ours


@contextlib.contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raise the cancellation that the code in the block swallowed, if it did.

    Libraries call ``asyncio.wait_for``, which until Python 3.12 returns its result instead of raising when both come
    at the same moment (https://github.com/python/cpython/issues/86296): the task would then run on, uncancelled.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    yield
    if task.cancelling() > before:
        raise asyncio.CancelledError


def failure_of(task: asyncio.Task[object]) -> BaseException | None:
    """Return what a finished task failed with; None when it ended well or was cancelled."""
    return None if task.cancelled() else task.exception()
