"""`posewire demo`: the main job, on one machine, in one command."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import click
from rich.console import Console

from posewire.cli.options import json_option, source_of
from posewire.cli.running import run
from posewire.cli.watch import show
from posewire.config import Config
from posewire.server import Server, serve
from posewire.server.web_page import HOW_TO_GET_IT
from posewire.session import connect
from posewire.sources import SAMPLES, Source

ROOM = "studio"


@click.command(epilog="Example:  posewire demo --seconds 5 --json")
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(0.1), help="Stop after this time.")
@click.option(
    "--sample", "samples", multiple=True, type=click.Choice(sorted(SAMPLES)), help="Who moves; may be repeated."
)
@json_option
def demo(seconds: float, samples: tuple[str, ...], as_json: bool) -> None:
    """Start a server, let recorded people move in a room of it, and watch them.

    Everything runs in this process, but over real connections: what you see went through the server.
    """
    run(_demo(seconds, tuple(dict.fromkeys(samples)) or ("jump", "signing"), as_json))


async def _demo(seconds: float, samples: tuple[str, ...], as_json: bool) -> None:
    config = Config()  # the demo is the same everywhere, whatever this machine's settings are
    async with serve(config=config) as server, contextlib.AsyncExitStack() as stack:
        if not as_json:
            Console(stderr=True).print(
                f"Server at {server.url}, room {ROOM!r}: {', '.join(samples)}", markup=False, style="dim"
            )
            Console(stderr=True).print(_page(server, seconds), markup=False, highlight=False, soft_wrap=True)
        group = await stack.enter_async_context(_performers())
        for name in samples:
            token = server.issue_token(name, room_id=ROOM)
            group.create_task(_perform(server.url, token, source_of(name), config), name=f"posewire.demo.{name}")
        token = server.issue_token("watcher", room_id=ROOM, publish=False)
        session = await stack.enter_async_context(connect(server.url, token=token, room=ROOM, config=config))
        await show(session, "posewire demo", seconds=seconds, as_json=as_json)


def _page(server: Server, seconds: float) -> str:
    if not server.has_page:
        return HOW_TO_GET_IT
    token = server.issue_token("viewer", room_id=ROOM, publish=False)
    return f"In a browser, for {seconds:g} s (--seconds N): {server.link(ROOM, token)}"


async def _perform(url: str, token: str, source: Source, config: Config) -> None:
    async with connect(url, token=token, room=ROOM, config=config) as session:
        async for frame in source:
            await session.send_pose(frame.pose)


@contextlib.asynccontextmanager
async def _performers() -> AsyncIterator[asyncio.TaskGroup]:
    """Give a TaskGroup for tasks that never end; they are cancelled with the block."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise _Enough
    except* _Enough:
        pass


class _Enough(Exception):
    """Ends the performers."""
