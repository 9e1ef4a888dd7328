"""Which parser a client has, and what is let through of what it sends."""

from __future__ import annotations

import msgspec
import pytest

from posewire.errors import ProtocolError
from posewire.protocol import SocketIOPacket, wrap_frame
from posewire.protocol.default_parser import FRAME_HEAD
from posewire.server.message_gate import MessageGate

MSGPACK = SocketIOPacket(0, namespace="/", data={"token": "x"}).encode()


@pytest.fixture
def gate() -> MessageGate:
    return MessageGate(10.0, 20.0, 0.0)


def test_the_first_message_tells(gate: MessageGate) -> None:
    assert gate.take("3") == "3", "which is of engine.io, and tells nothing"
    assert gate.parser is None
    assert gate.take(MSGPACK) == MSGPACK
    assert gate.parser is None
    with pytest.raises(ProtocolError, match="text, from a client that spoke msgpack"):
        gate.take("40")


def test_text_is_made_msgpack(gate: MessageGate) -> None:
    message = gate.take('40{"token":"x"}')
    assert isinstance(message, bytes)
    assert msgspec.msgpack.decode(message) == msgspec.msgpack.decode(MSGPACK)
    assert gate.parser is not None
    assert gate.take(f"4{FRAME_HEAD}") is None
    assert gate.take("3") == "3", "it may come between"
    assert gate.take(b"packet") == wrap_frame(b"packet")
    with pytest.raises(ProtocolError, match="no packet announced"):
        gate.take(wrap_frame(b"packet"))


@pytest.mark.parametrize("text", ["", "x", "0{}", "b" + "A" * 4, "7", "2" * 17, "[[[["])
def test_text_that_is_none_of_engineio(gate: MessageGate, text: str) -> None:
    with pytest.raises(ProtocolError, match=r"no packet of engine\.io"):
        gate.take(text)


def test_a_stranger_has_eight_messages(gate: MessageGate) -> None:
    for _ in range(8):
        assert gate.check("3", 0.0, let_in=False) == 0
    assert gate.check("3", 0.0, let_in=True) == 0
    with pytest.raises(ProtocolError) as caught:
        gate.check("3", 0.0, let_in=False)
    assert caught.value.reason == "stranger_too_long"


def test_the_pace(gate: MessageGate) -> None:
    assert [gate.check("3", 0.0, let_in=True) for _ in range(20)] == [0.0] * 20
    assert gate.check("3", 0.0, let_in=True) == pytest.approx(0.1)
    assert gate.check("3", 0.0, let_in=True) == pytest.approx(0.2)


def test_what_is_too_much_is_refused(gate: MessageGate) -> None:
    with pytest.raises(ProtocolError, match="deep"):
        gate.check(b"\x91" * 100, 0.0, let_in=True)
