"""The private names that `sockets/socketio_client.py` reaches are still there, and do what it thinks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

import engineio
import pytest
import socketio

from posewire.errors import ProtocolError
from posewire.protocol import SocketIOPacket
from posewire.sockets.socketio_client import SocketIOClient


def test_names_of_python_socketio_and_engineio() -> None:
    assert callable(socketio.AsyncClient._engineio_client_class)
    assert inspect.iscoroutinefunction(engineio.AsyncClient._trigger_event)
    assert "_trigger_event('message', pkt.data, run_async=True)" in inspect.getsource(
        engineio.AsyncClient._receive_packet
    )
    assert "self.queue.task_done()" in inspect.getsource(engineio.AsyncClient._write_loop)


async def test_messages_are_handled_in_order_without_tasks_and_damage_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = SocketIOClient(serializer=SocketIOPacket)
    seen: list[Any] = []

    async def handle(data: Any) -> None:
        if data == "bad":
            raise ProtocolError("x", "bad")
        seen.append(data)

    client.eio.handlers["message"] = handle
    with caplog.at_level(logging.WARNING):
        for data in (1, "bad", 2):
            await client.eio._trigger_event("message", data, run_async=True)
    assert seen == [1, 2]
    assert client.eio.damaged == 1
    assert client.eio.tasks == set()
    assert "dropped a damaged message" in caplog.text


async def test_a_library_task_that_fails_is_logged_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    client = SocketIOClient(serializer=SocketIOPacket)

    async def _read_loop_websocket() -> None:
        raise ZeroDivisionError

    task = client.eio.start_background_task(_read_loop_websocket)
    assert task.get_name() == "posewire.lane_read_loop"
    assert client.eio.tasks == {task}
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert client.eio.tasks == set()
    assert "posewire.lane_read_loop failed" in caplog.text
