"""`posewire watch`: everyone in a room, drawn as they move."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec
from rich.console import Console

from posewire.cli.figures import refused_line, session_figures, stream_line
from posewire.cli.live_view import LiveView
from posewire.cli.options import Access, access_options, json_option, session_of
from posewire.cli.running import run
from posewire.cli.sound import record_option, recorded
from posewire.cli.sound_recorder import SoundRecorder
from posewire.session import Session
from posewire.sources.source import check_pace

_LINE_SECONDS = 1.0


@click.command(epilog="Example:  posewire watch --room studio")
@access_options
@click.option("--seconds", type=float, help="Stop after this time; default: when Ctrl-C is pressed.")
@record_option
@json_option
def watch(seconds: float | None, record_audio: str | None, as_json: bool, **access: Any) -> None:
    """Show everyone in a room: skeletons as they move, and for each frames a second, age, bytes, losses.

    On a terminal a live picture; elsewhere a line a second; with --json the figures at the end.
    """
    check_pace(None, seconds)
    run(_watch(Access(**access), seconds, record_audio, as_json))


async def _watch(access: Access, seconds: float | None, record_audio: str | None, as_json: bool) -> None:
    err = Console(stderr=True)
    recorder = None if record_audio is None else SoundRecorder(record_audio)
    async with session_of(access, "watch", err) as session, recorded(session, recorder, err):
        await show(session, f"room {access.room}", seconds=seconds, as_json=as_json)


async def show(session: Session, title: str, *, seconds: float | None, as_json: bool) -> None:
    """Show a session's room until ``seconds`` are over, then its figures; also when interrupted."""
    out = Console()
    dropped = 0
    try:
        if out.is_terminal and not as_json:
            view = LiveView(session, out, title)
            async with view.shown():
                await _pause(session, seconds)
            dropped = view.dropped
        else:
            await _lines(session, out, seconds, quiet=as_json)
    finally:
        figures = session_figures(session, dropped)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(figures)).decode())
        elif out.is_terminal:
            _print_lines(session, out)


async def _pause(session: Session, seconds: float | None) -> None:
    """Wait, but not longer than the session lives."""
    ended = asyncio.get_running_loop().create_task(session.wait_ended(), name="posewire.cli.ended")
    try:
        await asyncio.wait([ended], timeout=seconds)
        if ended.done():
            ended.result()
    finally:
        ended.cancel()


async def _lines(session: Session, out: Console, seconds: float | None, *, quiet: bool) -> None:
    left = seconds
    # A subscription, so that frames are decoded as for any other watcher, and what cannot be is counted.
    frames = session.frames()
    while left is None or left > 0:
        step = _LINE_SECONDS if left is None else min(left, _LINE_SECONDS)
        await _pause(session, step)
        left = None if left is None else left - step
        if not quiet:
            _print_lines(session, out)
    await frames.aclose()


def _print_lines(session: Session, out: Console) -> None:
    for stream in session.receiver.stats():
        out.print(stream_line(stream), markup=False, highlight=False, soft_wrap=True)
    if refused := refused_line(session):
        out.print(f"refused: {refused}", markup=False, highlight=False, soft_wrap=True)
