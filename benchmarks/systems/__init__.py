"""The systems under test, by name. A later peer is one more file here and one more line below."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final, NamedTuple, cast

from benchmarks.systems.broker import HOW_TO_INSTALL, find_program
from benchmarks.systems.system import Relay, System


class Entry(NamedTuple):
    """Where a system is, and what it needs that may not be there."""

    module: str
    name: str
    program: str | None = None
    """A broker's."""
    default: bool = True
    """Whether it is measured unless somebody says otherwise."""


SYSTEMS: Final[dict[str, Entry]] = {
    "posewire": Entry("posewire", "Posewire"),
    "posewire-asyncio": Entry("posewire", "PosewireAsyncio"),
    "posewire-v2": Entry("posewire", "PosewireV2"),
    "raw-tcp": Entry("raw_tcp", "RawTcp"),
    "raw-tcp-uvloop": Entry("raw_tcp", "RawTcpUvloop", default=False),
    "picows": Entry("picows_library", "Picows"),
    "websockets": Entry("websockets_library", "Websockets"),
    "nats": Entry("nats_core", "Nats", "nats-server"),
    "zenoh": Entry("zenoh_router", "Zenoh"),
    "mosquitto": Entry("mosquitto", "Mosquitto", "mosquitto"),
    "redis": Entry("redis_pubsub", "RedisPubSub", "redis-server"),
    "aiortc": Entry("aiortc_channel", "Aiortc"),
    "socketio-msgpack": Entry("stock_socketio", "SocketIOMsgpack"),
    "socketio-default": Entry("stock_socketio", "SocketIODefault"),
    "socketio-msgpack-uvloop": Entry("stock_socketio", "SocketIOMsgpackUvloop", default=False),
}
DEFAULT: Final = [name for name, entry in SYSTEMS.items() if entry.default]
SUBJECTS: Final = [name for name in SYSTEMS if name.startswith("posewire")]
"""Ours; the others are what they are compared with."""
RELAYS: Final = [name for name, entry in SYSTEMS.items() if entry.module in ("posewire", "raw_tcp", "stock_socketio")]
"""Those that can carry finished packets, see `Relay`."""


def load(name: str) -> type[System]:
    """Import a system: its library, when it is a peer's, only now.

    Raises:
        ImportError: Its library is not installed.
    """
    entry = SYSTEMS[name]
    module = importlib.import_module(f"benchmarks.systems.{entry.module}")
    return cast(type[System], getattr(module, entry.name))


def load_relay(name: str) -> type[Relay]:
    """Import one of `RELAYS`."""
    return cast(type[Relay], load(name))


def missing(name: str) -> str | None:
    """Return what a system lacks here and how to get it; None when it can be measured."""
    try:
        system = load(name)
    except ImportError as exc:
        return f"{exc}; the extra 'bench' has it: pip install -e '.[bench]'"
    if system.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "uvloop is not installed; the extra 'speed' has it: pip install -e '.[speed]'"
    program = SYSTEMS[name].program
    if program is not None and find_program(program) is None:
        return f"the program {program} is not installed; {HOW_TO_INSTALL}"
    return None


__all__ = ["DEFAULT", "RELAYS", "SUBJECTS", "SYSTEMS", "Relay", "System", "load", "load_relay", "missing"]
