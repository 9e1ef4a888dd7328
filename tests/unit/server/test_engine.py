"""The private names that `server/engine.py` reaches are still there, and do what it thinks."""

from __future__ import annotations

import inspect

import engineio
import socketio
from engineio.async_drivers import aiohttp as driver

from posewire.config import Config
from posewire.protocol import SocketIOPacket
from posewire.server.engine import Engine
from posewire.server.fast_path import FastWebSocket


def test_names_of_python_socketio_and_engineio() -> None:
    assert inspect.iscoroutinefunction(socketio.AsyncServer._handle_eio_message)
    assert callable(socketio.AsyncServer._engineio_server_class)
    assert list(inspect.signature(socketio.AsyncServer._send_packet).parameters) == ["self", "eio_sid", "pkt"]
    assert "self._send_packet" in inspect.getsource(socketio.AsyncServer._handle_connect)
    assert "server._send_packet" in inspect.getsource(socketio.AsyncServer._handle_event_internal)
    assert "asyncio.ensure_future" in inspect.getsource(engineio.AsyncServer.start_background_task)


async def test_our_classes_are_the_ones_in_use() -> None:
    engine = Engine(Config())
    assert type(engine.eio).__name__ == "_EngineIO"
    assert engine.eio._async["websocket"] is FastWebSocket
    assert driver._async["websocket"] is driver.WebSocket, "the library's own table is not changed"
    assert engine.packet_class is SocketIOPacket
    assert engine.eio.handlers["message"] == engine._guarded_message
    assert not engine.async_handlers
