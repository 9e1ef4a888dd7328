"""Seeded schedules of faults on real sockets. `python -m benchmarks chaos --seed N --schedules 1` plays one again."""

from __future__ import annotations

import pytest
from benchmarks.chaos.clock_steps import steppable_clocks
from benchmarks.chaos.plan import make_plan
from benchmarks.chaos.server_process import ServerNursery
from benchmarks.chaos.world import play

SEEDS = range(50)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_invariants_hold(nursery: ServerNursery, seed: int) -> None:
    plan = make_plan(seed)
    with steppable_clocks():
        history, wrong = await play(plan, nursery)
    if wrong:
        pytest.fail(
            "\n".join([plan.render(), "what happened:", history.render(), "what is wrong:", *wrong]), pytrace=False
        )
    # A schedule in which nothing is sent proves nothing.
    assert history.received
    assert history.poses


def test_all_that_can_go_wrong_goes_wrong_in_them() -> None:
    actions = {step.action for seed in SEEDS for step in make_plan(seed).steps}
    assert actions == {
        "cut", "reset", "blackhole", "half_open", "freeze", "slow", "latency", "kill", "wall_step", "clock_step", "dry",
        "leave", "join", "move", "kick", "lock",
    }  # fmt: skip
