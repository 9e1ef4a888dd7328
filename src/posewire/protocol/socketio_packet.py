"""Socket.IO packets in msgpack over msgspec.

Same bytes as ``socket.io-msgpack-parser`` and ``serializer="msgpack"`` of python-socketio, which needs the ``msgpack``
package for it. `python-socketio` takes a packet class as its ``serializer``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from socketio import packet

from posewire.errors import ProtocolError
from posewire.protocol.control import ACK, Ack


class _Wire(msgspec.Struct, gc=False):
    type: int
    data: Any = None
    nsp: str = "/"
    id: int | None = None


_TYPES = (packet.CONNECT, packet.DISCONNECT, packet.EVENT, packet.ACK, packet.CONNECT_ERROR)
_RESERVED = frozenset({"connect", "disconnect", "connect_error", "__disconnect_final", "*"})
"""python-socketio would call the handlers of the connection itself, or the catch-all without the event's name."""
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Wire)


class SocketIOPacket(packet.Packet):  # type: ignore[misc]  # python-socketio is untyped
    """One Socket.IO packet, one WebSocket frame."""

    uses_binary_events = False

    def __init__(self, *args: Any, encoded_packet: Any = None, **fields: Any) -> None:
        if encoded_packet is not None and not encoded_packet:
            raise ProtocolError("socket.io", "empty packet")  # the library would take it for no packet at all
        super().__init__(*args, encoded_packet=encoded_packet, **fields)

    def encode(self) -> bytes:
        """Return the packet's bytes."""
        return _encode(self._to_dict())

    def decode(self, encoded_packet: Any) -> None:
        """Read the packet's bytes.

        Raises:
            ProtocolError: They are not a Socket.IO packet in msgpack.
        """
        if not isinstance(encoded_packet, bytes):
            raise ProtocolError("socket.io", "text frame; expected msgpack: use the msgpack parser")
        try:
            wire = _decoder.decode(encoded_packet)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise ProtocolError("socket.io", f"undecodable packet of {len(encoded_packet)} bytes: {exc}") from exc
        if wire.type not in _TYPES:
            raise ProtocolError("socket.io", f"unknown packet type {wire.type}")
        if wire.type in (packet.EVENT, packet.ACK) and not isinstance(wire.data, list):
            raise ProtocolError("socket.io", f"arguments are {type(wire.data).__name__}, expected a list")
        if wire.type == packet.EVENT and not (wire.data and isinstance(wire.data[0], str)):
            raise ProtocolError("socket.io", "event without a name")
        if wire.type == packet.EVENT and wire.data[0] in _RESERVED:
            raise ProtocolError("socket.io", f"event name {wire.data[0]!r} is reserved")
        self.packet_type, self.data, self.id, self.namespace = wire.type, wire.data, wire.id, wire.nsp


# The messages that matter for speed, by hand: ``{type: 2, data: ["frame", packet], nsp: "/"}``, and ``ack`` likewise.
# What another library encodes otherwise is not recognised here and takes the way of all messages.

_BEFORE = b"\x83\xa4type\x02\xa4data\x92\xa5frame"
_AFTER = b"\xa3nsp\xa1/"
_START = len(_BEFORE)
_ACK_BEFORE = b"\x83\xa4type\x02\xa4data\x92\xa3ack"


class _AckWire(msgspec.Struct, gc=False):
    type: int
    data: tuple[str, Ack]
    nsp: str = "/"


_ack_decoder = msgspec.msgpack.Decoder(_AckWire)


def wrap_frame(packet: bytes) -> bytes:
    """Return the Socket.IO message of a ``frame`` event: the same bytes as `SocketIOPacket` makes."""
    size = len(packet)
    if size < 1 << 8:
        head = b"\xc4" + size.to_bytes(1, "big")
    elif size < 1 << 16:
        head = b"\xc5" + size.to_bytes(2, "big")
    else:
        head = b"\xc6" + size.to_bytes(4, "big")
    return b"".join((_BEFORE, head, packet, _AFTER))


def wrap_ack(ack: Ack) -> bytes:
    """Return the Socket.IO message of an ``ack`` event: the same bytes as `SocketIOPacket` makes."""
    return _encode(_AckWire(packet.EVENT, (ACK, ack)))


def wrap_answer(number: int, answer: Any) -> bytes:
    """Return the Socket.IO message that acknowledges an event: the same bytes as `SocketIOPacket` makes."""
    return _encode(_Wire(packet.ACK, [] if answer is None else [answer], id=number))


def unwrap_ack(message: bytes) -> Ack | None:
    """Return what is in an ``ack`` message; None when it is another message, or makes no sense."""
    if not message.startswith(_ACK_BEFORE):
        return None
    try:
        return _ack_decoder.decode(message).data[1]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # the way of all messages says what is wrong with it


def unwrap_frame(message: bytes) -> bytes | None:
    """Return the packet in a ``frame`` message that asks for no acknowledgement; None when it is another message."""
    if not message.startswith(_BEFORE) or not message.endswith(_AFTER):
        return None
    # bin 8, bin 16, bin 32 of msgpack have 1, 2, 4 bytes of size.
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(message[_START])
    if width is None:
        return None
    first = _START + 1 + width
    packet = message[first : -len(_AFTER)]
    return packet if int.from_bytes(message[_START + 1 : first], "big") == len(packet) else None
