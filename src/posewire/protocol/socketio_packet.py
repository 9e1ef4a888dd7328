"""Socket.IO packets in msgpack over msgspec.

Same bytes as ``socket.io-msgpack-parser`` and ``serializer="msgpack"`` of python-socketio, which needs the ``msgpack``
package for it. `python-socketio` takes a packet class as its ``serializer``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from socketio import packet

from posewire.errors import ProtocolError


class _Wire(msgspec.Struct, gc=False):
    type: int
    data: Any = None
    nsp: str = "/"
    id: int | None = None


_TYPES = (packet.CONNECT, packet.DISCONNECT, packet.EVENT, packet.ACK, packet.CONNECT_ERROR)
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Wire)


class SocketIOPacket(packet.Packet):  # type: ignore[misc]  # python-socketio is untyped
    """One Socket.IO packet, one WebSocket frame."""

    uses_binary_events = False

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
        self.packet_type, self.data, self.id, self.namespace = wire.type, wire.data, wire.id, wire.nsp
