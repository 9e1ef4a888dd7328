"""The way to a client that speaks Socket.IO's default parser."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from posewire.server.fast_path import Outgoing
from posewire.server.mail import Mail
from posewire.server.outlet import Outlet


class DefaultOutlet(Outlet):
    """An `Outlet` that writes text and attachments, made once for all such clients.

    It is never `ready` for the bytes that all others are written, so those do not pay for its being here: `post_all`
    then asks it to keep the frame, and that is when it writes its own.
    """

    def ready(self, size: int, now: float) -> Callable[[bytes], None] | None:
        """Return None: what is written to the others is of no use here."""
        return None

    def keep(self, mail: Mail, recent: deque[int], now: float) -> bool:
        """Write a frame at once if it may go, else keep it; see `Outlet.keep`."""
        wire = self.wire_of(mail.outgoing)
        write = super().ready(len(wire), now)
        if write is None:
            return super().keep(mail, recent, now)
        write(wire)
        self.wrote(len(wire), now)
        return True

    def wire_of(self, outgoing: Outgoing) -> bytes:
        """Return a message as this client is sent it."""
        return outgoing.default_wire
