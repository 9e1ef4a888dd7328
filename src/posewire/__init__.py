"""Human motion and voice between people, in real time.

A capture loop hands poses and sound to a :class:`Session`; everyone else in its room gets the newest, on time::

    async with posewire.serve() as server:
        token = server.issue_token("alice", room_id="studio")
        async with posewire.connect(server.url, token=token, room="studio") as session:
            await session.send_pose(landmarks)          # [33, 4]: x, y, z, visibility
            async for frame in session.frames():        # the others' poses
                ...

From the ground up: `errors`, `clock`, `limits`; `config` and `protocol` (bytes and rules, no waiting); `flow`,
`monitor`, `recovery`; `sockets` (the connection); `rooms`; `sender` and `receiver`; `server`, `recording`, `sources`;
`session`; `cli`. Imports go down only.
"""

import logging as _logging

from posewire.config import (
    AdmissionConfig,
    Config,
    ConnectionConfig,
    MediaConfig,
    MonitorConfig,
    ReceiverConfig,
    RoomConfig,
    SecurityConfig,
    SenderConfig,
    ServerConfig,
    load_config,
)
from posewire.errors import (
    AuthError,
    BandwidthError,
    BaseError,
    ConfigurationError,
    ConnectError,
    ConnectionError,
    DataValidationError,
    InvalidDataError,
    MonitoringError,
    OptimizationError,
    PerformanceError,
    PoseError,
    PosewireError,
    ProtocolError,
    QoSError,
    QueueFullError,
    QueueManagementError,
    RecoveryError,
    ResourceLimitError,
    RoomError,
    RoomFullError,
    RoomNotFoundError,
    SecurityError,
    SendError,
    SynchronizationError,
)
from posewire.flow import QueueItem, SendOutcome
from posewire.monitor import (
    Alert,
    AlertManager,
    PerformanceMetrics,
    PerformanceMonitor,
    PerformanceReport,
    Recommendation,
    load_performance_data,
    report_markdown,
    report_page,
    save_performance_data,
)
from posewire.protocol import AudioChunk, MediaData, MediaProtocol, PoseData, PoseProtocol
from posewire.protocol.room_view import RoomMember, RoomStatus
from posewire.receiver import Frame, OneEuro, Subscription
from posewire.recovery import ErrorRecoveryChain
from posewire.rooms import RoomManager
from posewire.sender import MediaSender, PoseSender, SendSettings, UnifiedSender
from posewire.server import Server, serve
from posewire.session import Session, connect, get_performance_metrics, join_room, send_pose_data
from posewire.sockets import ConnectionStatus, EndpointUsage, Event, PoolStatus, SocketManager
from posewire.version import __version__

__all__ = [
    # the way in
    "serve",
    "connect",
    "Server",
    "Session",
    "send_pose_data",
    "join_room",
    "get_performance_metrics",
    # what travels
    "PoseData",
    "AudioChunk",
    "Frame",
    "Event",
    "SendOutcome",
    "Subscription",
    "OneEuro",
    # the parts of a session
    "SocketManager",
    "ConnectionStatus",
    "EndpointUsage",
    "PoolStatus",
    "RoomManager",
    "RoomMember",
    "RoomStatus",
    "UnifiedSender",
    "QueueItem",
    "PoseSender",
    "MediaSender",
    "MediaData",
    "MediaProtocol",
    "SendSettings",
    "PoseProtocol",
    "PerformanceMonitor",
    "PerformanceMetrics",
    "AlertManager",
    "Alert",
    "PerformanceReport",
    "Recommendation",
    "report_markdown",
    "report_page",
    "save_performance_data",
    "load_performance_data",
    "ErrorRecoveryChain",
    # settings
    "Config",
    "AdmissionConfig",
    "ConnectionConfig",
    "MediaConfig",
    "MonitorConfig",
    "ReceiverConfig",
    "RoomConfig",
    "SecurityConfig",
    "SenderConfig",
    "ServerConfig",
    "load_config",
    # errors
    "PosewireError",
    "BaseError",
    "ConnectError",
    "SendError",
    "ConnectionError",
    "QueueFullError",
    "InvalidDataError",
    "ResourceLimitError",
    "RoomError",
    "RoomNotFoundError",
    "RoomFullError",
    "DataValidationError",
    "ConfigurationError",
    "PerformanceError",
    "MonitoringError",
    "BandwidthError",
    "QoSError",
    "ProtocolError",
    "AuthError",
    "SecurityError",
    "OptimizationError",
    "QueueManagementError",
    "SynchronizationError",
    "RecoveryError",
    "PoseError",
    "__version__",
]
_logging.getLogger(__name__).addHandler(_logging.NullHandler())
