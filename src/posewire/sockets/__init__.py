"""The connection: lanes, login, heartbeat, reconnect."""

from posewire.sockets.connection_status import ConnectionStatus
from posewire.sockets.endpoints import EndpointUsage
from posewire.sockets.event_dispatcher import Event, EventDispatcher
from posewire.sockets.lane import Lane
from posewire.sockets.login import LOGIN_PATH, login
from posewire.sockets.pool_status import LaneStatus, PoolStatus
from posewire.sockets.socket_manager import SocketManager
from posewire.sockets.token_source import TokenProvider

__all__ = [
    "LOGIN_PATH",
    "ConnectionStatus",
    "EndpointUsage",
    "Event",
    "EventDispatcher",
    "Lane",
    "LaneStatus",
    "PoolStatus",
    "SocketManager",
    "TokenProvider",
    "login",
]
