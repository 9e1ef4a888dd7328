"""The systems under test, by name. A later peer is one more file here and one more line below."""

from __future__ import annotations

from typing import Final

from benchmarks.systems.posewire import Posewire, PosewireV2
from benchmarks.systems.stock_socketio import SocketIODefault, SocketIOMsgpack
from benchmarks.systems.system import System

SYSTEMS: Final[dict[str, type[System]]] = {
    "posewire": Posewire,
    "posewire-v2": PosewireV2,
    "socketio-msgpack": SocketIOMsgpack,
    "socketio-default": SocketIODefault,
}

__all__ = ["SYSTEMS", "System"]
