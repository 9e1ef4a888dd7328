"""The bars of the table of issue 4, and whether a case is over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.pressure import figures
from benchmarks.pressure.figures import arrivals
from benchmarks.pressure.messages import AUDIO
from benchmarks.pressure.play import SLOW, Played

Verdict = dict[str, Any]


def judge(played: Played, row: dict[str, Any]) -> list[Verdict]:
    """Return each bar of a case of ours with what was seen; none for another system."""
    if not figures.is_ours(played.case):
        return []
    verdicts = _JUDGES[played.case.scenario](played, row)
    cpu = row["send_pose_us"].get("cpu", {})
    own = row["send_pose_us"].get("own_cpu", {})
    return [
        *verdicts,
        _most("CPU of one send_pose, own, most", own.get("max"), 1000, "µs"),
        _most("CPU of one send_pose with what ran in its turn, p99", cpu.get("p99"), 1000, "µs"),
    ]


def _most(what: str, value: float | None, bar: float, unit: str) -> Verdict:
    return {"what": what, "seen": value, "bar": f"≤ {bar:g} {unit}", "ok": value is not None and value <= bar}


def _least(what: str, value: float | None, bar: float, unit: str) -> Verdict:
    return {"what": what, "seen": value, "bar": f"≥ {bar:g} {unit}", "ok": value is not None and value >= bar}


def _cut(played: Played, row: dict[str, Any]) -> list[Verdict]:
    case = played.case
    cut, back = case.begins(1), case.begins(2)
    pose, audio = row["streams"]["holistic"], row["streams"][AUDIO]
    missing, sent = figures.lost(played, AUDIO, start=cut + 1.0)
    returned = figures.back_after(arrivals(played, "holistic"), back, fps=30)
    return [
        _most("pose age p99 while cut", pose["cut"].get("p99"), 250, "ms"),
        _most("pose age p99, all", pose["all"].get("p99"), 250, "ms"),
        _most("audio age p99 while cut", audio["cut"].get("p99"), 200, "ms"),
        # Not in the table; without it a sender that sends no poses at all would pass the ones above.
        _least("poses delivered while cut (no bar of the table)", pose["cut"]["fps"], 5, "fps"),
        _most(f"audio lost of {sent} chunks from 1 s after the cut", missing, 0, "chunks"),
        _most("back to full rate and quality after the link's return", returned, 3.0, "s"),
    ]


def _narrow(played: Played, row: dict[str, Any]) -> list[Verdict]:
    pose = row["streams"]["pose33"]
    return [
        _most("pose age p99, all", pose["all"].get("p99"), 200, "ms"),
        _most("pose age p99, steady", pose["steady"].get("p99"), 200, "ms"),
        _least("poses delivered, steady", pose["steady"]["fps"], 15, "fps"),
    ]


def _slow_reader(played: Played, row: dict[str, Any]) -> list[Verdict]:
    verdicts = [
        _most(f"p99 of the other seven, with / without, {stream}", row["ratios"][stream]["p99"], 1.1, "times")
        for stream in played.case.streams
    ]
    verdicts.append(_most("growth of the server's memory meanwhile", row["server_growth_mb"], 1.0, "MB"))
    if played.case.variant == "stopped":
        said = [entry for entry in row["happened"] if entry["who"] == SLOW]
        closed = any("bye" in entry["what"] or "ended" in entry["what"] for entry in said)
        told = "; ".join(f"{entry['at']:.1f} s {entry['what']}" for entry in said) or "nothing"
        return [*verdicts, {"what": "who reads nothing is closed, told why", "seen": told, "bar": "", "ok": closed}]
    for stream in played.case.streams:
        slow = row["slow"][stream]["with"]
        verdicts.append(_most(f"age p95 of the slow one, {stream}", slow.get("p95"), 500, "ms"))
        verdicts.append(_most(f"age p99 of the slow one, {stream}", slow.get("p99"), 500, "ms"))
        verdicts.append(_least(f"poses to the slow one, {stream}", slow["fps"], 3, "fps"))
    return verdicts


def _lossy(played: Played, row: dict[str, Any]) -> list[Verdict]:
    pose = row["streams"]["pose33"]
    bar = _most("pose age p99, all", pose["all"].get("p99"), 300, "ms")
    # The table has a bar for one lane and asks for the figure of two.
    return [bar] if played.case.variant == "1 lane" else [bar | {"bar": f"({bar['bar']})"}]


def _outage(played: Played, row: dict[str, Any]) -> list[Verdict]:
    back = played.case.begins(2)
    events = row["events"]
    first = figures.first_after(arrivals(played, "pose33"), back, played, "pose33")
    exact = not events["missing"] and not events["twice"] and events["in_order"]
    seen = f"{events['came']} of {events['sent']} came, {events['twice']} twice, missing {events['missing'][:5]}"
    return [
        _most("first fresh pose after the link's return", first, 1.0, "s"),
        {"what": "events exactly once, in order", "seen": seen, "bar": "", "ok": exact},
        _least("events after the return", _events_after(played, back), 1, "events"),
    ]


def _dip(played: Played, row: dict[str, Any]) -> list[Verdict]:
    case = played.case
    came = arrivals(played, "pose33", user=SLOW)
    sound = arrivals(played, AUDIO, user=SLOW)
    end = case.begins(5)
    after = row["slow"]["pose33"]["after"]
    return [
        _most("back to full rate after the link's return", figures.back_after(came, case.begins(3), fps=30), 3.0, "s"),
        _least("poses afterwards", after["fps"], 28, "fps"),
        _most("their age p99", after.get("p99"), 100, "ms"),
        _least("chunks of sound a second afterwards", float((sound.at > end - 5).sum()) / 5, 47, ""),
    ]


def _jitter(played: Played, row: dict[str, Any]) -> list[Verdict]:
    pose, audio = row["streams"]["holistic"]["steady"], row["streams"][AUDIO]["steady"]
    return [
        _least("poses delivered, steady", pose["fps"], 27, "fps"),
        _least("of them at full quality", pose.get("full"), 0.99, ""),
        _most("pose age p99, steady", pose.get("p99"), 150, "ms"),
        _most("audio age p95, steady", audio.get("p95"), 150, "ms"),
    ]


def _events_after(played: Played, moment: float) -> int:
    return int((arrivals(played, "events").at > moment).sum())


_JUDGES = {"a": _cut, "b": _narrow, "c": _slow_reader, "d": _lossy, "e": _outage, "f": _dip, "g": _jitter}


def failures(rows: Sequence[dict[str, Any]]) -> int:
    """Return how many bars were missed."""
    return sum(not verdict["ok"] for row in rows for verdict in row["verdicts"])
