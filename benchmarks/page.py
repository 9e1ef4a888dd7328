"""The page in a browser, eight people at 30 fps: pictures a second, CPU of each, ages beside Python's, memory."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from benchmarks.crowd_messages import Crowd, Look
from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Setup
from benchmarks.options import at_least_one, common_options, positive
from benchmarks.page_browser import BrowserError, Measured, Page, bundle_bytes, open_page
from benchmarks.page_report import page_figures, python_figures, render
from benchmarks.page_worker import ROOM, Seen, recordings
from benchmarks.process import Process, WorkerError
from benchmarks.rig import close_all
from benchmarks.usage import busy_seconds
from posewire.server import TokenAuthority

_LIBRARIES: Final = ("playwright", "python-socketio", "aiohttp", "msgspec", "numpy", "uvloop")
_WORKER: Final = "benchmarks.page_worker"
_SERVER: Final = "benchmarks.crowd_worker"
_LOOK_SECONDS: Final = 10.0
_DAY: Final = 86_400


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    try:
        figures = asyncio.run(_measure(options))
    except (WorkerError, BrowserError) as exc:
        print(f"page: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    names = ("people", "fps", "seconds", "warmup", "size", "gpu", "view")
    result: dict[str, Any] = {"benchmark": "page", **provenance(_LIBRARIES)}
    result["settings"] = {name: getattr(options, name) for name in names}
    result["settings"]["recordings"] = [clip.name for clip in recordings()]
    result["figures"] = figures
    print(to_json(result).decode() if options.json else render(result))
    if options.save:
        print(f"saved to {save('page', result)}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=__doc__)
    parser.add_argument("--people", type=at_least_one, default=8, help="default: %(default)s")
    parser.add_argument("--fps", type=positive, default=30.0, help="of each (default: %(default)g)")
    parser.add_argument("--seconds", type=positive, default=30.0, help="that count (default: %(default)g)")
    parser.add_argument("--minutes", type=positive, help="instead of seconds: 10 to see whether memory is flat")
    parser.add_argument("--warmup", type=positive, default=5.0, help="seconds before (default: %(default)g)")
    parser.add_argument("--size", type=_size, default=(1280, 800), help="of the page (default: 1280x800)")
    parser.add_argument("--view", choices=("grid", "space"), default="grid", help="default: %(default)s")
    parser.add_argument("--gpu", action="store_true", help="let the browser use a GPU; else SwiftShader, on the CPU")
    parser.add_argument("--picture", metavar="FILE", help="keep a picture of the page, taken after all is measured")
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.minutes:
        options.seconds = 60 * options.minutes
    return options


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


class _Rig:
    """Server, senders, a watcher in Python and the page, all at work."""

    def __init__(self, server: Process, senders: Process, watcher: Process, page: Page) -> None:
        self.page = page
        self._processes: dict[str, tuple[Process, type[Seen] | type[Crowd]]] = {
            "server": (server, Crowd),
            "senders": (senders, Seen),
            "watcher": (watcher, Seen),
        }

    async def ask(self, name: str) -> Any:
        """Look at a process."""
        process, answer = self._processes[name]
        return await process.ask(Look(), answer)

    async def ask_all(self) -> dict[str, Any]:
        """Look at all of them."""
        return {name: await self.ask(name) for name in self._processes}


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    async with _open(options) as rig:
        page = rig.page
        await asyncio.sleep(options.warmup)
        clean = [await page.collected()]
        renderer = await page.renderer()
        # The first second after all that looking does not count.
        await asyncio.sleep(1.0)
        before, began = await rig.ask_all(), time.monotonic()
        await page.take()
        busy, costs = busy_seconds(), [await page.costs()]
        looks: list[Measured] = []
        while (left := began + options.seconds - time.monotonic()) > 0.05:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            looks.append(await page.take())
            costs.append(await page.costs())
            if options.seconds > 6 * _LOOK_SECONDS:
                held = f"{costs[-1].heap / 1e6:.1f} MB of heap, {costs[-1].resident / 1e6:.0f} in all"
                print(f"{time.monotonic() - began:.0f} s: {held}", file=sys.stderr)
        seconds, busy = time.monotonic() - began, busy_seconds() - busy
        after = await rig.ask_all()
        clean.append(await page.collected())
        if options.picture:
            await page.page.screenshot(path=options.picture)
        return {
            "renderer": renderer,
            "browser": page.version,
            "bundle_kb": round(bundle_bytes() / 1e3, 1),
            "marks_ms": {name: round(at) for name, at in looks[0].marks.items()},
            **page_figures(looks, costs, seconds, clean),
            "python": python_figures(before, after, seconds),
            "machine_busy": round(100 * busy / seconds),
            "complaints": page.complaints,
        }


@asynccontextmanager
async def _open(options: argparse.Namespace) -> AsyncIterator[_Rig]:
    secret = secrets.token_urlsafe(48)
    setup = Setup(system="posewire", role="server", secret=secret, seed=options.seed, members=options.people)
    token = TokenAuthority(secret.encode(), lifetime=_DAY).issue("page", publish=False)
    processes: list[Process] = []
    try:
        processes.append(await Process.start(setup, _SERVER))
        url = await processes[0].ready()
        for role in ("members", "subscribers"):
            share = msgspec.structs.replace(setup, role=role, url=url)
            processes.append(await Process.start(share, _WORKER))
            await processes[-1].ready()
        await processes[1].ask(Look(fps=options.fps), Seen)
        async with open_page(*options.size, gpu=options.gpu) as page:
            await page.load(f"{url}/#room={ROOM}&token={token}&view={options.view}")
            yield _Rig(processes[0], processes[1], processes[2], page)
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        await close_all(processes)
