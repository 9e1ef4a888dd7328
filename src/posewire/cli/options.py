"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from posewire import clock
from posewire.addresses import is_loopback
from posewire.cli.local_state import default_user, local_token
from posewire.config import Config, load_config
from posewire.errors import AuthError, ConfigurationError, ConnectionError, DataValidationError
from posewire.protocol.room_key import MIN_PASSPHRASE_CHARS
from posewire.recording import load_recording
from posewire.session import Session, connect
from posewire.sources import SAMPLES, CameraSource, Playback, Source, SyntheticMotion, VideoSource, sample_path
from posewire.values import path_of

_F = TypeVar("_F", bound=Callable[..., Any])

CAMERA = "camera"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How to get in, and where to write what came of it."""

    url: str | None
    room: str
    token: str | None
    username: str | None
    name: str | None
    room_key_file: str | None
    ca_file: str | None
    wait: float
    report: str | None = None

    def __post_init__(self) -> None:
        """Refuse at once what would be noticed only when all is over.

        Raises:
            DataValidationError: ``wait`` is no time.
            ConfigurationError: There is no such server, or no such file can be.
        """
        if not self.wait >= 0:
            raise DataValidationError("wait", self.wait, "expected seconds, 0 or more")
        if self.url is not None and urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise ConfigurationError("url", self.url, "expected http://host:port or https://host:port")
        if self.report is not None:
            file = path_of(self.report)
            if file is None or file.is_dir():
                raise ConfigurationError("report", self.report, "expected a file, as RUN.json")
            if not file.absolute().parent.is_dir():
                raise ConfigurationError("report", self.report, "there is no such folder")


def access_options(command: _F) -> _F:
    """Add the options of `Access` to a command, which gets them as keyword arguments."""
    for option in (
        click.option("--report", metavar="RUN.json", help="Write the figures at the end, for 'posewire report'."),
        click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the server to be there."),
        click.option(
            "--room-key-file",
            metavar="FILE",
            help="The room's key: the passphrase in FILE; default: POSEWIRE_ROOM_KEY.",
        ),
        click.option("--name", help="Who to be, on this machine's own server without a token or password."),
        click.option("--username", envvar="POSEWIRE_USERNAME", help="Log in with this name; the password is asked."),
        click.option("--token", envvar="POSEWIRE_TOKEN", help="A token, as 'posewire token' prints it."),
        click.option("--room", envvar="POSEWIRE_ROOM", required=True, help="The room."),
        click.option("--ca-file", metavar="FILE", help="Trust the authorities in FILE with https, and no others."),
        click.option("--url", envvar="POSEWIRE_URL", help="The server; default: socket.url of the settings."),
    ):
        command = option(command)
    return command


def json_option(command: _F) -> _F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON at the end.")(command)


def settings() -> Config:
    """Read the settings as the library does."""
    return load_config()


def tracker_options(command: _F) -> _F:
    """Add the options of a tracker: ``holistic`` and ``complexity``."""
    for option in (
        click.option(
            "--complexity", type=click.IntRange(0, 2), help="Of the model, for a video or camera; default: 1."
        ),
        click.option("--holistic", is_flag=True, help="Find face and hands too, in a video or before a camera."),
    ):
        command = option(command)
    return command


def source_of(
    name: str,
    *,
    fps: float | None = None,
    loop: bool = True,
    seconds: float | None = None,
    holistic: bool = False,
    complexity: int | None = None,
) -> Source:
    """Return what a SOURCE argument names. Reads files: not for the event loop.

    Raises:
        DataValidationError: It names nothing, or not what is in the file; or there is nothing to track in it.
    """
    kind, colon, number = name.partition(":")
    tracked: dict[str, Any] = {"holistic": holistic, "complexity": 1 if complexity is None else complexity}
    if kind == CAMERA and not Path(name).exists():
        if colon and not (number.isascii() and number.isdecimal() and len(number) < 4):
            raise DataValidationError("source", name, f"expected {CAMERA} or {CAMERA}:N, N from 0")
        return CameraSource(int(number or 0), **tracked, fps=fps, seconds=seconds)
    found = name == "synthetic" or name in SAMPLES or Path(name).suffix.lower() in (".npz", ".npy")
    if found and (holistic or complexity is not None):
        option, value = ("holistic", holistic) if holistic else ("complexity", complexity)
        raise DataValidationError(option, value, f"expected only with a video or a camera; {name} has its landmarks")
    if name == "synthetic":
        return Playback(SyntheticMotion(fps or 30.0), fps=fps, loop=loop, seconds=seconds)
    if found:
        recording = load_recording(sample_path(name) if name in SAMPLES else name)
        return Playback(recording, fps=fps, loop=loop, seconds=seconds)
    if not Path(name).is_file():
        raise DataValidationError(
            "source", name, f"no such file, and none of {', '.join(SAMPLES)}, synthetic, {CAMERA}"
        )
    return VideoSource(name, **tracked, fps=fps, loop=loop, seconds=seconds)


@contextlib.asynccontextmanager
async def session_of(access: Access, role: str, console: Console) -> AsyncIterator[Session]:
    """Enter a session, waiting for the server to be there as long as ``--wait`` allows; ``--report`` at its end."""
    config = settings()
    if access.ca_file is not None:
        config = msgspec.structs.replace(config, socket=msgspec.structs.replace(config.socket, ca_file=access.ca_file))
    url = access.url or config.socket.url
    credentials, token = None, access.token
    if access.username is not None and token is None:
        credentials = {"username": access.username, "password": await _password(access.username)}
    elif token is None:
        if not is_loopback(urllib.parse.urlsplit(url).hostname or ""):
            raise AuthError("?", f"{url} is not this machine: pass --token or --username")
        token = local_token(config, access.name or default_user(role), access.room)
    room_key = await asyncio.to_thread(_room_key, access.room_key_file)
    deadline = clock.monotonic() + access.wait
    said = False
    while True:
        session = connect(url, token=token, credentials=credentials, room=access.room, room_key=room_key, config=config)
        try:
            await session.__aenter__()
            break
        except ConnectionError:
            await session.aclose()
            if clock.monotonic() >= deadline:
                raise
        if not said:
            console.print(f"Waiting for {url} …", markup=False, style="dim")
            said = True
        await asyncio.sleep(0.3)
    # What is there now stays to the end; looking through it for garbage would hold up a few frames.
    gc.freeze()
    try:
        try:
            yield session
        finally:
            if access.report is not None:
                await session.save_performance_data(access.report)
    except BaseException:
        await session.__aexit__(*sys.exc_info())
        raise
    await session.__aexit__(None, None, None)


def _room_key(path: str | None) -> str | None:
    """Return the passphrase of the room. Never an argument: those are in the history and in everyone's `ps`."""
    source = "POSEWIRE_ROOM_KEY" if path is None else path
    try:
        key = os.environ.get(source) if path is None else Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as exc:
        raise ConfigurationError("room_key", path, f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise ConfigurationError("room_key", path, "expected text, a passphrase") from None
    if key is not None and len(key.strip()) < MIN_PASSPHRASE_CHARS:
        problem = f"a passphrase of {len(key.strip())} characters; expected at least {MIN_PASSPHRASE_CHARS}"
        raise ConfigurationError("room_key", source, problem)
    return key


async def _password(username: str) -> str:
    if (given := os.environ.get("POSEWIRE_PASSWORD")) is not None:
        return given
    answer: str = await asyncio.to_thread(click.prompt, f"Password of {username}", hide_input=True, err=True)
    return answer
