"""What a client's messages have to be like, whatever they come by."""

from __future__ import annotations

from typing import Final

from posewire.errors import ProtocolError
from posewire.protocol.client_message import check_client_message
from posewire.protocol.default_parser import DefaultParser
from posewire.server.admission import Bucket

_TEXT_PACKETS: Final = ("1", "2", "3", "5", "6")
"""engine.io's close, ping, pong, upgrade and noop: all that a client of the msgpack parser sends as text."""
_MESSAGE: Final = "4"
_LONGEST_TEXT: Final = 16
_EARLY_MESSAGES: Final = 8
"""Messages of a connection that is not let in: one says who it is."""


class MessageGate:
    """Checks each message of one connection before it is decoded, and finds out which parser its client has.

    The first message of Socket.IO tells: it is text with the default parser, and bytes with that of msgpack. Behind the
    gate all are msgpack.

    Args:
        rate: Messages a second that are handled; more are to wait.
        burst: How many may come at once.
        now: Monotonic seconds.

    Attributes:
        parser: Of a client of the default parser.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.parser: DefaultParser | None = None
        self._told = False
        self._early = 0
        self._pace = Bucket(rate, burst, now)

    def take(self, data: str | bytes) -> str | bytes | None:
        """Take a message as it came.

        Returns:
            One of engine.io's own as it is; a packet of Socket.IO in msgpack; None when it is not whole yet.

        Raises:
            ProtocolError: It is neither, or not what comes next. The connection is to be closed then.
        """
        if isinstance(data, str):
            if data[:1] != _MESSAGE:
                if len(data) > _LONGEST_TEXT or data[:1] not in _TEXT_PACKETS:
                    raise ProtocolError("engine.io", "a text frame that is no packet of engine.io")
                return data
            if self.parser is None:
                if self._told:
                    raise ProtocolError("socket.io", "text, from a client that spoke msgpack")
                self.parser = DefaultParser()
            self._told = True
            return self.parser.text(data[1:])
        self._told = True
        return data if self.parser is None else self.parser.attachment(data)

    def ready(self, now: float) -> bool:
        """Whether the next message need not wait."""
        return self._pace.settle(now) >= 1.0

    def passed(self) -> None:
        """Count a message that was `ready`, and checked elsewhere."""
        self._pace.left -= 1.0

    def check(self, data: str | bytes, now: float, *, let_in: bool) -> float:
        """Check what `take` gave, unless it is a frame; returns for how many seconds it is to wait.

        Raises:
            ProtocolError: With a ``reason``: ``oversized``, ``damaged``, ``stranger_too_long``.
        """
        if isinstance(data, bytes):
            check_client_message(data)
        if not let_in:
            self._early += 1
            if self._early > _EARLY_MESSAGES:
                raise ProtocolError(
                    "socket.io", "too many messages before the one that says who it is", reason="stranger_too_long"
                )
        if delay := self._pace.take(now):
            self._pace.left -= 1.0
        return delay
