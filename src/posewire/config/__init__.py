"""Settings: frozen Structs, one a section, from `config.yaml`, environment and arguments."""

from posewire.config.config import Config, load_config
from posewire.config.sections import (
    AdmissionConfig,
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
    "AdmissionConfig",
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
