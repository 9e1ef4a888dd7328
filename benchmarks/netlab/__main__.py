"""Run a command at the far side of a bad link: ``python -m benchmarks.netlab --up rate=128kbit -- COMMAND``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Final, TypeVar, get_args

import msgspec

from benchmarks.netlab.control import LinkStats
from benchmarks.netlab.errors import NetlabError, SettingError
from benchmarks.netlab.line import LineStats
from benchmarks.netlab.link import Kind, Link, open_link
from benchmarks.netlab.path import Path, parse_path
from benchmarks.netlab.schedule import Step, parse_schedule

_T = TypeVar("_T")

_NOT_FOUND: Final = 127
_EPILOG: Final = """
In COMMAND, {host} is the near side's address as the far side sees it, {port} and {url} what reaches --port of the near
side; the command finds the same in NETLAB_HOST, NETLAB_PORT and NETLAB_URL. Statistics go to stderr when it has ended.

  python -m benchmarks.netlab --up rate=128kbit,delay=20ms --down delay=20ms -- ping -c 5 {host}
  python -m benchmarks.netlab --port 5000 --schedule 'at 5s both outage=on; at 10s both outage=off' -- curl {url}
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    logging.basicConfig(format="netlab: %(message)s")
    try:
        return asyncio.run(_run(options))
    except NetlabError as exc:
        print(f"netlab: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.netlab",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    settings = "rate=128kbit,delay=20ms,jitter=5ms,loss=2%%,buffer=400ms; all optional"
    parser.add_argument("--up", type=_setting(parse_path), default=Path(), help=f"far to near: {settings}")
    parser.add_argument("--down", type=_setting(parse_path), default=Path(), help="near to far, likewise")
    parser.add_argument("--seed", type=int, default=1, help="of loss and jitter (default: 1)")
    parser.add_argument(
        "--schedule",
        type=_setting(_schedule),
        default=[],
        metavar="FILE|TEXT",
        help="'at 5s up rate=128kbit; at 35s up rate=none'; begins with the command",
    )
    parser.add_argument("--kind", choices=get_args(Kind), default="auto", help="default: %(default)s")
    parser.add_argument("--port", type=int, help="of the near side, that the command connects to; a proxy needs it")
    parser.add_argument("--json", action="store_true", help="statistics as JSON")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    return parser.parse_args(arguments)


def _setting(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return ``read`` with its errors as argparse shows them."""

    def checked(text: str) -> _T:
        try:
            return read(text)
        except SettingError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return checked


def _schedule(text: str) -> list[Step]:
    """Read a file of that name when there is one, else the text itself."""
    file = FilePath(text)
    with contextlib.suppress(OSError, ValueError):  # too long for a name, or not one
        if file.is_file():
            text = file.read_text()
    return parse_schedule(text)


async def _run(options: argparse.Namespace) -> int:
    async with open_link(up=options.up, down=options.down, seed=options.seed, kind=options.kind) as link:
        values = await _values(link, options.port)
        command = [_fill(part, values) for part in options.command]
        environment = os.environ | {f"NETLAB_{name.upper()}": value for name, value in values.items()}
        if options.schedule:
            await link.play(options.schedule, time.monotonic())
        try:
            process = await asyncio.create_subprocess_exec(*link.command, *command, env=environment)
        except OSError as exc:
            print(f"netlab: cannot run {command[0]}: {exc}", file=sys.stderr)
            return _NOT_FOUND
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
        stats = await link.stats()
    print(msgspec.json.encode(stats).decode() if options.json else render(stats, link.kind), file=sys.stderr)
    return code if code >= 0 else 128 - code


async def _values(link: Link, port: int | None) -> dict[str, str]:
    values = {"host": link.host}
    if port is not None:
        values |= {"port": str(await link.port(port)), "url": await link.url(port)}
    elif link.kind == "proxy":
        raise SettingError("--port", "none", "a port of this machine: a proxy has to know where it leads")
    return values


def _fill(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def render(stats: LinkStats, kind: str) -> str:
    """Return statistics as two lines of text."""
    return "\n".join([f"netlab: {kind}", _line("up", stats.up), _line("down", stats.down)])


def _line(name: str, stats: LineStats) -> str:
    return (
        f"  {name:4}  {stats.packets} of {stats.offered_packets} packets, {stats.bytes} of {stats.offered_bytes} bytes"
        f"; dropped: {stats.dropped_full} buffer full, {stats.dropped_loss} loss, {stats.dropped_outage} outage; "
        f"most queued: {stats.queued_bytes_max} bytes"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
