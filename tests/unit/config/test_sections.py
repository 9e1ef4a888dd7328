"""Every setting: its range, and that someone says what it means."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest

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
    sections,
)
from posewire.config.section import Section, field_types
from posewire.errors import ConfigurationError

SECTIONS: list[type[Section]] = [
    ConnectionConfig,
    SecurityConfig,
    RoomConfig,
    SenderConfig,
    MediaConfig,
    ReceiverConfig,
    MonitorConfig,
    ServerConfig,
    AdmissionConfig,
]
IDS = [cls.NAME for cls in SECTIONS]

# Section, key, least value, greatest value (None: no end), and the nearest values that are refused.
MS = (1, 3_600_000, 0, 3_600_001)
RATE = (0.01, 1e12, 0.001, 1e13)
RANGES: list[tuple[type[Section], str, Any, Any, Any, Any]] = [
    (ConnectionConfig, "reconnect_attempts", 0, 1_000_000, -1, 1_000_001),
    (ConnectionConfig, "reconnect_delay", *MS),
    (ConnectionConfig, "reconnect_delay_max", *MS),
    (ConnectionConfig, "heartbeat_interval", *MS),
    (ConnectionConfig, "connect_timeout", *MS),
    (ConnectionConfig, "request_timeout", *MS),
    (ConnectionConfig, "endpoint_timeout", *MS),
    (ConnectionConfig, "min_pool_size", 1, 16, 0, 17),
    (ConnectionConfig, "max_pool_size", 1, 16, 0, 17),
    (ConnectionConfig, "connection_timeout", *MS),
    (ConnectionConfig, "cleanup_interval", *MS),
    (ConnectionConfig, "max_connections", 1, 100_000, 0, 100_001),
    (ConnectionConfig, "ping_timeout", 5e-324, 86_400, 0, 86_400.1),
    (ConnectionConfig, "ping_interval", 5e-324, 86_400, 0, 86_400.1),
    (ConnectionConfig, "clock_exchanges", 1, 100, 0, 101),
    (ConnectionConfig, "clock_interval", 50, 3_600_000, 49, 3_600_001),
    (SecurityConfig, "token_expiry", 1, 31_536_000, 0, 31_536_001),
    (SecurityConfig, "token_max_lifetime", 1, 31_536_000, 0, 31_536_001),
    (SecurityConfig, "clock_leeway", 0, 60_000, -1, 60_001),
    (SecurityConfig, "login_burst", 1, 1_000_000, 0, 1_000_001),
    (SecurityConfig, "login_interval", *MS),
    (SecurityConfig, "login_name_burst", 1, 1_000_000, 0, 1_000_001),
    (SecurityConfig, "login_name_interval", *MS),
    (SecurityConfig, "login_stranger_burst", 1, 1_000_000, 0, 1_000_001),
    (SecurityConfig, "login_stranger_interval", *MS),
    (SecurityConfig, "compression_level", 0, 9, -1, 10),
    (SecurityConfig, "max_message_age", *MS),
    (SecurityConfig, "key_grace", *MS),
    (RoomConfig, "max_clients", 1, 10_000, 0, 10_001),
    (RoomConfig, "max_rooms", 1, 1_000_000, 0, 1_000_001),
    (RoomConfig, "timeout", 5e-324, 31_536_000, 0, 31_536_001),
    (RoomConfig, "kick_ban", 0, 1e9, -1, 2e9),
    (SenderConfig, "queue_size", 1, 100_000, 0, 100_001),
    (SenderConfig, "precision_xy", -8, 20, -9, 21),
    (SenderConfig, "precision_z", -8, 20, -9, 21),
    (SenderConfig, "precision_visibility", -8, 20, -9, 21),
    (SenderConfig, "anchor_interval", 1, 1000, 0, 1001),
    (SenderConfig, "keyframe_interval", *MS),
    (SenderConfig, "compression_threshold", 0, None, -1, None),
    (SenderConfig, "bandwidth_limit", 1, None, 0, None),
    (SenderConfig, "audio_max_age", *MS),
    (MediaConfig, "sample_rate", 4000, 384_000, 3999, 384_001),
    (MediaConfig, "channels", 1, 8, 0, 9),
    (MediaConfig, "bit_rate", 12_000, 510_000, 5999, 510_001),
    (MediaConfig, "bit_rate_min", 6000, 32_000, 5999, 510_001),
    (ReceiverConfig, "queue_size", 1, 100_000, 0, 100_001),
    (ReceiverConfig, "playout_delay", 0, 10_000, -1, 10_001),
    (ReceiverConfig, "playout_delay_max", 1, 10_000, 0, 10_001),
    (MonitorConfig, "window_size", 2, 100_000, 1, 100_001),
    (MonitorConfig, "sample_interval", *MS),
    (MonitorConfig, "lag_interval", *MS),
    (MonitorConfig, "alert_cooldown", 0, 86_400_000, -1, 86_400_001),
    (ServerConfig, "port", 0, 65_535, -1, 65_536),
    (ServerConfig, "max_connections", 1, 1_000_000, 0, 1_000_001),
    (ServerConfig, "recipient_limit", 1024, 1 << 30, 1023, (1 << 30) + 1),
    (ServerConfig, "recipient_timeout", *MS),
    (ServerConfig, "resume_grace", 0, 3_600_000, -1, 3_600_001),
    (ServerConfig, "audio_max_age", *MS),
    (ServerConfig, "drain_timeout", *MS),
    (AdmissionConfig, "member_frames", *RATE),
    (AdmissionConfig, "member_bytes", *RATE),
    (AdmissionConfig, "member_requests", *RATE),
    (AdmissionConfig, "member_connects", *RATE),
    (AdmissionConfig, "member_rooms", *RATE),
    (AdmissionConfig, "address_frames", *RATE),
    (AdmissionConfig, "address_bytes", *RATE),
    (AdmissionConfig, "address_requests", *RATE),
    (AdmissionConfig, "address_connects", *RATE),
    (AdmissionConfig, "address_connections", 1, 1_000_000, 0, 1_000_001),
    (AdmissionConfig, "address_rooms", *RATE),
    (AdmissionConfig, "loopback_factor", 1, 1e6, 0.9, 1e7),
    (AdmissionConfig, "burst", 0.1, 3600, 0.05, 3601),
    (AdmissionConfig, "patience", 0.1, 3600, 0.05, 3601),
    (AdmissionConfig, "strangers", 1, 100_000, 0, 100_001),
]


def numeric(kind: Any) -> bool:
    text = str(kind)
    return ("int" in text or "float" in text) and not text.startswith("dict")


def test_the_table_has_every_numeric_setting() -> None:
    assert {(cls, key) for cls, key, *_ in RANGES} == {
        (cls, key) for cls in SECTIONS for key, kind in field_types(cls).items() if numeric(kind)
    }


@pytest.mark.parametrize(
    ("cls", "key", "least", "greatest", "under", "over"), RANGES, ids=[f"{cls.NAME}.{key}" for cls, key, *_ in RANGES]
)
def test_range(cls: type[Section], key: str, least: Any, greatest: Any, under: Any, over: Any) -> None:
    for value in (least, greatest):
        if value is not None:
            assert getattr(cls(**{key: value}), key) == value
    for value in (under, over):
        if value is not None:
            with pytest.raises(ConfigurationError) as caught:
                cls(**{key: value})
            assert caught.value.param == f"{cls.NAME}.{key}"
            assert caught.value.value == value
            assert any(sign in str(caught.value) for sign in ("<", ">"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_seconds_are_a_number(value: float) -> None:
    with pytest.raises(ConfigurationError, match=r"socket\.ping_timeout"):
        ConnectionConfig(ping_timeout=value)


@pytest.mark.parametrize(("cls", "key"), [(ConnectionConfig, "url"), (ServerConfig, "host")])
def test_text_that_may_not_be_empty(cls: type[Section], key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{cls.NAME}.{key}"):
        cls(**{key: ""})


def test_a_secret_is_32_bytes_or_more() -> None:
    assert SecurityConfig(secret_key="x" * 32).secret_key == "x" * 32
    assert SecurityConfig(secret_key="ü" * 16).secret_key == "ü" * 16
    with pytest.raises(ConfigurationError, match="at least 32 bytes; make one with: python"):
        SecurityConfig(secret_key="x" * 31)
    with pytest.raises(ConfigurationError):
        SecurityConfig(secret_key="")


def test_a_pool_is_as_large_as_it_is_to_be_at_least() -> None:
    assert ConnectionConfig().largest_pool == 1
    assert ConnectionConfig(min_pool_size=3).largest_pool == 3
    assert ConnectionConfig(min_pool_size=3, max_pool_size=5).largest_pool == 5


def test_a_certificate_needs_its_key() -> None:
    assert ServerConfig(tls_cert="a.pem", tls_key="b.pem").tls_key == "b.pem"
    with pytest.raises(ConfigurationError, match=r"server\.tls_key=None.*expected both"):
        ServerConfig(tls_cert="a.pem")
    with pytest.raises(ConfigurationError, match=r"server\.tls_cert=None.*expected both"):
        ServerConfig(tls_key="b.pem")


def test_the_least_bit_rate_is_not_over_the_most() -> None:
    assert MediaConfig(bit_rate=8000, bit_rate_min=8000).bit_rate == 8000
    with pytest.raises(ConfigurationError, match=r"media\.bit_rate_min=32001.*at most 32000"):
        MediaConfig(bit_rate_min=32_001)


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://a@b", "*", "null", ""])
def test_an_origin_has_a_scheme_and_no_path(origin: str) -> None:
    assert ServerConfig(allowed_origins=["https://example.org", "http://[::1]:8080"]).allowed_origins
    with pytest.raises(ConfigurationError, match=r"server\.allowed_origins"):
        ServerConfig(allowed_origins=[origin])


@pytest.mark.parametrize("cls", SECTIONS, ids=IDS)
def test_defaults_are_in_range_and_of_their_type(cls: type[Section]) -> None:
    section = cls()
    for key, kind in field_types(cls).items():
        value = getattr(section, key)
        assert msgspec.convert(value, kind, strict=True) == value
    assert isinstance(ConnectionConfig().ping_timeout, float)


@pytest.mark.parametrize("cls", SECTIONS, ids=IDS)
def test_frozen_and_by_name_only(cls: type[Section]) -> None:
    key, kind = next(iter(field_types(cls).items()))
    with pytest.raises(AttributeError):
        setattr(cls(), key, getattr(cls(), key))
    with pytest.raises(TypeError):
        cls(1 if numeric(kind) else "x")


def test_a_changed_copy_is_checked_too() -> None:
    assert msgspec.structs.replace(SenderConfig(), queue_size=3).queue_size == 3
    with pytest.raises(ConfigurationError):
        msgspec.structs.replace(SenderConfig(), queue_size=0)


@pytest.mark.parametrize("cls", SECTIONS, ids=IDS)
def test_config_holds_each_section_under_its_name(cls: type[Section]) -> None:
    assert getattr(Config(), cls.NAME) == cls()
    wrong: dict[str, Any] = {cls.NAME: None}
    with pytest.raises(ConfigurationError, match=f"expected a {cls.__name__}"):
        Config(**wrong)


def test_config_is_frozen_and_by_name_only() -> None:
    config = Config()
    with pytest.raises(AttributeError):
        config.sender = SenderConfig(queue_size=8)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Config(ConnectionConfig())  # type: ignore[call-arg]


def test_config_has_no_other_section() -> None:
    assert list(Config.__struct_fields__) == IDS


def documented(body: list[ast.stmt]) -> dict[str, str]:
    """Return the settings of a class body, each with the docstring under it."""
    found = {}
    for statement, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            found[statement.target.id] = str(after.value.value) if is_doc else ""  # type: ignore[attr-defined]
    return found


TREE = ast.parse(Path(inspect.getfile(sections)).read_text())
BODIES = {node.name: node.body for node in TREE.body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize(
    ("cls", "key"), [(cls, key) for cls in SECTIONS for key in field_types(cls)], ids=lambda value: str(value)
)
def test_every_setting_has_a_docstring(cls: type[Section], key: str) -> None:
    text = documented(BODIES[cls.__name__])[key].strip()
    assert text.endswith("."), f"{cls.NAME}.{key} has no docstring under it, or one that is no sentence"


@pytest.mark.parametrize("cls", SECTIONS, ids=IDS)
def test_every_section_says_its_name(cls: type[Section]) -> None:
    assert f"Section ``{cls.NAME}``" in (cls.__doc__ or "")
