"""An event on its way through the pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec


class ReliableEvent(msgspec.Struct):
    """An event with the future its sender waits on."""

    name: str
    data: Any
    done: asyncio.Future[Any]

    def answered(self, reply: asyncio.Future[Any]) -> None:
        """Pass the server's answer on to whoever waits for it."""
        if self.done.done() or reply.cancelled():
            return
        if (error := reply.exception()) is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(reply.result())
