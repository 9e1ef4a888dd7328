"""`posewire send`: a recording, as if a camera saw it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from posewire import clock
from posewire.cli.figures import sender_figures
from posewire.cli.options import Access, access_options, json_option, motion_of, session_of
from posewire.cli.running import run
from posewire.cli.sound import audio_option, sound_beside
from posewire.session import Session
from posewire.sources import Motion, play

_LINE_SECONDS = 0.25


@click.command(epilog="Example:  posewire send signing --room studio")
@click.argument("source")
@access_options
@click.option("--stream", default="pose", show_default=True, help="Name of the stream.")
@click.option("--fps", type=float, help="Play at this rate; default: as recorded.")
@click.option("--once", is_flag=True, help="Stop at the end instead of beginning again.")
@click.option("--seconds", type=float, help="Stop after this time.")
@audio_option
@json_option
def send(
    source: str,
    stream: str,
    fps: float | None,
    once: bool,
    seconds: float | None,
    audio: str | None,
    as_json: bool,
    **access: Any,
) -> None:
    """Send SOURCE to a room, each frame at its time.

    \b
    SOURCE is a sample (jump, signing, squats), 'synthetic', or an .npz file of
    landmarks [T, N, 4] with timestamps [T] or fps.
    """  # noqa: D301  # click reads the \b
    run(_send(Access(**access), source, stream, fps, once=once, seconds=seconds, audio=audio, as_json=as_json))


async def _send(
    access: Access,
    source: str,
    stream: str,
    fps: float | None,
    *,
    once: bool,
    seconds: float | None,
    audio: str | None,
    as_json: bool,
) -> None:
    motion = await asyncio.to_thread(motion_of, source, fps)  # a large file must not hold up Ctrl-C
    err = Console(stderr=True)
    async with session_of(access, "send", err) as session:
        try:
            sound = sound_beside(session, audio, loop=not once, seconds=seconds)
            with _progress(err, quiet=as_json or not err.is_terminal) as live:
                async with sound:
                    await _play(session, motion, live, stream=stream, fps=fps, loop=not once, seconds=seconds)
            await session.sender.flush()
        finally:
            if as_json:
                click.echo(msgspec.json.format(msgspec.json.encode(sender_figures(session))).decode())
            else:
                err.print(_line(session), markup=False, highlight=False)


async def _play(
    session: Session,
    motion: Motion,
    live: Live | None,
    *,
    stream: str,
    fps: float | None,
    loop: bool,
    seconds: float | None,
) -> None:
    shown = 0.0
    async for pose in play(motion, fps=fps, loop=loop, seconds=seconds):
        await session.send_pose(pose, stream=stream)
        if live is not None and clock.monotonic() - shown > _LINE_SECONDS:
            live.update(Text(_line(session), style="dim"), refresh=True)
            shown = clock.monotonic()


@contextlib.contextmanager
def _progress(console: Console, *, quiet: bool) -> Iterator[Live | None]:
    if quiet:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield live


def _line(session: Session) -> str:
    figures = sender_figures(session)
    drops = ", ".join(f"{count} {reason}" for reason, count in figures["drops"].items()) or "none"
    state = "" if session.socket.connected else "  (reconnecting)"
    return (
        f"{figures['user']} → {figures['room']}: {figures['sent']} frames sent, {figures['fps']} fps, "
        f"{figures['bytes_per_frame']:.0f} B/frame, dropped: {drops}{state}"
    )
