"""What `page` makes of what was measured: figures, and a text of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.crowd_age import percentile, read
from benchmarks.page_browser import Costs, Measured
from benchmarks.table import align, number

_SHARES: Final = (50, 95, 99)


def page_figures(
    looks: Sequence[Measured], costs: Sequence[Costs], seconds: float, clean: Sequence[Costs]
) -> dict[str, Any]:
    """Return what the page did, milliseconds and MB; CPU in % of a core. ``clean``: after clean-up, at both ends."""
    decode, update, submit, interval, ages = (
        np.array([value for look in looks for value in getattr(look, name)])
        for name in ("decode", "update", "submit", "interval", "ages")
    )
    pictures = len(interval)
    first, last = costs[0], costs[-1]
    cpu = {name: 100 * (getattr(last, name) - getattr(first, name)) / seconds for name in ("renderer", "gpu")}
    return {
        "pictures_per_s": round(pictures / seconds, 1),
        "interval_ms": _shares(interval),
        "decode_and_update_ms": _shares(decode + update),
        "decode_ms": _shares(decode),
        "update_ms": _shares(update),
        "submit_ms": _shares(submit),
        "gpu_cpu_ms": round(1e3 * (last.gpu - first.gpu) / max(1, pictures), 2),
        "thread_cpu_ms": round(1e3 * (last.thread - first.thread) / max(1, pictures), 2),
        "poses_per_s": round(len(ages) / seconds, 1),
        "age_ms": _shares(ages),
        "missed": sum(look.missed for look in looks),
        "heap_mb": [round(cost.heap / 1e6, 2) for cost in clean],
        "heap_in_use_mb": [round(cost.heap / 1e6, 1) for cost in costs],
        "resident_mb": [round(cost.resident / 1e6, 1) for cost in clean],
        "resident_in_use_mb": [round(cost.resident / 1e6) for cost in costs],
        "cpu": {name: round(share) for name, share in cpu.items()},
    }


def python_figures(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return what the others did in the same time."""
    ages = read(after["watcher"].ages)
    received = after["watcher"].received - before["watcher"].received
    whole = after["watcher"].whole - before["watcher"].whole
    at = {share: percentile(ages, share) for share in _SHARES}
    return {
        "poses_per_s": round(received / seconds, 1),
        "whole": round(whole / max(1, received), 3),
        "sent_per_s": round((after["senders"].sent - before["senders"].sent) / seconds, 1),
        "lost": after["watcher"].lost - before["watcher"].lost,
        "age_ms": {f"p{share}": None if age is None else round(1e3 * age, 1) for share, age in at.items()},
        "cpu": {name: round((after[name].cpu_ns - before[name].cpu_ns) / 1e7 / seconds) for name in after},
    }


def _shares(values: Any) -> dict[str, float | None]:
    if not len(values):
        return {f"p{share}": None for share in _SHARES}
    return {f"p{share}": round(float(np.percentile(values, share)), 2) for share in _SHARES}


def render(result: dict[str, Any]) -> str:
    """Return the text of a result."""
    settings, machine, figures = result["settings"], result["machine"], result["figures"]
    python = figures["python"]
    heap, held = figures["heap_in_use_mb"], figures["heap_mb"]
    resident, in_use = figures["resident_mb"], figures["resident_in_use_mb"]
    width, height = settings["size"]
    clips = ", ".join(settings["recordings"])
    lines = [
        f"page · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, load {machine['load'][0]:g} at the start",
        f"Chromium {figures['browser']}, {figures['renderer']}",
        f"{settings['people']} people at {settings['fps']:g} fps, body, face and hands: {clips}",
        f"{settings['seconds']:g} s, {width} x {height}, {settings['view']}; shares in ms",
        "",
    ]
    table = [["", "p50", "p95", "p99"]]
    rows = {
        "decode and update, a picture": figures["decode_and_update_ms"],
        "  decode": figures["decode_ms"],
        "  update": figures["update_ms"],
        "telling WebGL, a picture": figures["submit_ms"],
        "from one picture to the next": figures["interval_ms"],
        "age in the page": figures["age_ms"],
        "age in Python": python["age_ms"],
    }
    table += [[name, *(number(value, 1) for value in shares.values())] for name, shares in rows.items()]
    cpu = {"page": figures["cpu"]["renderer"], "what draws": figures["cpu"]["gpu"]} | python["cpu"]
    marks = ", ".join(f"{name} {at}" for name, at in figures["marks_ms"].items())
    across = ", ".join(f"{name} {share}" for name, share in cpu.items())
    work = {"on the page's main thread": "thread_cpu_ms", "in what draws": "gpu_cpu_ms"}
    lines += [
        *align(table, names=0),
        "",
        f"{figures['pictures_per_s']:g} pictures a second",
        "CPU a picture, ms: " + ", ".join(f"{figures[key]:g} {where}" for where, key in work.items()),
        f"poses a second: {python['sent_per_s']:g} sent, {figures['poses_per_s']:g} shown to the page",
        f"               {python['poses_per_s']:g} to Python; {100 * python['whole']:g} % whole, {python['lost']} lost",
        f"JavaScript heap, MB: {held[0]:g} to {held[1]:g} after clean-up, {min(heap):g} to {max(heap):g} with garbage",
        f"the page's process, MB: {resident[0]:g} to {resident[1]:g}, {min(in_use):g} to {max(in_use):g} with garbage",
        f"ms since navigation began: {marks}; {figures['bundle_kb']:g} kB of JavaScript, compressed",
        f"CPU, % of a core: {across}; the machine {figures['machine_busy']} of {100 * machine['cores']}",
    ]
    lines += [f"complaint: {text}" for text in figures["complaints"]]
    return "\n".join(lines)
