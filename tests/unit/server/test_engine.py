"""The private names that `server/engine.py` reaches are still there, and do what it thinks."""

from __future__ import annotations

import inspect

import engineio
import socketio
from engineio.async_drivers import aiohttp as driver

from posewire.config import Config
from posewire.protocol import SocketIOPacket
from posewire.server.engine import Engine, event_packet


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


def test_an_event_is_encoded_as_the_library_would() -> None:
    stock = SocketIOPacket(2, namespace="/", data=["frame", b"abc"]).encode()
    assert event_packet("frame", b"abc").encode() == stock
