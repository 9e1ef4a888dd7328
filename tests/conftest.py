"""What every test gets: a Hypothesis profile without wall clocks, and a check that nothing is left running."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis times examples by the wall clock, which says more about the machine than about the code.
settings.register_profile("posewire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("posewire")


@pytest.fixture
async def no_task_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves a task running when it ends."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    # What was not closed warns when it is collected: now, in the test that left it, not in a later one.
    gc.collect()
    assert not left, f"tasks left running: {sorted(task.get_name() for task in left)}"


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> None:
    """Ask for the check in async tests only; a loop for each plain test would cost more than the tests."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("no_task_left_behind")
