"""Every exception posewire raises on purpose, with the fields and words of the specification.

PosewireError  (alias BaseError)                 message, code
├── ConnectError                                 what goes wrong between two ends
│   ├── RoomError                                room_id, detail
│   │   ├── RoomNotFoundError                    room_id
│   │   └── RoomFullError                        room_id, capacity
│   ├── ProtocolError      (also ValueError)     version, detail, reason     a peer sent bytes we refuse
│   ├── AuthError                                user_id, reason
│   ├── SecurityError                            threat, details
│   ├── SynchronizationError                     component, offset (ms)
│   ├── RecoveryError                            strategy, attempts, detail
│   ├── PerformanceError                         metric, value, threshold
│   ├── MonitoringError                          component, detail
│   ├── BandwidthError                           current, limit (MB/s)
│   ├── QoSError                                 level, metric, value
│   ├── OptimizationError                        strategy, detail
│   └── QueueManagementError                     operation, detail
├── ConnectionError        (also the builtin)    the network or the server let us down; retryable
├── SendError                                    error_type, detail
│   ├── QueueFullError
│   └── InvalidDataError   (also ValueError)
├── ResourceLimitError
├── DataValidationError    (also ValueError)     field, value, reason
├── ConfigurationError     (also ValueError)     param, value, detail
└── PoseError

The specification has two unrelated roots; here all derive from one, so ``except PosewireError`` is enough. Where
the specification cuts messages to 30 or 50 characters, ``summary`` holds the cut text and ``str()`` the whole one:
a message that cannot name the field, the value and what was expected helps nobody.

An error can cross the wire: :meth:`PosewireError.to_wire` on one side, :func:`error_from_wire` on the other.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Self

_WIRE_VALUE_LIMIT = 200
_WIRE_MESSAGE_LIMIT = 500
"""Characters of a field's value, and of a message, that travel; a stranger's megabyte is not sent back to him."""


class PosewireError(Exception):
    """Root of the tree: a message for people and a numeric code in the style of HTTP."""

    default_code: ClassVar[int | None] = None
    summary_limit: ClassVar[int | None] = None
    _call: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments, whatever the constructor makes of them."""
        self = super().__new__(cls, *args)
        # Kept so that pickle and the wire can call the constructor again with what it was given.
        self._call = (args, kwargs)
        return self

    def __init__(self, message: str = "", code: int | None = None) -> None:
        super().__init__(message)
        self.message = str(message)
        self.code = self.default_code if code is None else code

    def __str__(self) -> str:
        return self.message

    @property
    def summary(self) -> str:
        """The message, cut to the length the specification gives for this class."""
        return self.message[: self.summary_limit]

    @property
    def fields(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        args, kwargs = self._call
        bound = _signature(type(self).__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def to_wire(self) -> dict[str, Any]:
        """Return ``{type, code, message, fields}``: plain values only, safe to encode."""
        return {
            "type": type(self).__name__,
            "code": self.code,
            "message": self.message[:_WIRE_MESSAGE_LIMIT],
            "fields": {name: _plain(value) for name, value in self.fields.items()},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), *self._call)


@functools.cache
def _signature(constructor: Callable[..., None]) -> inspect.Signature:
    return inspect.signature(constructor)  # takes longer than all else about an error


def _rebuild(cls: type[PosewireError], args: tuple[Any, ...], kwargs: dict[str, Any]) -> PosewireError:
    return cls(*args, **kwargs)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return int(value)
    if isinstance(value, float):
        return float(value)  # a plain one: numpy's float64 is a float too
    return str(value)[:_WIRE_VALUE_LIMIT]


BaseError = PosewireError
"""The specification's name of the root."""


class ConnectError(PosewireError):
    """Something between two ends of a connection: rooms, protocol, authentication, quality."""

    default_code = 400


class RoomError(ConnectError):
    """A room refused an operation."""

    def __init__(self, room_id: str, message: str = "") -> None:
        super().__init__(f"Room error [{room_id}]: {message}")
        self.room_id = room_id
        self.detail = message


class RoomNotFoundError(RoomError):
    """There is no room of that name."""

    default_code = 404

    def __init__(self, room_id: str) -> None:
        super().__init__(room_id, "Room not found")


class RoomFullError(RoomError):
    """The room has as many members as it may have."""

    default_code = 409

    def __init__(self, room_id: str, capacity: int) -> None:
        super().__init__(room_id, f"Room is full (capacity: {capacity})")
        self.capacity = capacity


class ProtocolError(ConnectError, ValueError):
    """Bytes that are not what the protocol says; the only error that decoding can raise.

    ``reason`` is the word a receiver counts it under.
    """

    default_code = 422

    def __init__(self, version: str, message: str = "", reason: str = "damaged") -> None:
        super().__init__(f"Protocol error [v{version}]: {message}")
        self.version = version
        self.detail = message
        self.reason = reason


class AuthError(ConnectError):
    """Who you say you are was not accepted, or is not allowed to do this."""

    default_code = 401

    def __init__(self, user_id: str, reason: str = "") -> None:
        super().__init__(f"Authentication failed [{user_id}]: {reason}")
        self.user_id = user_id
        self.reason = reason


class SecurityError(ConnectError):
    """Going on would be unsafe."""

    default_code = 403

    def __init__(self, threat: str, details: str = "") -> None:
        super().__init__(f"Security violation [{threat}]: {details}")
        self.threat = threat
        self.details = details


class SynchronizationError(ConnectError):
    """Clocks or streams could not be held together; ``offset`` in milliseconds."""

    def __init__(self, component: str, offset: float) -> None:
        super().__init__(f"Synchronization error [{component}]: offset={offset}ms")
        self.component = component
        self.offset = offset


class RecoveryError(ConnectError):
    """A recovery strategy was tried and did not help."""

    default_code = 500

    def __init__(self, strategy: str, attempts: int, message: str = "") -> None:
        super().__init__(f"Recovery failed [{strategy}] after {attempts} attempts: {message}")
        self.strategy = strategy
        self.attempts = attempts
        self.detail = message


class PerformanceError(ConnectError):
    """A measured value is past its threshold."""

    def __init__(self, metric: str, value: float, threshold: float) -> None:
        super().__init__(f"Performance error: {metric}={value} (threshold: {threshold})")
        self.metric = metric
        self.value = value
        self.threshold = threshold


class MonitoringError(ConnectError):
    """A part of the monitoring failed."""

    def __init__(self, component: str, message: str = "") -> None:
        super().__init__(f"Monitoring error [{component}]: {message}")
        self.component = component
        self.detail = message


class BandwidthError(ConnectError):
    """More bytes than the limit allows; both in MB/s."""

    def __init__(self, current: float, limit: float) -> None:
        super().__init__(f"Bandwidth exceeded: {current}MB/s > {limit}MB/s")
        self.current = current
        self.limit = limit


class QoSError(ConnectError):
    """A quality-of-service level could not be kept."""

    def __init__(self, level: str, metric: str, value: float) -> None:
        super().__init__(f"QoS violation [{level}]: {metric}={value}")
        self.level = level
        self.metric = metric
        self.value = value


class OptimizationError(ConnectError):
    """An optimisation could not be applied."""

    def __init__(self, strategy: str, message: str = "") -> None:
        super().__init__(f"Optimization error [{strategy}]: {message}")
        self.strategy = strategy
        self.detail = message


class QueueManagementError(ConnectError):
    """A queue could not do what it was asked to."""

    def __init__(self, operation: str, message: str = "") -> None:
        super().__init__(f"Queue management error [{operation}]: {message}")
        self.operation = operation
        self.detail = message


class ConnectionError(PosewireError, builtins.ConnectionError):
    """The network or the server let us down. Also a builtin ``ConnectionError``; worth a retry."""

    default_code = 500

    def __init__(self, message: str = "Connection failed") -> None:
        super().__init__(message)


class SendError(PosewireError):
    """Data was not accepted for sending."""

    default_code = 400
    summary_limit = 50

    def __init__(self, error_type: str, message: str = "") -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.detail = message


class QueueFullError(SendError):
    """The queue is full of data that matters more."""

    default_code = 429
    summary_limit = 30

    def __init__(self, message: str = "Queue full") -> None:
        super().__init__("Queue", message)


class InvalidDataError(SendError, ValueError):
    """A setter of a sender got a value it cannot use."""

    summary_limit = 30

    def __init__(self, message: str = "Invalid data") -> None:
        super().__init__("Data", message)


class ResourceLimitError(PosewireError):
    """A limit on size, count or rate was passed."""

    default_code = 400

    def __init__(self, message: str = "Resource limit exceeded") -> None:
        super().__init__(message)


class DataValidationError(PosewireError, ValueError):
    """A field of the caller's data is wrong: which one, what it was, what was expected."""

    default_code = 400

    def __init__(self, field: str, value: Any, reason: str = "") -> None:
        super().__init__(f"Invalid {field}: {value} - {reason}")
        self.field = field
        self.value = value
        self.reason = reason


class ConfigurationError(PosewireError, ValueError):
    """A setting is wrong: its key path, its value, what is allowed."""

    default_code = 400

    def __init__(self, param: str, value: Any, message: str = "") -> None:
        super().__init__(f"Configuration error [{param}={value}]: {message}")
        self.param = param
        self.value = value
        self.detail = message


class PoseError(PosewireError):
    """A pose could not be processed."""

    default_code = 500

    def __init__(self, message: str = "Pose processing error") -> None:
        super().__init__(message)


def _tree(root: type[PosewireError]) -> dict[str, type[PosewireError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


_BY_NAME = _tree(PosewireError)


def error_from_wire(data: Any) -> PosewireError:
    """Rebuild the error that :meth:`PosewireError.to_wire` described.

    Anything that is not such a description becomes a plain ``PosewireError`` that quotes it: the other end may be
    newer than we are.
    """
    if not isinstance(data, dict):
        return PosewireError(f"the peer reported an error we cannot read: {_plain(data)}")
    code = data.get("code")
    plain = PosewireError(str(data.get("message")), code if isinstance(code, int) else None)
    fields = data.get("fields")
    cls = _BY_NAME.get(str(data.get("type")))
    if cls is None or not isinstance(fields, dict):
        return plain
    try:
        return cls(**fields)
    except TypeError:
        return plain
