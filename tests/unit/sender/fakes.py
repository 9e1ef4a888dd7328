"""A connection as the sender sees it, without a network or a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posewire.config import Config
from posewire.flow import CreditWindow
from posewire.protocol import PoseProtocol
from posewire.sockets import Event, SocketManager


class FakeLane:
    """A lane that takes everything."""

    def __init__(self) -> None:
        self.credit = CreditWindow()
        self.credited: bool | None = True


class FakeSocket(SocketManager):
    """A socket manager that is never connected, with a lane all the same; keeps what it dispatches."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config or Config(), token="none")
        self.events: list[Event] = []
        self.fake_lane: Any = FakeLane()
        self.protocol = PoseProtocol()

    @property
    def lane(self) -> Any:
        return self.fake_lane

    def dispatch(self, event: Event) -> None:
        self.events.append(event)

    def told(self, name: str) -> Callable[[Any], None]:
        """Return what is called on an event of the server."""
        return self._inbound.event_handlers[name]
