"""The command line of the chaos benchmark."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from benchmarks.chaos.messages import Play
from benchmarks.chaos.plan import SECONDS
from benchmarks.chaos.tally import Verdict, add_up
from benchmarks.chaos.world import SPEED
from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Setup
from benchmarks.options import at_least_one, common_options
from benchmarks.process import Process, WorkerError
from benchmarks.table import align

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec")
_PLAY_SECONDS: Final = 120.0
_TELL_EVERY: Final = 50


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks chaos", description="Seeded schedules of faults.")
    parser.add_argument("--schedules", type=at_least_one, default=1000, help="default: %(default)s")
    parser.add_argument(
        "--jobs", type=at_least_one, default=os.cpu_count() or 1, help="processes that play them (default: %(default)s)"
    )
    common_options(parser)
    parser.set_defaults(seed=0)
    options = parser.parse_args(arguments)
    try:
        verdicts = asyncio.run(_play_all(options))
    except WorkerError as exc:
        print(f"chaos: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    figures = add_up(verdicts)
    settings = {"schedules": options.schedules, "seed": options.seed, "seconds": SECONDS, "speed": SPEED}
    result: dict[str, Any] = {"benchmark": "chaos", **provenance(_LIBRARIES), "settings": settings, "figures": figures}
    result["failures"] = [msgspec.to_builtins(verdict) for verdict in verdicts if verdict.wrong]
    print(to_json(result).decode() if options.json else _render(result, verdicts))
    if options.save:
        print(f"saved to {save('chaos', result)}", file=sys.stderr)
    return 1 if figures["failed"] else 0


async def _play_all(options: argparse.Namespace) -> list[Verdict]:
    seeds = iter(range(options.seed, options.seed + options.schedules))
    verdicts: list[Verdict] = []
    setup = Setup(system="posewire", role="members", secret="", seed=options.seed, members=0)
    jobs = min(options.jobs, options.schedules)
    workers = [await Process.start(setup, "benchmarks.chaos.worker") for _ in range(jobs)]
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(_work(worker, seeds, verdicts), name="benchmark.chaos")
    except* WorkerError as failures:
        raise failures.exceptions[0] from None
    finally:
        for worker in workers:
            await worker.close()
    return sorted(verdicts, key=lambda verdict: verdict.seed)


async def _work(worker: Process, seeds: Iterator[int], verdicts: list[Verdict]) -> None:
    await worker.ready()
    for seed in seeds:
        verdict = await worker.ask(Play(seed=seed), Verdict, _PLAY_SECONDS)
        verdicts.append(verdict)
        if verdict.wrong:
            print(f"seed {seed}: {'; '.join(verdict.wrong[:3])}", file=sys.stderr)
        if len(verdicts) % _TELL_EVERY == 0:
            failed = sum(bool(verdict.wrong) for verdict in verdicts)
            print(f"{len(verdicts)} played, {failed} with something wrong", file=sys.stderr)


def _render(result: dict[str, Any], verdicts: Sequence[Verdict]) -> str:
    figures, machine, settings = result["figures"], result["machine"], result["settings"]
    lines = [
        f"chaos · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"{figures['schedules']} schedules of {settings['seconds']:g} s from seed {settings['seed']},",
        f"played {settings['speed']:g} times faster on real sockets",
        "",
        *align([["what went wrong", "times"], *_rows(figures["faults"])], names=0),
        "",
        f"{figures['sessions']} sessions, {figures['poses']} poses; events: {figures['returned']} sent,",
        f"{figures['raised']} refused, {figures['received']} received,",
        f"{figures['lost']} lost, {figures['doubled']} doubled",
        "",
        *align([["came back", "times"], ["resumed", str(figures["resumed"])], *_rows(figures["rejoined"])], names=0),
    ]
    if figures["resumed"]:
        gone = ", ".join(f"p{share} {figures[f'gone_p{share}'] * 1e3:.0f}" for share in (50, 95, 99))
        lines += ["", f"resumed after (real ms since the last sign of life, the outage in it): {gone}"]
    if figures["ended"]:
        lines += ["", *align([["sessions ended with", "times"], *_rows(figures["ended"])], names=0)]
    lines += ["", "no invariant was broken" if not figures["failed"] else f"broken: {figures['wrong']}"]
    for verdict in verdicts:
        if verdict.wrong:
            lines += ["", verdict.story, "what is wrong:", *(f"  {line}" for line in verdict.wrong)]
    return "\n".join(lines)


def _rows(counts: dict[str, int]) -> list[list[str]]:
    return [[name or "(none)", str(count)] for name, count in counts.items()]
