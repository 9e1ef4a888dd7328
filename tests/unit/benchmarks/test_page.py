"""What the benchmark of the page makes of what it saw."""

from __future__ import annotations

import pytest
from benchmarks.crowd_age import Ages
from benchmarks.page_browser import Costs, Measured
from benchmarks.page_report import page_figures, python_figures, render
from benchmarks.page_worker import Seen, recordings


def look(pictures: int, cost: float) -> Measured:
    each = [cost] * pictures
    return Measured(
        decode=each, update=each, submit=each, interval=[20.0] * pictures, ages=[5.0, 7.0], missed=1, marks={"moved": 9}
    )


def costs(at: float) -> Costs:
    return Costs(thread=at, renderer=2 * at, gpu=4 * at, heap=5e6 + at, resident=100_000_000)


def test_what_the_page_costs_is_by_picture_and_over_all_looks() -> None:
    figures = page_figures(
        [look(50, 1.0), look(150, 3.0)], [costs(1.0), costs(2.0), costs(3.0)], 4.0, [costs(0.0), costs(1e6)]
    )
    assert figures["pictures_per_s"] == 50.0
    assert figures["decode_and_update_ms"] == {"p50": 6.0, "p95": 6.0, "p99": 6.0}
    assert figures["thread_cpu_ms"] == 10.0  # two seconds, two hundred pictures
    assert figures["cpu"] == {"renderer": 100, "gpu": 200}
    assert (figures["poses_per_s"], figures["missed"], figures["heap_mb"]) == (1.0, 2, [5.0, 6.0])


def test_nothing_seen_is_not_zero() -> None:
    none = nothing()
    figures = page_figures([none], [costs(1.0), costs(1.0)], 1.0, [costs(1.0), costs(1.0)])
    assert figures["age_ms"]["p99"] is None


def nothing() -> Measured:
    return Measured(decode=[], update=[], submit=[], interval=[], ages=[], missed=0, marks={})


def test_python_is_counted_from_the_first_look() -> None:
    ages = Ages()
    for steps in range(100):
        ages.add(steps)
    before = {name: Seen(cpu_ns=0, sent=100, received=50, whole=50, lost=1) for name in ("senders", "watcher")}
    after = {name: Seen(cpu_ns=10**9, sent=300, received=250, whole=150, lost=4) for name in ("senders", "watcher")}
    after["watcher"] = Seen(cpu_ns=10**9, received=250, whole=150, lost=4, ages=ages.take())
    figures = python_figures(before, after, 2.0)
    assert (figures["poses_per_s"], figures["whole"], figures["sent_per_s"], figures["lost"]) == (100.0, 0.5, 100.0, 3)
    assert figures["age_ms"]["p50"] == pytest.approx(5.0, abs=0.2)
    assert figures["cpu"] == {"senders": 50, "watcher": 50}


def test_the_text_names_what_draws() -> None:
    page = page_figures([look(10, 1.0)], [costs(1.0), costs(2.0)], 1.0, [costs(1.0), costs(1.0)])
    seen = {name: Seen(cpu_ns=0, ages=Ages().take()) for name in ("senders", "watcher")}
    figures = page | {
        "renderer": "SwiftShader",
        "browser": "1",
        "bundle_kb": 1.0,
        "marks_ms": {"moved": 9},
        "python": python_figures(seen, seen, 1.0),
        "machine_busy": 10,
        "complaints": ["it broke"],
    }
    settings = {"people": 8, "fps": 30.0, "seconds": 1.0, "size": (1, 2), "view": "grid", "recordings": ["a", "b"]}
    machine = {"cpu": "a CPU", "cores": 2, "system": "Linux", "load": [0.5]}
    text = render(
        {"date": "d", "commit": "c", "dirty": False, "machine": machine, "settings": settings, "figures": figures}
    )
    assert "SwiftShader" in text
    assert "complaint: it broke" in text
    assert "age in Python" in text


def test_those_who_send_have_body_face_and_hands() -> None:
    clips = recordings()
    assert clips
    for clip in clips:
        first = clip.poses[0]
        assert first.face_landmarks is not None
        assert first.hand_landmarks is not None
        assert first.pose_landmarks is not None
