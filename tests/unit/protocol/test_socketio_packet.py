"""Our msgpack packets against python-socketio's own, which uses the `msgpack` package."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from socketio import packet as sio
from socketio.msgpack_packet import MsgPackPacket

from posewire.errors import ProtocolError
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, unwrap_frame, wrap_frame
from tests.unit.strategies import bit_flips, damaged, names, plain, unless_refused

namespaces = st.just("/") | names.map(lambda name: f"/{name}")
ids = st.none() | st.integers(0, 1 << 53)


@st.composite
def packets(draw: st.DrawFn) -> dict[str, Any]:
    """What python-socketio hands its packet class, all types but the two of the text protocol."""
    kind = draw(st.sampled_from((sio.CONNECT, sio.DISCONNECT, sio.EVENT, sio.ACK, sio.CONNECT_ERROR)))
    if kind == sio.EVENT:
        data: Any = [draw(names), *draw(st.lists(plain, max_size=3))]
    elif kind == sio.ACK:
        data = draw(st.lists(plain, max_size=3))
    else:
        data = draw(st.none() | st.dictionaries(names, plain, max_size=3))
    return {"packet_type": kind, "data": data, "namespace": draw(namespaces), "id": draw(ids)}


def fields(packet: Any) -> dict[str, Any]:
    return {name: getattr(packet, name) for name in ("packet_type", "data", "namespace", "id")}


@given(packets())
def test_theirs_reads_ours(made: dict[str, Any]) -> None:
    encoded = SocketIOPacket(**made).encode()
    assert fields(MsgPackPacket(encoded_packet=encoded)) == made


@given(packets())
def test_ours_reads_theirs(made: dict[str, Any]) -> None:
    encoded = MsgPackPacket(**made).encode()
    assert fields(SocketIOPacket(encoded_packet=encoded)) == made


@given(packets())
def test_the_bytes_are_the_same(made: dict[str, Any]) -> None:
    assert SocketIOPacket(**made).encode() == MsgPackPacket(**made).encode()


def test_bytes_stay_inside() -> None:
    packet = SocketIOPacket(sio.EVENT, namespace="/", data=["frame", b"\x00\xff"])
    assert packet.packet_type == sio.EVENT
    assert isinstance(packet.encode(), bytes)
    assert packet.attachment_count == 0


@pytest.mark.parametrize("left_out", ["data", "nsp", "id"])
def test_what_javascript_leaves_out(left_out: str) -> None:
    # socket.io-msgpack-parser leaves out what is undefined, and may say more than we know.
    said = {"type": sio.CONNECT, "data": {"token": "x"}, "nsp": "/", "id": 3, "options": {"compress": True}}
    del said[left_out]
    packet = SocketIOPacket(encoded_packet=msgpack.packb(said))
    assert fields(packet) == {
        "packet_type": sio.CONNECT,
        "data": said.get("data"),
        "namespace": said.get("nsp", "/"),
        "id": said.get("id"),
    }


EVENT = {"type": sio.EVENT, "data": ["frame", b"body"], "nsp": "/"}


def wire(**changes: Any) -> bytes:
    packed: bytes = msgpack.packb({**EVENT, **changes})
    return packed


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wire(type=5), "unknown packet type 5"),
        (wire(type=6), "unknown packet type 6"),
        (wire(type=-1), "unknown packet type -1"),
        (wire(type=7), "unknown packet type 7"),
        (wire(type="2"), "undecodable"),
        (wire(type=None), "undecodable"),
        (wire(type=True), "undecodable"),
        (wire(nsp=None), "undecodable"),
        (wire(nsp=5), "undecodable"),
        (wire(id="3"), "undecodable"),
        (wire(data=None), "arguments are NoneType, expected a list"),
        (wire(data={"frame": 1}), "arguments are dict, expected a list"),
        (wire(data="frame"), "arguments are str, expected a list"),
        (wire(type=sio.ACK, data=None), "arguments are NoneType, expected a list"),
        (wire(data=[]), "event without a name"),
        (wire(data=[1, 2]), "event without a name"),
        (wire(data=[b"frame"]), "event without a name"),
        (msgpack.packb({"data": ["frame"], "nsp": "/"}), "missing required field `type`"),
        (msgpack.packb([2, ["frame"]]), "undecodable"),
        (msgpack.packb(None), "undecodable"),
        (wire() + b"\x00", "undecodable"),
        (b"\x81\xa4type\xc1", "undecodable"),
    ],
)
def test_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        SocketIOPacket(encoded_packet=data)
    assert caught.value.version == "socket.io"


@pytest.mark.parametrize("text", ["2", '2["frame"]', "0", '42["frame"]', "x"])
def test_the_text_protocol_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="text frame; expected msgpack"):
        SocketIOPacket(encoded_packet=text)


def test_an_empty_frame_is_refused() -> None:
    # Once: python-socketio's constructor skips decode() on b"", so this is an EVENT whose data is None; the server's
    # _handle_event() then raises TypeError.
    with pytest.raises(ProtocolError):
        SocketIOPacket(encoded_packet=b"")


def test_an_empty_frame_is_refused_by_decode() -> None:
    with pytest.raises(ProtocolError):
        SocketIOPacket().decode(b"")


def read(data: bytes) -> None:
    """Read a packet: it is one that python-socketio can handle, or a ProtocolError."""
    packet = unless_refused(lambda data: SocketIOPacket(encoded_packet=data), data, version="socket.io")
    if packet is None:
        return
    assert packet.packet_type in range(5)
    assert isinstance(packet.namespace, str)
    if packet.packet_type in (sio.EVENT, sio.ACK):
        assert isinstance(packet.data, list)
    if packet.packet_type == sio.EVENT:
        assert isinstance(packet.data[0], str)


def test_one_bit_changed() -> None:
    for data in bit_flips(wire(id=300, data=["frame", {"a": [1.5, None]}, b"\x00\x01"])):
        read(data)


@settings(max_examples=300)
@given(damaged(wire(id=300)).filter(bool) | st.binary(min_size=1, max_size=100))
@example(b"\x82\xa4type\x02\xa4data\x92\xa1a\x81\x80\x01")  # a map as the key of a map
@example(b"\x82\xa4type\x02\xa4data\xdd\x0f\xff\xff\xff")  # a list of 268 million
@example(b"\x82\xa4type\x02\xa4data" + b"\x91" * 100_000)
@example(b"\x82\xa4type\x02\xa4data\x91\xa1\xff")
@example(b"\x82\xa4type\x02\xa4data\x92\xa1a\xc7\x0c\xff" + b"\xff" * 12)  # a timestamp out of range
def test_damaged_bytes(data: bytes) -> None:
    read(data)


# The short way of frames ---------------------------------------------------------------------------------------------

SIZES = [0, 1, 19, 255, 256, 65_535, 65_536, MAX_PACKET_BYTES]


def frame_message(packet: Any, **changes: Any) -> bytes:
    """A frame's message as the `msgpack` package makes it."""
    return wire(data=["frame", packet], **changes)


@pytest.mark.parametrize("size", SIZES)
def test_a_wrapped_frame_is_the_same_bytes_as_a_packet(size: int) -> None:
    packet = bytes(index % 251 for index in range(size))
    message = wrap_frame(packet)
    assert message == SocketIOPacket(sio.EVENT, namespace="/", data=["frame", packet]).encode()
    assert message == MsgPackPacket(sio.EVENT, namespace="/", data=["frame", packet]).encode()
    assert unwrap_frame(message) == packet


@given(st.binary(max_size=600))
def test_wrapped_and_unwrapped(packet: bytes) -> None:
    assert unwrap_frame(wrap_frame(packet)) == packet


@pytest.mark.parametrize(
    "message",
    [
        frame_message(b"body", id=3),
        frame_message(b"body", nsp="/other"),
        frame_message(b"body", type=sio.ACK),
        frame_message("text"),
        frame_message(None),
        frame_message(["body"]),
        wire(data=["frame"]),
        wire(data=["frame", b"one", b"two"]),
        wire(data=["frames", b"body"]),
        wire(data=["gesture", b"body"]),
        msgpack.packb({"nsp": "/", "type": sio.EVENT, "data": ["frame", b"body"]}),
        b"",
    ],
)
def test_another_message_is_left_to_the_long_way(message: bytes) -> None:
    assert unwrap_frame(message) is None


@pytest.mark.parametrize("size", [0, 4, 255, 256, 65_535, 65_536])
def test_no_part_of_a_frame_is_a_frame(size: int) -> None:
    message = wrap_frame(bytes(size))
    for left_off in range(1, min(len(message), 60)):
        assert unwrap_frame(message[:-left_off]) is None
        assert unwrap_frame(message[left_off:]) is None
        assert unwrap_frame(message[:left_off]) is None
    assert unwrap_frame(message + b"\0") is None
    assert unwrap_frame(message + message) is None


@settings(max_examples=300)
@given(damaged(wrap_frame(b"twelve bytes")) | damaged(wrap_frame(bytes(300))))
def test_the_short_way_finds_nothing_that_the_long_way_would_not(message: bytes) -> None:
    packet = unwrap_frame(message)
    if packet is not None:
        assert fields(SocketIOPacket(encoded_packet=message)) == {
            "packet_type": sio.EVENT,
            "data": ["frame", packet],
            "namespace": "/",
            "id": None,
        }


def test_one_bit_of_a_frame_changed() -> None:
    for message in bit_flips(wrap_frame(b"twelve bytes")):
        packet = unwrap_frame(message)
        assert packet is None or SocketIOPacket(encoded_packet=message).data == ["frame", packet]
