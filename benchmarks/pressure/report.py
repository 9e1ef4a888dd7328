"""Figures of a run of the pressure benchmark, and their tables in plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from benchmarks.netlab.path import describe
from benchmarks.pressure import figures
from benchmarks.pressure.figures import arrivals
from benchmarks.pressure.messages import AUDIO, Report
from benchmarks.pressure.play import SLOW, Played
from benchmarks.pressure.verdict import judge
from benchmarks.table import align, number

_SHOWN_STATUSES: Final = 14
_SHOWN_HAPPENINGS: Final = 16


def row_of(played: Played) -> dict[str, Any]:
    """Return all figures of a case."""
    case = played.case
    streams = [*case.streams, *([AUDIO] if case.audio else [])]
    fast = {stream: arrivals(played, stream, skip=SLOW) for stream in streams}
    row: dict[str, Any] = {
        "scenario": case.scenario,
        "case": case.name,
        "title": case.title,
        "system": case.system,
        "variant": case.variant,
        "link": {"kind": played.link_kind, "up": describe(case.up), "down": describe(case.down)},
        "link_stats": msgspec.to_builtins(played.link[-1]),
        "link_kbit_s": figures.link_rates(played),
        "phases": [
            {**msgspec.to_builtins(phase), "begin": case.begins(index)} for index, phase in enumerate(case.phases)
        ],
        "streams": {
            name: figures.stream_figures(came, case, recipients=case.subscribers) for name, came in fast.items()
        },
        "series": {name: figures.series(came) for name, came in fast.items()},
        "outcomes": played.publisher.outcomes,
        "send_pose_us": figures.call_figures(played.publisher),
        "memory_mb": dict(_memory(played)),
        "cpu_s": {"server": round(played.server.cpu_s, 2), "publisher": round(played.publisher.cpu_s, 2)},
        "others_percent": round(100 * played.others, 1),
        "status": played.publisher.status,
        "happened": [msgspec.to_builtins(entry) for report in _reports(played) for entry in report.happened],
        "unreadable": sum(
            got.unreadable for report in played.subscribers for tables in report.got.values() for got in tables.values()
        ),
    }
    if case.audio:
        row["audio_lost"] = figures.audio_lost(played)
    if case.events:
        row["events"] = figures.event_figures(played)
    if case.far == "subscriber":
        row |= _slow(played)
    row["verdicts"] = judge(played, row)
    return row


def _slow(played: Played) -> dict[str, Any]:
    case = played.case
    slow = {stream: arrivals(played, stream, user=SLOW) for stream in case.streams}
    ratios = {}
    for stream in case.streams:
        fast = arrivals(played, stream, skip=SLOW)
        spans = {name: (start, end) for name, start, end in figures.phases(case)}
        without = figures.percentiles_ms(fast.between(*spans["without"]).ages)
        meanwhile = figures.percentiles_ms(fast.between(*spans["with"]).ages)
        ratios[stream] = {
            name: round(meanwhile[name] / without[name], 3) if name in without and name in meanwhile else None
            for name in ("p50", "p95", "p99")
        }
    start, end = case.begins(2), case.begins(len(case.phases) - 1)
    before = [size for at, size in played.server.memory if start - 3 <= at <= start]
    during = [size for at, size in played.server.memory if start < at <= end]
    growth = round((max(during) - max(before)) / 1e6, 2) if before and during else None
    return {
        "slow": {stream: figures.stream_figures(came, case) for stream, came in slow.items()},
        "slow_series": {stream: figures.series(came) for stream, came in slow.items()},
        "ratios": ratios,
        "server_growth_mb": growth,
    }


def _memory(played: Played) -> Iterator[tuple[str, list[list[float]]]]:
    yield "server", figures.memory_mb(played.server)
    yield "publisher", figures.memory_mb(played.publisher)
    for report in played.subscribers:
        yield SLOW if SLOW in report.got else "receiver", figures.memory_mb(report)


def _reports(played: Played) -> list[Report]:
    return [played.publisher, *played.subscribers]


# The tables ----------------------------------------------------------------------------------------------------------


def render_row(row: dict[str, Any], *, verbose: bool = True) -> str:
    """Return the figures of one case as plain text."""
    lines = [f"{row['case']} · {row['title']}", f"  link ({row['link']['kind']}): up {row['link']['up']}"]
    lines[-1] += f", down {row['link']['down']}; other programs took {row['others_percent']} % of the machine"
    table = [("", "phase", "fps", "p50 ms", "p95 ms", "p99 ms", "max ms", "full quality")]
    tables = dict(row["streams"])
    tables |= {f"{stream} to the slow one": figures_ for stream, figures_ in row.get("slow", {}).items()}
    for name, phases in tables.items():
        for index, (phase, seen) in enumerate(phases.items()):
            ages = [number(seen.get(key), 1) for key in ("p50", "p95", "p99", "max")]
            full = f"{seen['full']:.0%}" if "full" in seen else ""
            table.append(("" if index else name, phase, f"{seen['fps']:.1f}", *ages, full))
    lines += [f"  {line}" for line in align(table, names=1)]
    lines += list(_details(row))
    if verbose:
        lines += list(_status_lines(row))
    for verdict in row["verdicts"]:
        mark = "pass" if verdict["ok"] else "FAIL"
        lines.append(f"  {mark}  {verdict['what']}: {verdict['seen']}  {verdict['bar']}")
    return "\n".join(lines)


def _details(row: dict[str, Any]) -> Iterator[str]:
    up, down = row["link_stats"]["up"], row["link_stats"]["down"]
    yield f"  bytes up {up['bytes']:,} in {up['packets']:,} packets, down {down['bytes']:,} in {down['packets']:,}"
    rates = [f"{name} {up:.0f}/{down:.0f}" for name, (up, down) in row["link_kbit_s"].items()]
    yield f"  kbit/s up/down, IP: {', '.join(rates)}"
    yield (
        f"  packets dropped up/down: {up['dropped_full']}/{down['dropped_full']} buffer full, "
        f"{up['dropped_loss']}/{down['dropped_loss']} loss, {up['dropped_outage']}/{down['dropped_outage']} outage; "
        f"most queued up {up['queued_bytes_max']} bytes"
    )
    if "audio_lost" in row:
        parts = [f"{name} {missing} of {sent}" for name, (missing, sent) in row["audio_lost"].items()]
        yield f"  audio lost, by when it was sent: {', '.join(parts)}"
    if "ratios" in row:
        yield f"  the others' ages, with / without: {row['ratios']}; server grew {row['server_growth_mb']} MB"
    if "events" in row:
        yield f"  events: {row['events']}"
    yield f"  outcomes: {row['outcomes']}"
    for name, calls in row["send_pose_us"].items():
        yield (
            f"  send_pose {name}: p50 {calls['p50']:.0f}, p99 {calls['p99']:.0f}, max {calls['max']:.0f} µs; "
            f"{calls['over_1ms']} of {calls['calls']} over 1 ms"
        )
    for role, samples in row["memory_mb"].items():
        sizes = [size for _, size in samples]
        yield f"  memory {role}: {sizes[0]:.1f} MB at first, most {max(sizes):.1f}, {sizes[-1]:.1f} at the end"
    if row["unreadable"]:
        yield f"  {row['unreadable']} poses came without a readable number"


def _status_lines(row: dict[str, Any]) -> Iterator[str]:
    statuses = row["status"]
    step = max(1, len(statuses) // _SHOWN_STATUSES)
    for at, status in statuses[::step]:
        yield f"    {at:5.1f} s  {_brief(status)}"
    happened = row["happened"]
    for entry in happened[:_SHOWN_HAPPENINGS]:
        yield f"    {entry['at']:6.2f} s  {entry['who']}: {entry['what']}"
    if len(happened) > _SHOWN_HAPPENINGS:
        yield f"    … and {len(happened) - _SHOWN_HAPPENINGS} more"


def _brief(status: dict[str, Any]) -> str:
    parts = []
    for name, value in status.items():
        if isinstance(value, float):
            parts.append(f"{name}={value:.4g}")
        elif not isinstance(value, list) and value not in (None, {}):  # lists are in the JSON
            parts.append(f"{name}={value}")
    return " ".join(parts)
