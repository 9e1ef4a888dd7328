"""Sound beside the poses: what `--audio` sends and `--record-audio` writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from posewire import clock
from posewire.cli.options import settings
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


async def sound_of(audio: str | None) -> WavFile | Microphone | None:
    """Return what ``--audio`` names, once it is sure that it is there: before anybody is told that we are.

    Raises:
        DataValidationError: It is no WAV file.
        ConfigurationError: There is no microphone, or the extra ``audio`` is missing.
    """
    if audio is None:
        return None
    if audio != MICROPHONE:
        return await asyncio.to_thread(WavFile, SPEECH if audio == SAMPLE else audio)
    media = settings().media
    async with Microphone(media.sample_rate, media.channels) as microphone:
        return microphone  # closed again: nobody is listened to who waits for a server


@contextlib.asynccontextmanager
async def sound_beside(
    session: Session, sound: WavFile | Microphone | None, *, loop: bool, seconds: float | None
) -> AsyncIterator[None]:
    """Send sound while the block runs; a file that is not repeated, to its end.

    Raises:
        DataValidationError: The file cannot be read any more.
        ConfigurationError: The microphone is gone.
    """
    if sound is None:
        yield
        return
    if isinstance(sound, WavFile):
        sending, ends = _play(session, sound, loop=loop, seconds=seconds), not loop
    else:
        sending, ends = _listen(session, sound), False
    async with _task(sending, "posewire.cli.audio") as task:
        yield
        if ends:
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


async def _listen(session: Session, microphone: Microphone) -> None:
    async with microphone as sound:
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
