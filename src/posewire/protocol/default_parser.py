"""Socket.IO's default parser: packets as JSON text, bytes behind it as attachments.

Stock clients speak it unless told otherwise; Posewire's own never do. A server turns what they send into the msgpack
form at once, so that everything behind it, limits included, knows one form only, and what it sends into theirs as late
as it can. Formats: https://socket.io/docs/v4/socket-io-protocol/. Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from socketio import packet

from posewire.errors import ProtocolError
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol.client_message import MAX_CONTAINERS, MAX_ELEMENTS, MAX_MESSAGE_BYTES, MAX_NESTING

FRAME_HEAD: Final = '51-["frame",{"_placeholder":true,"num":0}]'
"""What comes before a packet that asks for no acknowledgement, as all stock clients write it."""
MAX_ATTACHMENTS: Final = 4
"""Of one message; no request has more than two."""

_HEAD: Final = re.compile(
    r"(?P<type>[0-6])(?:(?P<count>\d{1,4})-)?(?:(?P<nsp>/[^,?]*)(?:\?[^,]*)?(?:,|\Z))?(?P<id>\d{1,15})?", re.ASCII
)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN_TYPE: Final = {packet.BINARY_EVENT: packet.EVENT, packet.BINARY_ACK: packet.ACK}
_BINARY_TYPE: Final = {plain: binary for binary, plain in _PLAIN_TYPE.items()}
_PLACEHOLDER: Final = "_placeholder"
_FRAME_DATA: Final = ["frame", {_PLACEHOLDER: True, "num": 0}]
_to_msgpack: Final = msgspec.msgpack.Encoder().encode
_from_msgpack: Final = msgspec.msgpack.Decoder().decode
_to_json: Final = msgspec.json.Encoder().encode
_from_json: Final = msgspec.json.Decoder().decode


class DefaultParser:
    """Reads what one client sends, message by message; gives each whole packet in the form of the msgpack parser.

    Sizes, depth, elements and attachments are checked before anything is made of them; `check_client_message` does the
    rest, on what this returns. It keeps one packet whose attachments have not come yet, of at most `MAX_MESSAGE_BYTES`,
    or one that carries a frame.
    """

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        """Waits for attachments."""
        self._attachments: list[bytes] = []
        self._missing = 0
        self._room = 0
        """Bytes that its attachments may still have."""

    def text(self, text: str) -> bytes | None:
        """Take a text message, without engine.io's ``4``; returns the packet, or None when attachments are to come.

        Raises:
            ProtocolError: With the reason ``oversized`` or ``damaged``; nothing more may be taken in after it.
        """
        if self._missing:
            raise _refused(f"text, where {self._missing} attachments were to come")
        if text == FRAME_HEAD:
            self._await({"type": packet.EVENT, "data": _FRAME_DATA, "nsp": "/"}, 1, MAX_PACKET_BYTES)
            return None
        # In UTF-8 it is at most four times as long, which `check_client_message` sees.
        if len(text) > MAX_MESSAGE_BYTES:
            raise ProtocolError(
                "socket.io",
                f"message of {len(text)} characters is over the limit of {MAX_MESSAGE_BYTES}",
                reason="oversized",
            )
        if (head := _HEAD.match(text)) is None:
            raise _refused("no packet of Socket.IO")
        kind, count = int(head["type"]), int(head["count"] or 0)
        data = _decode(text[head.end() :])
        message = {"type": _PLAIN_TYPE.get(kind, kind), "data": data, "nsp": head["nsp"] or "/"}
        if head["id"]:
            message["id"] = int(head["id"])
        if kind not in _PLAIN_TYPE and not count:
            return _encode(message)
        if kind not in _PLAIN_TYPE or not 1 <= count <= MAX_ATTACHMENTS:
            raise _refused(f"{count} attachments of a packet of type {kind}, expected 1 to {MAX_ATTACHMENTS} of 5 or 6")
        if sorted(_numbers(data, 0)) != list(range(count)):
            raise _refused(f"placeholders that do not fit {count} attachments")
        self._await(message, count, MAX_PACKET_BYTES if data == _FRAME_DATA else MAX_MESSAGE_BYTES - len(text))
        return None

    def attachment(self, data: bytes) -> bytes | None:
        """Take a binary message; returns the packet when it is whole.

        Raises:
            ProtocolError: See `text`.
        """
        if self._message is None:
            raise _refused("bytes that no packet announced")
        self._room -= len(data)
        if self._room < 0:
            raise ProtocolError("socket.io", "attachments are over the limit of their packet", reason="oversized")
        self._attachments.append(data)
        self._missing -= 1
        if self._missing:
            return None
        message, attachments = self._message, self._attachments
        self._message, self._attachments = None, []
        message["data"] = _put_in(message["data"], attachments)
        return _encode(message)

    def _await(self, message: dict[str, Any], count: int, room: int) -> None:
        self._message, self._missing, self._room = message, count, room


def to_default(message: bytes) -> tuple[str, list[bytes]]:
    """Return a packet of the msgpack parser as the default parser has it: the text, and its attachments.

    For packets of our own making. A number that is not finite becomes null, as in all of JSON.
    """
    wire = _from_msgpack(message)
    attachments: list[bytes] = []
    data = _take_out(wire["data"], attachments)
    kind, number, namespace = wire["type"], wire.get("id"), wire["nsp"]
    head = f"{_BINARY_TYPE[kind]}{len(attachments)}-" if attachments else str(kind)
    if namespace not in (None, "/"):
        head += f"{namespace},"
    if number is not None:
        head += str(number)
    return head + ("" if data is None else _to_json(data).decode()), attachments


def _decode(text: str) -> Any:
    if not text:
        return None
    if _too_much(text) and _too_much(_STRING.sub('""', text)):
        raise _refused(f"more than {MAX_CONTAINERS} lists and maps, or {MAX_ELEMENTS} values")
    try:
        return _from_json(text)
    except (ValueError, RecursionError) as exc:  # of which msgspec's errors are, and those of Unicode
        raise _refused(f"undecodable: {exc}") from exc


def _too_much(text: str) -> bool:
    # A pair for each comma has two values, which is for `check_client_message` to say.
    return text.count("[") + text.count("{") > MAX_CONTAINERS or text.count(",") > MAX_ELEMENTS


def _encode(message: dict[str, Any]) -> bytes:
    try:
        return _to_msgpack(message)
    except (ValueError, OverflowError, RecursionError) as exc:
        raise _refused(f"not in msgpack: {exc}") from exc


def _numbers(value: Any, depth: int) -> list[int]:
    """Return the numbers of all placeholders."""
    if depth > MAX_NESTING:
        raise _refused(f"nested more than {MAX_NESTING} deep")
    if _is_placeholder(value):
        return [value["num"]]
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [number for each in inner for number in _numbers(each, depth + 1)]


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_PLACEHOLDER) is True and type(value.get("num")) is int


def _put_in(value: Any, attachments: list[bytes]) -> Any:
    if _is_placeholder(value):
        return attachments[value["num"]]
    if isinstance(value, list):
        return [_put_in(each, attachments) for each in value]
    if isinstance(value, dict):
        return {key: _put_in(each, attachments) for key, each in value.items()}
    return value


def _take_out(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, bytes):
        attachments.append(value)
        return {_PLACEHOLDER: True, "num": len(attachments) - 1}
    if isinstance(value, list):
        return [_take_out(each, attachments) for each in value]
    if isinstance(value, dict):
        return {key: _take_out(each, attachments) for key, each in value.items()}
    return value


def _refused(why: str) -> ProtocolError:
    return ProtocolError("socket.io", f"message refused: {why}")
