"""What counts as growth."""

from __future__ import annotations

import msgspec
import pytest
from benchmarks.soak_judgement import MAX_GROWTH, Sample, judge


def samples(count: int, *, rss: int = 0, tasks: int = 0, descriptors: int = 0, every: float = 10.0) -> list[Sample]:
    """A process that grows by so much over all of its samples."""
    last = count - 1
    return [
        Sample(
            phase="visits",
            role="server",
            at=every * index,
            rss=(50 << 20) + rss * index // last,
            tasks=20 + tasks * index // last,
            descriptors=30 + descriptors * index // last,
        )
        for index in range(count)
    ]


def test_what_stays_as_it_is_has_held() -> None:
    (growth,) = judge(samples(120))
    assert growth.held
    assert growth.settled
    assert (growth.rss, growth.role, growth.phase) == (0, "server", "visits")


@pytest.mark.parametrize("grown", [{"rss": 2 * MAX_GROWTH}, {"tasks": 40}, {"descriptors": 40}])
def test_growth_of_any_kind_has_not(grown: dict[str, int]) -> None:
    (growth,) = judge(samples(120, **grown))
    assert not growth.held


def test_the_first_minute_does_not_count() -> None:
    found = samples(120)
    for index in range(6):
        found[index] = Sample(phase="visits", role="server", at=10.0 * index, rss=0, tasks=0, descriptors=0)
    (growth,) = judge(found)
    assert growth.held


def test_a_look_at_a_bad_moment_does_not_count() -> None:
    found = samples(120)
    found[-1] = Sample(phase="visits", role="server", at=1190.0, rss=1 << 40, tasks=99, descriptors=99)
    (growth,) = judge(found)
    assert growth.held


@pytest.mark.parametrize("leaked", [0, 3])
def test_tasks_under_way_are_no_growth_and_a_leak_among_them_is(leaked: int) -> None:
    found = [
        msgspec.structs.replace(sample, tasks=19 + 2 * (index % 2) + leaked * (index > 60))
        for index, sample in enumerate(samples(120))
    ]
    (growth,) = judge(found)
    assert growth.held == (not leaked)


def test_what_was_too_short_says_so_and_one_look_says_nothing() -> None:
    (growth,) = judge(samples(4))
    assert not growth.settled
    assert judge(samples(2)[:1]) == []


def test_roles_and_phases_are_judged_apart() -> None:
    other = [
        Sample(phase="flood", role="members", at=sample.at, rss=1, tasks=1, descriptors=1) for sample in samples(20)
    ]
    assert {(growth.phase, growth.role) for growth in judge([*samples(20), *other])} == {
        ("visits", "server"),
        ("flood", "members"),
    }
