"""A short run of `tests.fuzz.receive_path`."""

from __future__ import annotations

import pytest

from tests.fuzz.receive_path import run


@pytest.mark.parametrize("room_key", [None, bytes(32)], ids=["MAC", "AEAD"])
async def test_damaged_packets_raise_nothing_and_cost_little(room_key: bytes | None) -> None:
    report = run(4000, 7, room_key=room_key)
    assert report["shown"] > 400
    assert {"damaged", "missing_reference", "replayed", "altered"} <= report["drops"].keys()
    # Ten times what one may cost: this machine may be busy, and a bomb that goes off takes seconds.
    assert report["worst_ms"] < 100
