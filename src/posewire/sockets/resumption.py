"""What it takes to come back as the same session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from posewire.protocol import control

_MESSAGES: Final = 16
_BYTES: Final = 32 << 10
"""What may have come before the server is told: it remembers all that is not confirmed."""


class Resumption:
    """Counts what must come once, and keeps the token that gives our seat back.

    Args:
        tell: Writes an event to the server; not to be called while there is no connection.
    """

    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        self.received = 0
        """Journalled messages that have come since the session began."""
        self._tell = tell
        self._token = ""
        self._token_of = self._asked = ""
        """The server that gave it, and the one that was greeted last."""
        self._confirmed = 0
        self._bytes = 0
        self._greeting = False

    @property
    def elsewhere(self) -> bool:
        """Whether the server that was greeted last is another than the one that has our seat."""
        return self._token_of not in ("", self._asked)

    def hello(self, member: int = 0, *, server: str = "") -> control.Hello:
        """Return the first request of a connection. Nothing is confirmed until it is answered.

        The server takes a confirmation for a sign that the next token has come.

        Args:
            member: Our number in the room we are in, as far as we know.
            server: Whom it is for; one that did not give the token does not get to see it.
        """
        self._greeting = True
        self._asked = server
        if self.elsewhere:
            return control.Hello(resume="")
        return control.Hello(resume=self._token, received=self.received, member=member)

    def welcomed(self, welcome: control.Welcome) -> None:
        """Take the server's answer in: this is the session that it was, or another one begins."""
        self._token, self._token_of, self._greeting = welcome.resume, self._asked, False
        if not welcome.resumed:
            self.received = 0
        self.confirm()

    def count(self, size: int) -> None:
        """Take note of a journalled message of about ``size`` bytes, and tell the server before they are many."""
        self.received += 1
        self._bytes += size
        if self.received - self._confirmed >= _MESSAGES or self._bytes >= _BYTES:
            self.confirm()

    def confirm(self) -> None:
        """Tell the server how many have come."""
        if self._greeting:
            return
        self._confirmed, self._bytes = self.received, 0
        if self._token:
            self._tell(control.CONFIRM, control.to_plain(control.Confirm(received=self.received)))
