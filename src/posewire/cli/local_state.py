"""What the commands of one user on one machine share: a secret for loopback, and a file of users."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
from pathlib import Path

import msgspec

from posewire.config import Config
from posewire.errors import ConfigurationError
from posewire.server import TokenAuthority


def state_dir() -> Path:
    """Return the folder: ``POSEWIRE_STATE_DIR``, else ``posewire`` in ``XDG_STATE_HOME`` or ``~/.local/state``."""
    if folder := os.environ.get("POSEWIRE_STATE_DIR"):
        return Path(folder)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "posewire"


def users_file(config: Config) -> Path:
    """Return the file of users and revocations: the configured one, else one in the state folder."""
    if config.server.users_file:
        return Path(config.server.users_file)
    former, file = state_dir() / "users.json", state_dir() / "users.db"
    # What Posewire 0.1 made there goes on to be used; it becomes an SQLite file when it is opened.
    return former if former.exists() and not file.exists() else file


def with_local_secret(config: Config) -> Config:
    """Return ``config`` with a secret: its own, else the one of this user on this machine, made when first needed.

    That secret is good on loopback only: off loopback a server wants one that was set on purpose.

    Raises:
        ConfigurationError: The state folder cannot be written.
    """
    security = config.security
    if security.secret_key is not None or security.public_key_file or security.private_key_file:
        return config
    path = state_dir() / "secret"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Another command may make it at the same moment; whoever is first wins, and both read the same.
            with contextlib.suppress(FileExistsError):
                partial = path.with_name(f".secret.{secrets.token_hex(4)}")
                descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_urlsafe(48))
                try:
                    os.link(partial, path)
                finally:
                    partial.unlink()
        secret = path.read_text().strip()
    except OSError as exc:
        raise ConfigurationError(
            "state folder", str(path.parent), f"cannot keep a secret there: {exc.strerror}"
        ) from exc
    return msgspec.structs.replace(config, security=msgspec.structs.replace(config.security, secret_key=secret))


def local_token(config: Config, user_id: str, room: str | None) -> str:
    """Return a token of this machine's own server."""
    config = with_local_secret(config)
    return TokenAuthority.from_config(config.security).issue(user_id, room_id=room)


def default_user(role: str) -> str:
    """Return a name that two commands of one user do not share."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"
    return f"{name}-{role}-{os.getpid()}"
