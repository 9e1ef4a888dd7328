"""What the event loop runs is timed and named, and asyncio is left as it was."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from posewire import clock
from posewire.session import handle_timer
from posewire.session.handle_timer import NOTICE, can_time, listen, listen_no_more, name_of

REAL = asyncio.Handle._run


@pytest.fixture
def seen() -> Iterator[list[tuple[asyncio.AbstractEventLoop, str, float]]]:
    """Fills with what was slow."""
    found: list[tuple[asyncio.AbstractEventLoop, str, float]] = []

    def note(loop: asyncio.AbstractEventLoop, callback: Any, seconds: float) -> None:
        found.append((loop, name_of(callback), seconds))

    listen(note)
    yield found
    listen_no_more(note)
    assert asyncio.Handle._run is REAL


def busy(seconds: float) -> None:
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        pass


async def read_camera() -> None:
    await asyncio.sleep(0)
    busy(2 * NOTICE)


def run(coroutine: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
    # asyncio's own loop, whatever the tests run on.
    loop = loop or asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


def test_a_slow_step_of_a_task_is_named(seen: list[tuple[asyncio.AbstractEventLoop, str, float]]) -> None:
    loop = asyncio.SelectorEventLoop()

    async def main() -> None:
        await asyncio.gather(asyncio.create_task(read_camera(), name="camera"), asyncio.sleep(0))

    run(main(), loop)
    assert any(
        where is loop and name == "task camera (read_camera)" and 2 * NOTICE <= seconds < 5
        for where, name, seconds in seen
    )


def test_a_slow_callback_is_named(seen: list[tuple[asyncio.AbstractEventLoop, str, float]]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(functools.partial(busy, 2 * NOTICE))
        asyncio.get_running_loop().call_later(0, busy, 2 * NOTICE)
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)

    run(main())
    assert [name for _, name, _ in seen].count(f"{__name__}.busy") == 2


def test_one_that_cancels_itself_is_named(seen: list[tuple[asyncio.AbstractEventLoop, str, float]]) -> None:
    async def main() -> None:
        def once() -> None:
            busy(2 * NOTICE)
            handle.cancel()

        handle = asyncio.get_running_loop().call_soon(once)
        await asyncio.sleep(0)

    run(main())
    assert any(name.endswith("main.<locals>.once") for _, name, _ in seen)


def test_errors_go_where_they_would(seen: list[tuple[asyncio.AbstractEventLoop, str, float]]) -> None:
    caught: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: caught.append(context))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    run(main())
    assert [type(context["exception"]) for context in caught] == [ZeroDivisionError]


def test_asyncio_is_as_it_was_when_nobody_listens() -> None:
    assert asyncio.Handle._run is REAL

    def note(*_: Any) -> None: ...

    def other(*_: Any) -> None: ...

    listen(note)
    listen(other)
    assert asyncio.Handle._run is not REAL
    listen_no_more(note)
    assert asyncio.Handle._run is not REAL
    listen_no_more(other)
    assert asyncio.Handle._run is REAL


def test_what_somebody_else_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(handle: asyncio.Handle) -> None:
        REAL(handle)

    def note(*_: Any) -> None: ...

    # Before ours: theirs runs, nothing is timed. After ours: theirs is not taken away.
    monkeypatch.setattr(asyncio.Handle, "_run", theirs)
    listen(note)
    assert asyncio.Handle._run is theirs
    listen_no_more(note)
    assert asyncio.Handle._run is theirs
    monkeypatch.setattr(asyncio.Handle, "_run", REAL)
    listen(note)
    monkeypatch.setattr(asyncio.Handle, "_run", theirs)
    listen_no_more(note)
    assert asyncio.Handle._run is theirs


def test_which_loops_can_be_timed() -> None:
    loop = asyncio.SelectorEventLoop()
    assert can_time(loop)
    loop.close()
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    assert not can_time(loop)
    loop.close()


class Camera:
    def read(self) -> None: ...

    def __call__(self) -> None: ...


def test_names() -> None:
    assert name_of(Camera().read) == f"{__name__}.Camera.read"
    assert name_of(functools.partial(functools.partial(busy, 1))) == f"{__name__}.busy"
    assert name_of(Camera()) == f"{__name__}.Camera"
    assert name_of(len) == "builtins.len"
    assert name_of(None) == "NoneType"
    assert handle_timer.NOTICE == 0.005
