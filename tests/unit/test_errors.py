"""The tree of errors: the specification's words, codes and fields, through pickle and over the wire."""

from __future__ import annotations

import builtins
import copy
import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import posewire
from posewire import errors
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
    error_from_wire,
)
from tests.unit.strategies import plain

# Each class: its arguments, the words of the specification (§3.2.3), its code, its fields as attributes.
CASES: list[tuple[type[PosewireError], dict[str, Any], str, int | None, dict[str, Any]]] = [
    (PosewireError, {"message": "it broke", "code": 418}, "it broke", 418, {}),
    (ConnectError, {"message": "it broke"}, "it broke", 400, {}),
    (SendError, {"error_type": "Send", "message": "no"}, "Send: no", 400, {"error_type": "Send", "detail": "no"}),
    (ConnectionError, {"message": "unplugged"}, "unplugged", 500, {}),
    (QueueFullError, {"message": "256 wait"}, "Queue: 256 wait", 429, {"error_type": "Queue", "detail": "256 wait"}),
    (InvalidDataError, {"message": "fps -1"}, "Data: fps -1", 400, {"error_type": "Data", "detail": "fps -1"}),
    (ResourceLimitError, {"message": "too many"}, "too many", 400, {}),
    (RoomError, {"room_id": "r", "message": "locked"}, "Room error [r]: locked", 400, {"room_id": "r"}),
    (RoomNotFoundError, {"room_id": "r"}, "Room error [r]: Room not found", 404, {"room_id": "r"}),
    (
        RoomFullError,
        {"room_id": "r", "capacity": 8},
        "Room error [r]: Room is full (capacity: 8)",
        409,
        {"room_id": "r", "capacity": 8},
    ),
    (
        DataValidationError,
        {"field": "fps", "value": -1, "reason": "negative"},
        "Invalid fps: -1 - negative",
        400,
        {"field": "fps", "value": -1, "reason": "negative"},
    ),
    (
        ConfigurationError,
        {"param": "port", "value": 99999, "message": "too large"},
        "Configuration error [port=99999]: too large",
        400,
        {"param": "port", "value": 99999, "detail": "too large"},
    ),
    (
        PerformanceError,
        {"metric": "fps", "value": 12.5, "threshold": 24},
        "Performance error: fps=12.5 (threshold: 24)",
        400,
        {"metric": "fps", "value": 12.5, "threshold": 24},
    ),
    (
        MonitoringError,
        {"component": "cpu", "message": "gone"},
        "Monitoring error [cpu]: gone",
        400,
        {"component": "cpu", "detail": "gone"},
    ),
    (
        BandwidthError,
        {"current": 2.5, "limit": 1.0},
        "Bandwidth exceeded: 2.5MB/s > 1.0MB/s",
        400,
        {"current": 2.5, "limit": 1.0},
    ),
    (
        QoSError,
        {"level": "high", "metric": "latency", "value": 0.2},
        "QoS violation [high]: latency=0.2",
        400,
        {"level": "high", "metric": "latency", "value": 0.2},
    ),
    (
        ProtocolError,
        {"version": "2", "message": "cut short"},
        "Protocol error [v2]: cut short",
        422,
        {"version": "2", "detail": "cut short"},
    ),
    (
        AuthError,
        {"user_id": "alice", "reason": "expired"},
        "Authentication failed [alice]: expired",
        401,
        {"user_id": "alice", "reason": "expired"},
    ),
    (
        SecurityError,
        {"threat": "replay", "details": "seq 3"},
        "Security violation [replay]: seq 3",
        403,
        {"threat": "replay", "details": "seq 3"},
    ),
    (
        OptimizationError,
        {"strategy": "ladder", "message": "stuck"},
        "Optimization error [ladder]: stuck",
        400,
        {"strategy": "ladder", "detail": "stuck"},
    ),
    (
        QueueManagementError,
        {"operation": "put", "message": "closed"},
        "Queue management error [put]: closed",
        400,
        {"operation": "put", "detail": "closed"},
    ),
    (
        SynchronizationError,
        {"component": "clock", "offset": 12.5},
        "Synchronization error [clock]: offset=12.5ms",
        400,
        {"component": "clock", "offset": 12.5},
    ),
    (
        RecoveryError,
        {"strategy": "redial", "attempts": 3, "message": "refused"},
        "Recovery failed [redial] after 3 attempts: refused",
        500,
        {"strategy": "redial", "attempts": 3, "detail": "refused"},
    ),
    (PoseError, {"message": "no joints"}, "no joints", 500, {}),
]
IDS = [case[0].__name__ for case in CASES]
# Most tests call the constructor as people do, by position.
ERRORS = [cls(*arguments.values()) for cls, arguments, *_ in CASES]


def public_classes() -> set[type[PosewireError]]:
    return {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, PosewireError)}


def test_every_class_is_tested_and_public() -> None:
    assert {case[0] for case in CASES} == public_classes()
    assert {case[0].__name__ for case in CASES} <= set(posewire.__all__)


@pytest.mark.parametrize(("cls", "arguments", "text", "code", "attributes"), CASES, ids=IDS)
def test_words_code_and_fields(
    cls: type[PosewireError], arguments: dict[str, Any], text: str, code: int | None, attributes: dict[str, Any]
) -> None:
    error = cls(*arguments.values())
    assert (str(error), error.message, error.code) == (text, text, code)
    assert error.args == (text,)
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert isinstance(error, PosewireError)


@pytest.mark.parametrize(("cls", "arguments", "text"), [case[:3] for case in CASES], ids=IDS)
def test_arguments_by_name_say_the_same(cls: type[PosewireError], arguments: dict[str, Any], text: str) -> None:
    # Once: str(ConnectionError(message="unplugged")) is "": OSError takes its text from __new__'s positional arguments.
    assert str(cls(**arguments)) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        # Once: str(ConnectionError()) is "".
        (lambda: ConnectionError(), "Connection failed"),
        (lambda: QueueFullError(), "Queue: Queue full"),
        (lambda: InvalidDataError(), "Data: Invalid data"),
        (lambda: ResourceLimitError(), "Resource limit exceeded"),
        (lambda: PoseError(), "Pose processing error"),
        (lambda: PosewireError(), ""),
    ],
    ids=["ConnectionError", "QueueFullError", "InvalidDataError", "ResourceLimitError", "PoseError", "PosewireError"],
)
def test_default_words(error: Any, text: str) -> None:
    assert str(error()) == text


def test_one_root() -> None:
    assert BaseError is PosewireError
    assert PosewireError("x").code is None
    for cls in public_classes():
        assert issubclass(cls, PosewireError)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (ConnectionError, builtins.ConnectionError),
        (ConnectionError, OSError),
        (ProtocolError, ValueError),
        (InvalidDataError, ValueError),
        (DataValidationError, ValueError),
        (ConfigurationError, ValueError),
        (RoomNotFoundError, RoomError),
        (RoomFullError, RoomError),
        (QueueFullError, SendError),
        (InvalidDataError, SendError),
    ],
)
def test_also_what_an_except_clause_expects(cls: type[PosewireError], builtin: type[Exception]) -> None:
    assert issubclass(cls, builtin)


def test_a_room_or_protocol_error_is_no_lost_connection() -> None:
    # What is retried must not be what cannot get better.
    for cls in public_classes() - {ConnectionError}:
        assert not issubclass(cls, OSError)


@pytest.mark.parametrize(
    ("error", "limit"),
    [(SendError("Send", "x" * 200), 50), (QueueFullError("x" * 200), 30), (InvalidDataError("x" * 200), 30)],
    ids=["SendError", "QueueFullError", "InvalidDataError"],
)
def test_summary_is_cut_and_the_words_are_not(error: PosewireError, limit: int) -> None:
    assert error.summary == str(error)[:limit]
    assert len(error.summary) == limit
    assert str(error).endswith("x" * 200)


def test_summary_of_the_others_is_all_of_it() -> None:
    assert RoomError("r", "x" * 200).summary == f"Room error [r]: {'x' * 200}"


@pytest.mark.parametrize(("cls", "arguments"), [case[:2] for case in CASES], ids=IDS)
def test_fields_are_the_arguments_by_name(cls: type[PosewireError], arguments: dict[str, Any]) -> None:
    # Once: classes without an __init__ of their own (PosewireError, ConnectError) give {"args": (…), "kwargs": {…}}:
    # inspect.signature() finds the root's __new__(*args, **kwargs).
    assert arguments.items() <= cls(*arguments.values()).fields.items()


def test_fields_that_were_left_out_have_their_defaults() -> None:
    assert RoomError("studio").fields == {"room_id": "studio", "message": ""}
    assert ConnectError("it broke").fields == {"message": "it broke", "code": None}


def same(one: PosewireError, other: PosewireError) -> bool:
    return (type(one), str(one), one.message, one.code, one.fields) == (
        type(other),
        str(other),
        other.message,
        other.code,
        other.fields,
    )


@pytest.mark.parametrize("error", ERRORS, ids=IDS)
def test_pickle_and_copy(error: PosewireError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert same(twin, error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=IDS)
def test_over_the_wire(error: PosewireError) -> None:
    # Once: PosewireError lost its code, ConnectError its class; a rebuilt ConnectionError had no words.
    described = msgspec.msgpack.decode(msgspec.msgpack.encode(error.to_wire()))
    assert described["type"] == type(error).__name__
    assert described["code"] == error.code
    assert described["message"] == str(error)
    assert same(error_from_wire(described), error)


@pytest.mark.parametrize(
    ("value", "travels"),
    [
        (3, 3),
        (2.5, 2.5),
        (True, True),
        (None, None),
        ("text", "text"),
        ((1 << 64) - 1, (1 << 64) - 1),
        (-(1 << 63), -(1 << 63)),
        (1 << 64, "18446744073709551616"),
        (-(1 << 63) - 1, "-9223372036854775809"),
        ([1, 2], "[1, 2]"),
        (b"raw", "b'raw'"),
        ({"a": 1}, "{'a': 1}"),
        (object, "<class 'object'>"),
    ],
)
def test_only_plain_values_travel(value: Any, travels: Any) -> None:
    assert DataValidationError("field", value).to_wire()["fields"]["value"] == travels


@pytest.mark.parametrize(
    "value",
    [
        np.float64(2.5),  # Once: np.float64 is a float, which msgspec does not encode
        1 << 100,  # Once: msgpack has no such integer
        np.float32(2.5),
        np.int64(2),
    ],
    ids=["float64", "2**100", "float32", "int64"],
)
def test_any_value_can_be_encoded(value: Any) -> None:
    assert msgspec.msgpack.encode(DataValidationError("field", value).to_wire())


def test_long_values_are_cut_in_the_fields() -> None:
    described = DataValidationError("field", "x" * 1_000_000, "y" * 1_000_000).to_wire()
    assert described["fields"] == {"field": "field", "value": "x" * 200, "reason": "y" * 200}


def test_long_values_are_cut_in_the_message() -> None:
    # Once: the message quotes the value uncut, so a stranger's megabyte is sent back to him after all.
    described = DataValidationError("field", "x" * 1_000_000, "too long").to_wire()
    assert len(msgspec.msgpack.encode(described)) < 2000


@given(plain | st.fixed_dictionaries({}, optional={"type": plain, "code": plain, "message": plain, "fields": plain}))
@example({"type": "RoomError", "message": "no fields"})
@example({"type": "RoomError", "message": "unknown fields", "fields": {"room": "r"}})
@example({"type": "RoomError", "message": "fields by number", "fields": {1: 2}})
@example({"type": "PosewireError", "fields": {"message": 5}})  # Once: a message that is no text: .summary raises
@example({"type": "QueueFullError", "fields": {"message": []}})
@example({"type": ["RoomError"], "fields": {}})
@example("x" * 1_000_000)
@example(None)
def test_garbage_becomes_an_error_that_can_be_shown(data: Any) -> None:
    error = error_from_wire(data)
    assert isinstance(error, PosewireError)
    assert isinstance(str(error), str)
    assert isinstance(error.summary, str)
    assert msgspec.msgpack.encode(error.to_wire())


def test_an_error_from_a_newer_peer_keeps_its_words() -> None:
    error = error_from_wire({"type": "QuotaError", "code": 402, "message": "pay first", "fields": {"sum": 3}})
    assert type(error) is PosewireError
    assert str(error) == "pay first"


def test_an_error_from_a_newer_peer_keeps_its_code() -> None:
    # Once: the code of an unknown type is lost.
    assert (
        error_from_wire({"type": "QuotaError", "code": 402, "message": "pay first", "fields": {"sum": 3}}).code == 402
    )


def test_a_known_error_with_unknown_fields_keeps_its_words() -> None:
    error = error_from_wire({"type": "RoomFullError", "message": "full", "fields": {"room_id": "r", "seats": 3}})
    assert str(error) == "full"


def test_a_description_that_is_none_is_quoted_briefly() -> None:
    error = error_from_wire("x" * 1_000_000)
    assert "x" * 200 in str(error)
    assert len(str(error)) < 300
