"""The private names that `server/engine.py` reaches are still there, and do what it thinks."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace

import engineio
import pytest
import socketio
from aiohttp import WSMsgType
from aiohttp.http_websocket import WebSocketWriter
from engineio.async_drivers import aiohttp as driver

from posewire.config import Config
from posewire.protocol import SocketIOPacket, unwrap_frame
from posewire.server.engine import Engine, outgoing_event, outgoing_frame


def test_names_of_python_socketio_and_engineio() -> None:
    assert inspect.iscoroutinefunction(socketio.AsyncServer._handle_eio_message)
    assert callable(socketio.AsyncServer._engineio_server_class)
    assert set(inspect.signature(driver.WebSocket.__init__).parameters) == {"self", "handler", "server"}
    source = inspect.getsource(driver.WebSocket)
    assert "self._sock" in source
    assert "self.server.max_http_buffer_size" in source
    assert "asyncio.ensure_future" in inspect.getsource(engineio.AsyncServer.start_background_task)


async def test_our_classes_are_the_ones_in_use() -> None:
    engine = Engine(Config())
    assert type(engine.eio).__name__ == "_EngineIO"
    assert engine.eio._async["websocket"].__name__ == "_WebSocket"
    assert driver._async["websocket"] is driver.WebSocket, "the library's own table is not changed"
    assert engine.packet_class is SocketIOPacket
    assert engine.eio.handlers["message"] == engine._guarded_message
    assert not engine.async_handlers


@pytest.mark.parametrize("size", [0, 1, 77, 78, 125, 126, 200, 255, 256, 65_500, 65_535, 65_536, 1 << 20])
def test_the_short_way_makes_the_bytes_of_the_libraries(size: int) -> None:
    """The stock path is the oracle: Socket.IO's packet, and aiohttp's WebSocket frame."""
    packet = bytes(range(256)) * (size // 256) + bytes(size % 256)
    stock = SocketIOPacket(2, namespace="/", data=["frame", packet]).encode()
    frame = outgoing_frame(packet)
    assert frame.message == stock
    assert outgoing_event("frame", packet).message == stock
    assert unwrap_frame(stock) == packet
    written: list[bytes] = []
    transport = SimpleNamespace(is_closing=lambda: False, write=written.append)
    protocol = SimpleNamespace(_reading_paused=False, _drain_helper=None)
    writer = WebSocketWriter(protocol, transport, limit=1 << 30)  # type: ignore[arg-type]
    asyncio.run(writer.send_frame(stock, WSMsgType.BINARY))
    assert b"".join(written) == frame.wire


def test_what_is_no_frame_is_left_to_the_library() -> None:
    stock = SocketIOPacket(2, namespace="/", data=["frame", b"abc"]).encode()
    others = (
        b"",
        stock[:-1],
        stock + b"x",
        stock.replace(b"frame", b"fr4me"),
        stock.replace(b"\xc4\x03", b"\xc4\x04"),
        stock.replace(b"\xc4\x03", b"\xa3"),
        SocketIOPacket(2, namespace="/x", data=["frame", b"abc"]).encode(),
        SocketIOPacket(2, namespace="/", data=["frame", b"abc"], id=1).encode(),
        SocketIOPacket(2, namespace="/", data=["frame", "abc"]).encode(),
        SocketIOPacket(2, namespace="/", data=["frame", b"abc", 1]).encode(),
    )
    assert [unwrap_frame(other) for other in others] == [None] * len(others)
