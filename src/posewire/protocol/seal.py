"""The seal around every body: encryption from end to end under a room key, an authentication code without one.

One key for each sender and each of its joinings, so that a number of a frame is enough for a nonce.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from posewire.errors import ProtocolError
from posewire.protocol.header import HEADER_BYTES, Header, Seal

SALT_BYTES: Final = 16
KEY_ID_BYTES: Final = 8
TAG_BYTES: Final = {Seal.NONE: 0, Seal.MAC: 8, Seal.AEAD: 16}
"""How much longer a seal makes a body."""

_KEY_BYTES: Final = 32
_LABELS: Final = {Seal.MAC: b"posewire 1 mac", Seal.AEAD: b"posewire 1 aead"}
_KEY_ID_LABEL: Final = b"posewire 1 key id"
_NONCE_PADDING: Final = bytes(5)


class SealKey:
    """The key of one sender for one stay in a room.

    It seals no two packets with the same nonce: in each stream seq must grow.

    Args:
        mode: MAC or AEAD.
        key: 32 bytes.
    """

    __slots__ = ("_aead", "_key", "_sealed", "mode")

    def __init__(self, mode: Seal, key: bytes) -> None:
        self.mode = mode
        self._key = key
        self._aead = AESGCM(key) if mode is Seal.AEAD else None
        self._sealed: dict[int, int] = {}

    def seal(self, header: Header, body: bytes) -> bytes:
        """Return the packet of ``header``, which says how, and ``body``, sealed.

        Raises:
            ProtocolError: A packet of this stream with this seq, or a later one, was sealed before.
        """
        if header.seq <= self._sealed.get(header.stream, -1):
            raise ProtocolError(str(header.version), f"seq {header.seq} of stream {header.stream} was sealed before")
        self._sealed[header.stream] = header.seq
        packed = header.pack()
        if self._aead is not None:
            return packed + self._aead.encrypt(packed[2:9] + _NONCE_PADDING, body, packed)
        return packed + body + self._code(packed + body)

    def open(self, packet: bytes) -> bytes | None:
        """Return ``packet`` without its seal; None when the seal is broken."""
        size = len(packet) - TAG_BYTES[self.mode]
        if size < HEADER_BYTES:
            return None
        if self._aead is not None:
            header = packet[:HEADER_BYTES]
            try:
                return header + self._aead.decrypt(header[2:9] + _NONCE_PADDING, packet[HEADER_BYTES:], header)
            except InvalidTag:
                return None
        return packet[:size] if hmac.compare_digest(packet[size:], self._code(packet[:size])) else None

    def _code(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[: TAG_BYTES[Seal.MAC]]


class RoomSeal(msgspec.Struct, frozen=True):
    """How the members of a room seal, and the secret they share for it.

    Attributes:
        mode: AEAD under a room key, else MAC.
        secret: The room key, else the key that the server hands its members.
        room_id: The room.
    """

    mode: Seal
    secret: bytes
    room_id: str

    def __repr__(self) -> str:
        return f"RoomSeal({self.mode!r}, <hidden>, {self.room_id!r})"

    def key_of(self, user_id: str, salt: bytes) -> SealKey:
        """Return the key of a member that joined with ``salt``; it costs some 6 µs."""
        info = _LABELS[self.mode] + _counted(self.room_id) + _counted(user_id)
        return SealKey(self.mode, _derive(self.secret, salt, info))

    @property
    def key_id(self) -> bytes:
        """What tells one room key from another, without telling it; empty without one."""
        if self.mode is not Seal.AEAD:
            return b""
        return _derive(self.secret, b"", _KEY_ID_LABEL + _counted(self.room_id))[:KEY_ID_BYTES]


def _counted(text: str) -> bytes:
    data = text.encode()
    if len(data) > 0xFFFF:
        raise ProtocolError("?", f"a name of {len(data)} bytes")
    return len(data).to_bytes(2, "little") + data


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt, info).derive(secret)
