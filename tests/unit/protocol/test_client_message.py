"""Messages of clients that would cost the server too much; everything a client of ours sends is let through."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, wrap_frame
from posewire.protocol.client_message import (
    MAX_CONTAINERS,
    MAX_ELEMENTS,
    MAX_KEY_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_NESTING,
    MAX_TEXT_BYTES,
    check_client_message,
)
from tests.unit.strategies import damaged, plain

HEAD = b"\x83\xa4type\x02\xa4data"
TAIL = b"\xa3nsp\xa1/"


def event(*data: Any, number: int | None = None) -> bytes:
    return SocketIOPacket(2, namespace="/", data=list(data), id=number).encode()


REPORT = {
    "streams": [
        {"stream": n, "member": 65535, "seq": 1, "frames": 1, "lost": 2, "age_p50": 1.5, "age_p99": 2.5}
        | {"queueing": 1.1, "render_lag": 0.5}
        for n in range(256)
    ]
}


@pytest.mark.parametrize(
    "message",
    [
        event("hello", {}, number=0),
        event("report", REPORT),
        event("frame", bytes(MAX_PACKET_BYTES), number=3),
        event("frame", bytes(70_000), number=1 << 40),
        event("frame", bytes(300)),
        wrap_frame(bytes(MAX_PACKET_BYTES)),
        SocketIOPacket(0, namespace="/", data={"token": "x" * 8000, "session": "s" * 64}).encode(),
        SocketIOPacket(1, namespace="/").encode(),
        SocketIOPacket(3, namespace="/", data=[], id=5).encode(),
    ],
    ids=lambda message: f"{len(message)} bytes",
)
def test_what_clients_send_is_let_through(message: bytes) -> None:
    check_client_message(message)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def of_size(size: int) -> bytes:
    pieces = [b"\xc4\xff" + bytes(255)] * (size // 257 - 1)
    head = HEAD + b"\xdc" + (len(pieces) + 1).to_bytes(2, "big") + b"".join(pieces)
    rest = size - len(head) - len(TAIL) - 3
    return head + b"\xc5" + rest.to_bytes(2, "big") + bytes(rest) + TAIL


# The map around it and its list of data are two levels, and some values.
@pytest.mark.parametrize(
    ("fits", "does_not", "words"),
    [
        (event("x", nested(MAX_NESTING - 2)), event("x", nested(MAX_NESTING - 1)), "nested more than"),
        (event("x", [0] * (MAX_ELEMENTS - 9)), event("x", [0] * (MAX_ELEMENTS - 8)), "more than 6144 values"),
        (event("x", [[]] * (MAX_CONTAINERS - 3)), event("x", [[]] * (MAX_CONTAINERS - 2)), "1024 lists and maps"),
        (event("x", [{}] * (MAX_CONTAINERS - 3)), event("x", [{}] * (MAX_CONTAINERS - 2)), "1024 lists and maps"),
        (event("x", "y" * MAX_TEXT_BYTES), event("x", "y" * (MAX_TEXT_BYTES + 1)), f"text of {MAX_TEXT_BYTES + 1}"),
        (event("x", {"k" * MAX_KEY_BYTES: 1}), event("x", {"k" * (MAX_KEY_BYTES + 1): 1}), "a key"),
        (event("x", {"1": 1}), event("x", {1: 1}), "a key that is no short text"),
        (event("x", {"1": 1}), HEAD + b"\x92\xa1x\x81\x80\x01" + TAIL, "a key"),
        (event("x", {"1": 1}), HEAD + b"\x92\xa1x\x81\xc4\x01k\x01" + TAIL, "a key"),
        (event("x", 1), HEAD + b"\x92\xa1x\xd6\xff\0\0\0\0" + TAIL, "an extension"),
        (event("x", 1), HEAD + b"\x92\xa1x\xc1" + TAIL, "an extension"),
        (event("x", 1), event("x", 1)[:-3], "cut off"),
        (event("x", 1), b"", "cut off"),
        (of_size(MAX_MESSAGE_BYTES), of_size(MAX_MESSAGE_BYTES + 1), "over the limit of 81920"),
    ],
)
def test_limits(fits: bytes, does_not: bytes, words: str) -> None:
    check_client_message(fits)
    with pytest.raises(ProtocolError, match=words) as caught:
        check_client_message(does_not)
    assert caught.value.reason == ("oversized" if "over the limit" in words else "damaged")


@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"\x92\xa5frame\xc6" + (1 << 20).to_bytes(4, "big") + bytes(90_000),  # says more than there is
        HEAD + b"\x92\xa5frame\xc4\x05" + bytes(5) + b"\xa3nsp\xdb" + (90_000).to_bytes(4, "big") + b"/" * 90_000,
        HEAD + b"\x92\xa5frame\xdc" + (65_000).to_bytes(2, "big") + b"\x90" * 90_000,
        HEAD + b"\x92\xa5frame",
        b"\x84" + HEAD[1:] + b"\x92\xa5frame" + bytes(90_000),
    ],
)
def test_only_packets_may_be_longer(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        check_client_message(message)


class Counting(bytes):
    """Bytes that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        Counting.looks += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"\x91" * 65_000,
        HEAD + b"\x92\xa1x\xdc" + (65_000).to_bytes(2, "big") + b"\x90" * 65_000 + TAIL,
        HEAD + b"\x92\xa1x\xdc" + (65_000).to_bytes(2, "big") + b"\x80" * 65_000 + TAIL,
        HEAD + b"\x92\xa1x\xdd\x0f\xff\xff\xff" + b"\xc0" * 65_000,
        HEAD + b"\x92\xa1x\xdf\xff\xff\xff\xff" + b"\xa1a\x01" * 25_000,
        HEAD + b"\x92\xa1x" + b"\x81\xa1a" * 20_000,
    ],
)
def test_the_work_is_bounded_whatever_comes(message: bytes) -> None:
    """Not by a clock: by the number of bytes looked at, each of which is well under a microsecond."""
    Counting.looks = 0
    with pytest.raises(ProtocolError):
        check_client_message(Counting(message))
    assert Counting.looks <= 2 * MAX_ELEMENTS + 16


@settings(max_examples=300)
@given(st.lists(plain, max_size=4))
def test_what_the_decoder_reads_of_plain_values_is_let_through(data: list[Any]) -> None:
    check_client_message(event("x", *data))


@settings(max_examples=500)
@given(damaged(event("join", {"room": "studio", "more": [1.5, None, True, b"x", -5, 1 << 40]}, number=300)))
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
def test_whatever_comes_is_let_through_or_refused(message: bytes) -> None:
    try:
        check_client_message(message)
    except ProtocolError:
        return
    try:
        decoded = msgspec.msgpack.decode(message, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert elements(decoded) <= MAX_ELEMENTS


@given(st.binary(max_size=60))
def test_the_walk_agrees_with_the_decoder(message: bytes) -> None:
    """What is let through and decodes has as many values as were counted; what the walk calls cut off does not."""
    try:
        check_client_message(message)
    except ProtocolError as exc:
        if "cut off" in str(exc):
            with pytest.raises((ValueError, msgpack.UnpackException)):
                msgpack.unpackb(message, strict_map_key=False)


def elements(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(elements(key) + elements(item) for key, item in value.items())
    return 1 + sum(map(elements, value)) if isinstance(value, list) else 1
