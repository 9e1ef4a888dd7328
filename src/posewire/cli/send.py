"""`posewire send`: a camera, or a recording as if a camera saw it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from posewire import clock
from posewire.cli.figures import sender_figures, source_figures
from posewire.cli.options import Access, access_options, json_option, session_of, source_of, tracker_options
from posewire.cli.running import run
from posewire.cli.sound import audio_option, sound_beside, sound_of
from posewire.session import Session
from posewire.sources import Source
from posewire.sources.tracked_source import TrackedSource

_LINE_SECONDS = 0.25
_MOST_TIMES = 10_000


@click.command(epilog="Example:  posewire send signing --room studio")
@click.argument("source")
@access_options
@click.option("--stream", default="pose", show_default=True, help="Name of the stream.")
@click.option("--fps", type=float, help="Play at this rate; default: as recorded.")
@click.option("--once", is_flag=True, help="Stop at the end instead of beginning again.")
@click.option("--seconds", type=float, help="Stop after this time.")
@audio_option
@tracker_options
@json_option
def send(
    source: str,
    stream: str,
    fps: float | None,
    once: bool,
    seconds: float | None,
    audio: str | None,
    holistic: bool,
    complexity: int | None,
    as_json: bool,
    **access: Any,
) -> None:
    """Send SOURCE to a room, each frame at its time.

    \b
    SOURCE is
      jump, signing, squats  a sample
      synthetic              somebody who walks on the spot
      FILE.npz               landmarks [T, N, 4] with timestamps [T] or fps
      VIDEO.mp4              a video, whatever OpenCV reads  (posewire[mediapipe])
      camera, camera:N       a camera                        (posewire[mediapipe])
    """  # noqa: D301  # click reads the \b
    playing = {"fps": fps, "loop": not once, "seconds": seconds, "holistic": holistic, "complexity": complexity}
    run(_send(Access(**access), source, stream, playing, audio=audio, as_json=as_json))


async def _send(
    access: Access, name: str, stream: str, playing: dict[str, Any], *, audio: str | None, as_json: bool
) -> None:
    source = await asyncio.to_thread(source_of, name, **playing)  # a large file must not hold up Ctrl-C
    heard = await sound_of(audio)
    err = Console(stderr=True)
    tracking: deque[float] = deque(maxlen=_MOST_TIMES)
    if isinstance(source, TrackedSource):
        err.print(f"Opening {name}, loading the models …", markup=False, style="dim")
    async with source, session_of(access, "send", err) as session:
        try:
            sound = sound_beside(session, heard, loop=playing["loop"], seconds=playing["seconds"])
            with _progress(err, quiet=as_json or not err.is_terminal) as live:
                async with sound:
                    await _play(session, source, live, tracking, stream=stream)
            await session.sender.flush()
        finally:
            if as_json:
                figures = {**sender_figures(session), "source": source_figures(source, tracking)}
                click.echo(msgspec.json.format(msgspec.json.encode(figures)).decode())
            else:
                err.print(_line(session, source), markup=False, highlight=False)


async def _play(session: Session, source: Source, live: Live | None, tracking: deque[float], *, stream: str) -> None:
    shown = 0.0
    async for frame in source:
        await session.send_pose(frame.pose, stream=stream, timestamp=frame.timestamp)
        tracking.append(frame.tracking)
        if live is not None and clock.monotonic() - shown > _LINE_SECONDS:
            live.update(Text(_line(session, source), style="dim"), refresh=True)
            shown = clock.monotonic()


@contextlib.contextmanager
def _progress(console: Console, *, quiet: bool) -> Iterator[Live | None]:
    if quiet:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield live


def _line(session: Session, source: Source) -> str:
    figures = sender_figures(session)
    skipped = f", {source.skipped} skipped" if source.skipped else ""
    drops = ", ".join(f"{count} {reason}" for reason, count in figures["drops"].items()) or "none"
    state = "" if session.socket.connected else "  (reconnecting)"
    return (
        f"{figures['user']} → {figures['room']}: {figures['sent']} frames sent, {figures['fps']} fps, "
        f"{figures['bytes_per_frame']:.0f} B/frame, dropped: {drops}{skipped}{state}"
    )
