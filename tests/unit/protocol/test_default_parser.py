"""Socket.IO's default parser against python-socketio's, both ways; what would cost too much is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from socketio import packet

from posewire.errors import ProtocolError
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, wrap_frame
from posewire.protocol.client_message import MAX_CONTAINERS, MAX_ELEMENTS, MAX_MESSAGE_BYTES, MAX_NESTING
from posewire.protocol.default_parser import FRAME_HEAD, MAX_ATTACHMENTS, DefaultParser, to_default

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # A text that looks like structure, and one that looks like a placeholder's key.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['[{",', "\\", "_placeholder"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
with_bytes = st.lists(values | st.binary(max_size=20), max_size=5).filter(
    lambda data: sum(isinstance(each, bytes) for each in data) <= MAX_ATTACHMENTS
)
namespaces = st.sampled_from([None, "/", "/other"])
numbers = st.none() | st.integers(0, 10**15 - 1)


def read(*messages: str | bytes) -> Any:
    """Return what a parser makes of messages, of which the last one completes a packet."""
    parser = DefaultParser()
    *first, last = [
        parser.text(message) if isinstance(message, str) else parser.attachment(message) for message in messages
    ]
    assert first == [None] * len(first)
    assert last is not None
    return msgspec.msgpack.decode(last)


def stock(kind: int, data: Any, namespace: str | None = None, number: int | None = None) -> list[str | bytes]:
    """Return a packet as python-socketio writes it."""
    encoded = packet.Packet(kind, data=data, namespace=namespace, id=number).encode()
    return encoded if isinstance(encoded, list) else [encoded]


@given(st.text(min_size=1, max_size=5), with_bytes, namespaces, numbers)
def test_events_are_read_as_python_socketio_writes_them(
    name: str, data: list[Any], namespace: str | None, number: int | None
) -> None:
    data = [name, *data]
    expected = {"type": packet.EVENT, "data": data, "nsp": namespace or "/"}
    if number is not None:
        expected["id"] = number
    assert read(*stock(packet.EVENT, data, namespace, number)) == expected


@given(with_bytes, namespaces, numbers)
def test_events_are_written_as_python_socketio_reads_them(
    data: list[Any], namespace: str | None, number: int | None
) -> None:
    for kind, binary in ((packet.EVENT, packet.BINARY_EVENT), (packet.ACK, packet.BINARY_ACK)):
        if kind == packet.ACK and number is None:
            continue
        text, attachments = to_default(SocketIOPacket(kind, data=data, namespace=namespace, id=number).encode())
        got = packet.Packet(encoded_packet=text)
        for attachment in attachments:
            got.add_attachment(attachment)
        assert (got.data, got.id) == (data, number)
        assert got.namespace == (None if namespace in (None, "/") else namespace)
        assert got.packet_type == (binary if attachments else kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", {"type": 0, "data": None, "nsp": "/"}),
        ('0{"token":"x"}', {"type": 0, "data": {"token": "x"}, "nsp": "/"}),
        ('0/admin,{"token":"x"}', {"type": 0, "data": {"token": "x"}, "nsp": "/admin"}),
        ("0/admin", {"type": 0, "data": None, "nsp": "/admin"}),
        ("0/admin?a=1,", {"type": 0, "data": None, "nsp": "/admin"}),
        ("1", {"type": 1, "data": None, "nsp": "/"}),
        ('2["x"]', {"type": 2, "data": ["x"], "nsp": "/"}),
        ('212["x"]', {"type": 2, "data": ["x"], "nsp": "/", "id": 12}),
        ('2/a,12["x","1-2"]', {"type": 2, "data": ["x", "1-2"], "nsp": "/a", "id": 12}),
        ("30[]", {"type": 3, "data": [], "nsp": "/", "id": 0}),
        ('2["x",{"_placeholder":true,"num":0}]', None),
    ],
)
def test_packets(text: str, expected: Any) -> None:
    assert read(text) == (expected or {"type": 2, "data": ["x", {"_placeholder": True, "num": 0}], "nsp": "/"})


@pytest.mark.parametrize("size", [0, 200, 300, 70_000, MAX_PACKET_BYTES])
def test_a_frame_is_what_the_short_way_knows(size: int) -> None:
    assert stock(packet.EVENT, ["frame", b"x"]) == [FRAME_HEAD, b"x"]
    parser = DefaultParser()
    for _ in range(2):
        assert parser.text(FRAME_HEAD) is None
        assert parser.attachment(bytes(size)) == wrap_frame(bytes(size))
    with_spaces = FRAME_HEAD.replace(",", ", ").replace('"num":', '"num" : ')
    assert parser.text(with_spaces) is None
    assert parser.attachment(bytes(size)) == wrap_frame(bytes(size))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


PLACE = '{"_placeholder":true,"num":%d}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no packet"),
        ("7", "no packet"),
        ("x", "no packet"),
        ("²[]", "no packet"),
        ('2["x"', "undecodable"),
        ('2["x"]]', "undecodable"),
        ("2nul", "undecodable"),
        ('2["\ud800"]', "undecodable"),
        ('2["x",9999999999999999999999]', "not in msgpack"),
        ("2" + "9" * 16 + "[]", "undecodable"),  # a number that is too long is none
        ("2[" + "9" * 5000 + "]", "undecodable"),
        ("2[" + "[]," * MAX_CONTAINERS + "[]]", "lists and maps"),
        ("2" + nested(MAX_CONTAINERS + 1), "lists and maps"),
        ("2[" + "0," * (MAX_ELEMENTS + 1) + "0]", "values"),
        ('51-["x",' + nested(MAX_NESTING + 1) + "]", "deep"),
        ("50-[]", "0 attachments"),
        ("5[]", "0 attachments"),
        (f'5{MAX_ATTACHMENTS + 1}-["x"]', "5 attachments"),
        ('599999-["x"]', "undecodable"),
        (f'21-["x",{PLACE % 0}]', "of a packet of type 2"),
        ('51-["x"]', "do not fit 1"),
        (f'51-["x",{PLACE % 1}]', "do not fit"),
        (f'51-["x",{PLACE % -1}]', "do not fit"),
        (f'51-["x",{PLACE % 0},{PLACE % 0}]', "do not fit"),
        (f'52-["x",{PLACE % 0}]', "do not fit"),
        ('51-["x",{"_placeholder":true,"num":0.0}]', "do not fit"),
        ('51-["x",{"_placeholder":true,"num":true}]', "do not fit"),
        ('51-["x",{"_placeholder":1,"num":0}]', "do not fit"),
        ('51-["x",{"_placeholder":true}]', "do not fit"),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        DefaultParser().text(text)
    assert caught.value.reason == "damaged"


def test_brackets_and_commas_in_a_text_are_none() -> None:
    text = '[{,\\"' * 3000
    assert read(f'2["x","{text}"]')["data"] == ["x", text.replace('\\"', '"')]


def test_sizes() -> None:
    most = "x" * (MAX_MESSAGE_BYTES - 5)
    assert read(f'2["{most}"]')
    two = f'52-["x",{PLACE % 0},{PLACE % 1}]'
    room = MAX_MESSAGE_BYTES - len(two)
    assert read(two, bytes(room // 2), bytes(room - room // 2))
    for messages in (
        [f'2["x{most}"]'],
        [two, bytes(room // 2), bytes(room - room // 2 + 1)],
        [FRAME_HEAD, bytes(MAX_PACKET_BYTES + 1)],
        [f'51-["other",{PLACE % 0}]', bytes(MAX_MESSAGE_BYTES)],
        [f'51-["frame",{PLACE % 0},1]', bytes(MAX_MESSAGE_BYTES)],
    ):
        with pytest.raises(ProtocolError, match="over the limit") as caught:
            read(*messages)
        assert caught.value.reason == "oversized"


def test_a_frame_that_asks_for_an_acknowledgement_may_be_as_large() -> None:
    assert read(f'51-7["frame",{PLACE % 0}]', bytes(MAX_PACKET_BYTES))["id"] == 7


def test_the_order_of_text_and_attachments() -> None:
    parser = DefaultParser()
    with pytest.raises(ProtocolError, match="announced"):
        parser.attachment(b"x")
    assert parser.text(FRAME_HEAD) is None
    for text in (FRAME_HEAD, '2["x"]'):
        with pytest.raises(ProtocolError, match="1 attachments were to come"):
            parser.text(text)


@given(st.text(st.sampled_from('0123456-/,?[]{}":_x\\ \ud800"') | st.characters(), max_size=60))
@example('2{"\ud800":1}')
@example('2["\\ud800"]')
@example("2[1e999]")
@example("2-[-0.0]")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        message = DefaultParser().text(text)
    except ProtocolError:
        return
    if message is not None:
        assert set(msgspec.msgpack.decode(message)) <= {"type", "data", "nsp", "id"}


def test_a_number_that_is_not_finite_is_null() -> None:
    message = SocketIOPacket(packet.EVENT, data=["x", float("nan"), float("inf")], namespace="/").encode()
    assert to_default(message) == ('2["x",null,null]', [])
