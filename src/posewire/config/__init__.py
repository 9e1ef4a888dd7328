"""Settings: frozen Structs, one a section, from `config.yaml`, environment and arguments."""

from posewire.config.config import Config, load_config
from posewire.config.sections import (
    ConnectionConfig,
    MediaConfig,
    MonitorConfig,
    ProtocolVersion,
    ReceiverConfig,
    RoomConfig,
    SecurityConfig,
    SenderConfig,
    ServerConfig,
)

__all__ = [
    "Config",
    "ConnectionConfig",
    "MediaConfig",
    "MonitorConfig",
    "ProtocolVersion",
    "ReceiverConfig",
    "RoomConfig",
    "SecurityConfig",
    "SenderConfig",
    "ServerConfig",
    "load_config",
]
