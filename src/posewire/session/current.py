"""The specification's functions (its section 7), on the session entered in the current context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from posewire.config import Config
from posewire.errors import ConnectionError
from posewire.protocol.room_view import Role
from posewire.session.session import Session, current_session
from posewire.sockets import TokenProvider


def connect(
    url: str,
    *,
    token: str | TokenProvider | None = None,
    credentials: Mapping[str, str] | None = None,
    room: str | None = None,
    room_key: bytes | str | None = None,
    config: Config | None = None,
) -> Session:
    """Return a session with the server at ``url``; ``async with`` connects it and joins ``room``, made if need be.

    Args:
        url: ``http(s)://host:port``.
        token: A JWT, or an async function that returns a fresh one, asked at every connection.
        credentials: ``{"username": …, "password": …}``, traded for a token at the server.
        room: Room to join; None joins none.
        room_key: Seals poses, sound and events from end to end: random bytes, 16 or more, or a passphrase of 12
            characters or more. All members need the same; the server cannot read what they say.
        config: Settings; None reads ``config.yaml`` and the environment.

    Raises:
        ConfigurationError: A setting, the url or the room key is wrong.
        AuthError: Neither a token nor complete credentials, when entered.
    """
    return Session(url, token=token, credentials=credentials, room=room, room_key=room_key, config=config)


def session() -> Session:
    """Return the session entered in the current context.

    Raises:
        ConnectionError: There is none.
    """
    if (current := current_session()) is None:
        raise ConnectionError("no session here; use 'async with posewire.connect(…)' around the call")
    return current


async def send_pose_data(pose_data: Any, room_id: str, priority: int = 5) -> bool:
    """Hand a pose in for the room; True when it was taken. See `Session.send_pose`.

    Raises:
        ConnectionError: There is no session in this context.
        RoomError: ``room_id`` is not the room the session is in.
        DataValidationError: It is no pose.
    """
    return await session().pose.send_pose_data(pose_data, priority, room_id=room_id)


async def join_room(room_id: str, user_id: str, role: Role = "member") -> bool:
    """Enter a room. See `RoomManager.join_room`.

    Raises:
        ConnectionError: There is no session in this context.
        RoomNotFoundError: There is no such room.
        RoomFullError: No seat left.
        AuthError: ``user_id`` is somebody else.
    """
    return await session().rooms.join_room(room_id, user_id, role)


def get_performance_metrics() -> dict[str, float]:
    """Return the figures of the session. See `Session.get_performance_metrics`.

    Raises:
        ConnectionError: There is no session in this context.
    """
    return session().get_performance_metrics()
