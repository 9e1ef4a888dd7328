"""What every test gets: a Hypothesis profile without wall clocks, and a check that nothing is left running."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from aiohttp import web_app
from engineio import base_client
from hypothesis import HealthCheck, settings

from posewire.sockets.socketio_client import Engine

# Hypothesis times examples by the wall clock, which says more about the machine than about the code.
settings.register_profile("posewire", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("posewire")

# `POSEWIRE_TEST_LOOP=uvloop pytest …` runs every async test on uvloop. Taken out of where Posewire reads its settings.
LOOP = os.environ.pop("POSEWIRE_TEST_LOOP", "asyncio")

if LOOP == "uvloop":
    import uvloop

    @pytest.hookimpl(optionalhook=True)  # pytest-asyncio has had it since 1.4
    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": uvloop.new_event_loop}


def pytest_collection_finish() -> None:
    """Leave out of every later collection what lives as long as the run: the tests and all that they import."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def no_task_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves a task running when it ends."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    # aiohttp keeps the handlers of the last 1,024 applications, and with them our servers: far too much to walk below.
    web_app._cached_build_middleware.cache_clear()
    # What was not closed warns when it is collected: now, in the test that left it, not in a later one.
    gc.collect()
    # engine.io's own list of the connected, which nothing but its clean-up empties.
    connected = [client for client in base_client.connected_clients if isinstance(client, Engine)]
    base_client.connected_clients.clear()
    assert not connected, f"still in the library's list: {connected}"
    assert not left, f"tasks left running: {sorted(task.get_name() for task in left)}"


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> None:
    """Ask for the check in async tests only; a loop for each plain test would cost more than the tests."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("no_task_left_behind")
