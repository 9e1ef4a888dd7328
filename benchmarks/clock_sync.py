"""How wrong a session's idea of the server's clock is, when that is 10 s off and drifts by 100 ppm."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec

import posewire
from benchmarks.clocks.figures import Row, rows_of
from benchmarks.clocks.messages import Errors, Job, Listening
from benchmarks.clocks.skew import Skew
from benchmarks.clocks.virtual import DELAYS, simulate
from benchmarks.machine import provenance, save, to_json
from benchmarks.motion import ROOT
from benchmarks.netlab import Path, open_link
from benchmarks.options import at_least_one, common_options, positive
from benchmarks.process import WorkerError
from benchmarks.table import align, number

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "uvloop")
_MODULE: Final = "benchmarks.clocks.worker"
_JITTER: Final = Path(delay=0.040, jitter=0.040)
"""60 ± 20 ms, each direction."""
_LINKS: Final = {"loopback": (None, 1.0), "60 ± 20 ms": (_JITTER, 5.0), "30 ms + exp 5 ms": (None, 5.0)}
"""What is between session and server, and milliseconds that the 99th percentile keeps to."""
_READY_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 10.0
_MAX_LINE: Final = 1 << 26

_T = TypeVar("_T")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when Posewire misses a bar."""
    options = _parse(arguments)
    try:
        rows, ends = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"clock: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    names = ("seconds", "settle", "offset", "drift", "runs", "seed", "link")
    settings = {name: getattr(options, name) for name in names}
    result: dict[str, Any] = {"benchmark": "clock", **provenance(_LIBRARIES), "settings": settings}
    result["rows"] = [msgspec.to_builtins(row) | {"held": row.held} for row in rows]
    result["ends"] = ends
    print(to_json(result).decode() if options.json else _render(result, rows))
    if options.save:
        print(f"saved to {save('clock', result)}", file=sys.stderr)
    return 0 if all(row.held for row in rows) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks clock", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=90.0, help="of each real run (default: %(default)g)")
    parser.add_argument("--settle", type=positive, default=10.0, help="seconds left out (default: %(default)g)")
    parser.add_argument("--offset", type=float, default=10.0, help="seconds (default: %(default)g)")
    parser.add_argument("--drift", type=float, default=100.0, help="parts per million (default: %(default)g)")
    parser.add_argument("--runs", type=at_least_one, default=50, help="virtual, of 5 minutes (default: %(default)s)")
    links = ("auto", "tun", "proxy", "none")
    parser.add_argument("--link", choices=links, default="auto", help="of the real runs (default: %(default)s)")
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.settle >= options.seconds:
        parser.error(f"--settle {options.settle:g}: expected less than --seconds {options.seconds:g}")
    return options


async def _measure(options: argparse.Namespace) -> tuple[list[Row], list[dict[str, Any]]]:
    rows = []
    interval = posewire.Config().socket.clock_interval / 1000
    for link, delay in DELAYS.items():
        clock = {"offset": options.offset, "drift": options.drift, "interval": interval}
        runs = [simulate(delay, **clock, seconds=300.0, seed=options.seed + run) for run in range(options.runs)]
        rows += rows_of("virtual", link, runs, settle=options.settle, bar=_LINKS[link][1])
    ends = []
    for link, (path, bar) in _LINKS.items():
        if options.link == "none" or (path is None and link != "loopback"):
            continue
        print(f"{link}: {options.seconds:g} s", file=sys.stderr)
        errors, kind = await _run(options, path)
        name = link if path is None else f"{link} ({kind})"
        rows += rows_of("real", name, [errors], settle=options.settle, bar=bar)
        end = ("drift", "uncertainty", "steps", "round_trip")
        ends.append({"link": name} | {key: getattr(errors, key) for key in end})
    return rows, ends


async def _run(options: argparse.Namespace, path: Path | None) -> tuple[Errors, str]:
    """Run a server and a session in processes of their own; returns what the session saw, and the kind of the link."""
    skew = Skew(start=time.monotonic(), epoch=time.time(), offset=options.offset, drift=options.drift)
    job = Job(role="server", secret=secrets.token_urlsafe(48), skew=skew, host="127.0.0.1")
    session = msgspec.structs.replace(job, role="session", seconds=options.seconds)
    if path is None:
        async with _process(job) as server:
            port = (await _ask(server, job, Listening, _READY_SECONDS)).port
            session = msgspec.structs.replace(session, url=f"http://127.0.0.1:{port}")
            async with _process(session) as process:
                return await _ask(process, session, Errors, options.seconds + _READY_SECONDS), "none"
    async with open_link(up=path, down=path, seed=options.seed, kind=options.link) as link:
        job = msgspec.structs.replace(job, host=link.host)
        async with _process(job) as server:
            port = (await _ask(server, job, Listening, _READY_SECONDS)).port
            session = msgspec.structs.replace(session, url=await link.url(port))
            async with _process(session, link.command) as process:
                return await _ask(process, session, Errors, options.seconds + _READY_SECONDS), link.kind


@asynccontextmanager
async def _process(job: Job, command: Sequence[str] = ()) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process; at the end it is told to end, and killed when it does not."""
    process = await asyncio.create_subprocess_exec(
        *command,
        *(sys.executable, "-m", _MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=_MAX_LINE,
    )
    assert process.stdin is not None
    try:
        yield process
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await process.wait()
    finally:
        if process.returncode is None:
            print(f"clock: the {job.role} did not end; killed", file=sys.stderr)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _ask(process: asyncio.subprocess.Process, job: Job, answer: type[_T], seconds: float) -> _T:
    assert process.stdin is not None
    assert process.stdout is not None
    line = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
    if not line:
        raise WorkerError(f"the {job.role} did not answer; see above")
    return msgspec.json.decode(line, type=answer)


def _render(result: dict[str, Any], rows: Sequence[Row]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"clock · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"the server's clock is {settings['offset']:g} s off and drifts by {settings['drift']:g} ppm;",
        f"virtual: {settings['runs']} runs of 300 s, real: one of {settings['seconds']:g} s;",
        f"milliseconds that a converted time is wrong, from {settings['settle']:g} s on",
        "",
    ]
    table = [["link", "estimator", "p50", "p95", "p99", "worst", "", ""]]
    for row in rows:
        figures = [number(value, 3) for value in (row.p50, row.p95, row.p99, row.worst)]
        bar = "" if row.bar is None else f"bar {row.bar:g}"
        table.append([f"{row.kind}, {row.link}", row.estimator, *figures, bar, "" if row.held else "MISSED"])
    ends = [
        f"{end['link']}, at the end: drift {end['drift']:.1f} ppm, wrong by {end['uncertainty'] * 1000:.1f} ms "
        f"at most, round trip {end['round_trip'] * 1000:.1f} ms, {end['steps']} steps"
        for end in result["ends"]
    ]
    return "\n".join([*lines, *align(table, names=0), *([""] if ends else []), *ends])
