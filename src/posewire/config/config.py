"""All settings, and where they come from: `config.yaml`, then ``POSEWIRE_*`` environment, then arguments."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from posewire.config.section import Section, shown
from posewire.config.sections import (
    AdmissionConfig,
    ConnectionConfig,
    MediaConfig,
    MonitorConfig,
    ReceiverConfig,
    RoomConfig,
    SecurityConfig,
    SenderConfig,
    ServerConfig,
)
from posewire.errors import ConfigurationError
from posewire.values import path_of
from posewire.values import shown as shown_value

logger = logging.getLogger(__name__)

PREFIX: Final = "POSEWIRE_"
NOT_SETTINGS: Final = frozenset(
    {"CONFIG", "URL", "ROOM", "ROOM_KEY", "TOKEN", "USERNAME", "PASSWORD", "STATE_DIR", "DATA", "LOOP"}
)
"""``POSEWIRE_`` variables that are not settings: the place of the file, and what the command line reads."""

_SECTIONS: Final[dict[str, type[Section]]] = {
    cls.NAME: cls
    for cls in (
        ConnectionConfig,
        SecurityConfig,
        RoomConfig,
        SenderConfig,
        MediaConfig,
        ReceiverConfig,
        MonitorConfig,
        ServerConfig,
        AdmissionConfig,
    )
}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting. ``Config()`` is the defaults; ``Config(sender=SenderConfig(queue_size=8))`` changes one."""

    socket: ConnectionConfig = msgspec.field(default_factory=ConnectionConfig)
    security: SecurityConfig = msgspec.field(default_factory=SecurityConfig)
    room: RoomConfig = msgspec.field(default_factory=RoomConfig)
    sender: SenderConfig = msgspec.field(default_factory=SenderConfig)
    media: MediaConfig = msgspec.field(default_factory=MediaConfig)
    receiver: ReceiverConfig = msgspec.field(default_factory=ReceiverConfig)
    monitor: MonitorConfig = msgspec.field(default_factory=MonitorConfig)
    server: ServerConfig = msgspec.field(default_factory=ServerConfig)
    admission: AdmissionConfig = msgspec.field(default_factory=AdmissionConfig)

    def __post_init__(self) -> None:
        for name, cls in _SECTIONS.items():
            if not isinstance(value := getattr(self, name), cls):
                raise ConfigurationError(name, shown(name, value), f"expected a {cls.__name__}")


def load_config(
    path: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    **overrides: Mapping[str, Any],
) -> Config:
    """Read the settings: file, then environment, then arguments; the later wins.

    Args:
        path: YAML file. None: the file named by ``POSEWIRE_CONFIG``, else ``config.yaml`` in the working folder; when
            neither is there the defaults hold, and one log line says so.
        environ: Variables to read, ``os.environ`` by default. ``POSEWIRE_SENDER_QUEUE_SIZE=8`` is
            ``sender.queue_size``; lists and mappings are JSON: ``POSEWIRE_MONITOR_THRESHOLDS={"max_latency": 0.2}``.
        overrides: Values by section: ``load_config(sender={"queue_size": 8})``.

    Raises:
        ConfigurationError: A file that cannot be read, an unknown key, a wrong type, a value out of range: with the
            key path, the value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    values = _read(path if path is not None else environ.get(PREFIX + "CONFIG"))
    for section, keys in overrides.items():
        if section not in _SECTIONS:
            raise _unknown_section(section, keys)
        values[section] = {**values.get(section, {}), **keys}
    texts = _from_environment(environ)
    for section, keys in overrides.items():
        # Arguments win over the environment.
        texts[section] = {key: text for key, text in texts.get(section, {}).items() if key not in keys}
    sections: dict[str, Any] = {
        name: cls.build(values.get(name, {}), texts=texts.get(name, {})) for name, cls in _SECTIONS.items()
    }
    return Config(**sections)


def _read(path: str | os.PathLike[str] | None) -> dict[str, dict[str, Any]]:
    asked_for = path is not None
    file = path_of("config.yaml" if path is None else path)
    if file is None:
        raise ConfigurationError("config file", shown_value(path), "expected the name of a file")
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        if asked_for:
            raise ConfigurationError("config file", str(file), "no such file") from None
        logger.info("no config.yaml in %s; using the defaults", Path.cwd())
        return {}
    except OSError as exc:
        raise ConfigurationError("config file", str(file), f"cannot be read: {exc.strerror}") from exc
    try:
        # A file of comments is null.
        data = {} if not text.strip() else msgspec.yaml.decode(text)
        data = {} if data is None else data
    except msgspec.DecodeError as exc:
        raise ConfigurationError("config file", str(file), f"not valid YAML: {exc}") from exc
    if not isinstance(data, dict):
        raise ConfigurationError("config file", str(file), f"expected sections, got {type(data).__name__}")
    for section, keys in data.items():
        if section not in _SECTIONS:
            raise _unknown_section(section, keys, file)
        if keys is not None and not isinstance(keys, dict):
            raise ConfigurationError(str(section), shown(str(section), keys), "expected a section with keys")
    return {section: keys or {} for section, keys in data.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or (rest := variable[len(PREFIX) :]) in NOT_SETTINGS:
            continue
        section, _, key = rest.lower().partition("_")
        if section not in _SECTIONS or not key:
            raise ConfigurationError(
                variable,
                shown(variable, text),
                f"unknown setting; expected {PREFIX}<SECTION>_<KEY>, sections: {', '.join(_SECTIONS)}",
            )
        texts.setdefault(section, {})[key] = text
    return texts


def _unknown_section(section: Any, keys: Any, file: Path | None = None) -> ConfigurationError:
    where = f" in {file} (another program's? name yours in {PREFIX}CONFIG)" if file else ""
    return ConfigurationError(
        str(section), shown(str(section), keys), f"unknown section{where}; allowed: {', '.join(_SECTIONS)}"
    )
