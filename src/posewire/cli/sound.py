"""Sound beside the poses: what `--audio` sends and `--record-audio` writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from posewire import clock
from posewire.cli.sound_recorder import SoundRecorder
from posewire.session import Session
from posewire.sources import SPEECH, Microphone, WavFile, play_wav

_F = TypeVar("_F", bound=Callable[..., Any])

MICROPHONE: Final = "mic"
SAMPLE: Final = "speech"


def audio_option(command: _F) -> _F:
    """Add ``--audio``, which says what is heard."""
    return click.option(
        "--audio",
        metavar="FILE.wav|mic",
        help="Send this sound too, from the same moment on: a WAV file, 'mic' (the microphone) or 'speech', a sample.",
    )(command)


def record_option(command: _F) -> _F:
    """Add ``--record-audio``, which says where what is heard is kept."""
    return click.option(
        "--record-audio",
        metavar="OUT.wav",
        help="Write everyone's sound, each to a file of its own: OUT-NAME.wav.",
    )(command)


@contextlib.asynccontextmanager
async def sound_beside(
    session: Session, audio: str | None, *, loop: bool, seconds: float | None
) -> AsyncIterator[None]:
    """Send what ``--audio`` names while the block runs; with a file that is not repeated, to its end.

    Raises:
        DataValidationError: It is no WAV file.
        ConfigurationError: There is no microphone, or the extra ``audio`` is missing.
    """
    if audio is None:
        yield
        return
    path = SPEECH if audio == SAMPLE else audio
    file = None if audio == MICROPHONE else await asyncio.to_thread(WavFile, path)
    sending = _listen(session) if file is None else _play(session, file, loop=loop, seconds=seconds)
    async with _task(sending, "posewire.cli.audio") as task:
        yield
        if file is not None and not loop:
            await asyncio.wait([task])


@contextlib.asynccontextmanager
async def recorded(session: Session, recorder: SoundRecorder | None, console: Console) -> AsyncIterator[None]:
    """Write everyone's sound while the block runs, and say where to; also when it is interrupted.

    Raises:
        ConfigurationError: The files cannot be written.
    """
    if recorder is None:
        yield
        return
    frames = session.frames("audio")
    try:
        async with _task(recorder.run(frames), "posewire.cli.record"):
            yield
    finally:
        recorder.close()
        for note in recorder.notes:  # only now: until here a live picture may have had the terminal
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        names = ", ".join(file.name for file in recorder.files) or "nothing: nobody was heard"
        console.print(f"Recorded {names}", markup=False, highlight=False, soft_wrap=True)


async def _play(session: Session, file: WavFile, *, loop: bool, seconds: float | None) -> None:
    async for chunk in play_wav(file, loop=loop, seconds=seconds, start=clock.monotonic()):
        await session.send_audio(chunk)


async def _listen(session: Session) -> None:
    media = session.config.media
    async with Microphone(media.sample_rate, media.channels) as sound:
        async for chunk in sound:
            await session.send_audio(chunk)


@contextlib.asynccontextmanager
async def _task(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run ``work`` beside the block: it is cancelled with it, and ends it when it fails."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work, name=name)
            yield task
            task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
