"""A new room key for the members that are in, without a pause; the old one is refused a little later."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any, Final

from posewire.errors import PosewireError, RoomError, SecurityError
from posewire.protocol import SALT_BYTES, RoomKey, RoomSeal, Seal, control
from posewire.rooms.room_mirror import RoomMirror
from posewire.rooms.room_seals import RoomSeals
from posewire.sockets import Event, SocketManager

logger = logging.getLogger(__name__)

KEY_EVENT: Final = "posewire:key"
"""The host's event that carries the next key, sealed under the one before: the server cannot read it."""
_KEY_BYTES: Final = 32
_AGAIN_SECONDS: Final = 0.5


class KeyRotation:
    """Hands out a new key, or takes the host's, and moves our own seal to it.

    Args:
        socket: The connection.
        mirror: The room.
        seals: Its keys.
    """

    def __init__(self, socket: SocketManager, mirror: RoomMirror, seals: RoomSeals) -> None:
        self._socket = socket
        self._mirror = mirror
        self._seals = seals
        self._next: RoomKey | None = None
        self._wanted = asyncio.Event()

    async def rotate(self, room_id: str, key: RoomKey | None) -> bytes:
        """Give every member the next key, move to it and return it; see `RoomManager.rotate_key`."""
        state = self._mirror.state
        me = state.members.get(self._socket.user_id) if state is not None else None
        if state is None or me is None or state.room_id != room_id or me.role != "host":
            raise RoomError(room_id, f"{self._socket.user_id} is not the host")
        if self._seals.room is None or self._seals.room.mode is not Seal.AEAD:
            raise SecurityError("no room key", f"room {room_id!r} is not encrypted; connect with room_key")
        fresh = secrets.token_bytes(_KEY_BYTES) if key is None else await asyncio.to_thread(key.of_room, room_id)
        self._seals.expect(RoomSeal(Seal.AEAD, fresh, room_id))  # others may be quicker than we are
        reply, _ = await self._socket.submit_event(KEY_EVENT, {"key": fresh}, room_id, own=True)
        await reply
        await self.use(RoomKey(fresh))
        return fresh

    async def use(self, key: RoomKey) -> None:
        """Seal with ``key`` from now on, and open what is sealed with it; waits for the server."""
        state = self._mirror.state
        if state is None:
            self._seals.replace_key(key)
            return
        secret = await asyncio.to_thread(key.of_room, state.room_id)
        room = RoomSeal(Seal.AEAD, secret, state.room_id)
        if self._seals.sealing == room:
            return
        # From here on what others seal with it can be read, and for the time of grace what is sealed as before.
        self._seals.begin_grace(room, key)
        salt = secrets.token_bytes(SALT_BYTES)
        async with self._socket.outbox.sending:
            # An event that is on its way keeps its seal, which the others must still know when it comes.
            await self._socket.request(control.Rekey(room=state.room_id, salt=salt, key_id=room.key_id), bool)
            self._seals.salt, self._seals.sealing = salt, room
            self._socket.writer.rekey(room.key_of(self._socket.user_id, salt))
            # Who begins to watch after the time of grace can open nothing that was sealed before.
            self._socket.protocol.restart()

    def handed_out(self, event: Event) -> None:
        """Take the host's next key. Never waits; `run` moves to it."""
        state = self._mirror.state
        sender = state.members.get(event.user_id or "") if state is not None else None
        room = self._seals.room
        if sender is None or sender.role != "host" or room is None or room.mode is not Seal.AEAD:
            self._socket.drops["key_refused"] += 1
            logger.warning("%s, who is not the host of an encrypted room, sent a room key", event.user_id)
            return
        key: Any = event.data.get("key") if isinstance(event.data, dict) else None
        try:
            self._next = RoomKey(key)
        except PosewireError as exc:
            self._socket.drops["key_refused"] += 1
            logger.warning("the room key of %s is of no use: %s", event.user_id, exc)
            return
        self._seals.expect(RoomSeal(Seal.AEAD, key, room.room_id))
        self._wanted.set()

    async def run(self) -> None:
        """Move to every key the host hands out; for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            key = self._next
            if key is None:
                continue
            try:
                await self.use(key)
            except PosewireError as exc:
                logger.info("not moved to the next room key yet: %s", exc)
                await asyncio.sleep(_AGAIN_SECONDS)
                self._wanted.set()
