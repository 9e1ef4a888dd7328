"""Where the servers of the schedules come from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.chaos.server_process import ServerNursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[ServerNursery]:
    """One program a test process: Posewire is imported once for all servers."""
    with ServerNursery() as nursery:
        yield nursery
