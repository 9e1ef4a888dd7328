"""Tells alerts to whoever wants to know."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from typing import Final

from posewire.lifetime import cancel_and_wait, failure_of
from posewire.monitor import Alert, AlertManager
from posewire.monitor.alert_manager import Callback
from posewire.sockets import Event

logger = logging.getLogger(__name__)

_MOST_RUNNING: Final = 64
"""Callbacks that may run at once; one that never ends must not gather more and more of itself."""


class AlertRunner:
    """Calls the callbacks of an `AlertManager`, each in a task of its own, and dispatches the event ``alert``.

    An exception in a callback is logged with the alert's name and ends nothing. At most 64 run at once; then an alert
    is not told, counted in `untold`.

    Args:
        alerts: Whose callbacks.
        dispatch: Takes the event.
    """

    def __init__(self, alerts: AlertManager, dispatch: Callable[[Event], None]) -> None:
        self.untold = 0
        self._alerts = alerts
        self._dispatch = dispatch
        self._running: set[asyncio.Task[None]] = set()
        self._context: contextvars.Context | None = None

    def open(self) -> None:
        """Tell from here on."""
        # Callbacks run in the session's context, whoever asks for a look: one that closes the session then knows that
        # the session waits for it, and does not wait for the session in turn (see `posewire.lifetime.own`).
        self._context = contextvars.copy_context()
        self._alerts.on_alert = self._tell

    async def close(self) -> None:
        """Tell no more, and end the callbacks that run. Waits for their clean-up."""
        self._alerts.on_alert = None
        for task in tuple(self._running):
            await cancel_and_wait(task)

    def _tell(self, alert: Alert) -> None:
        logger.info("alert %s: %s", alert.state, alert.message)
        self._dispatch(Event(name="alert", data=alert))
        for callback in self._alerts.callbacks:
            if len(self._running) >= _MOST_RUNNING:
                self.untold += 1
                logger.warning("alert %r was not told: %d callbacks still run", alert.name, _MOST_RUNNING)
                return
            assert self._context is not None
            task = asyncio.get_running_loop().create_task(
                _call(callback, alert), name=f"posewire.alert.{alert.name}", context=self._context.copy()
            )
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if (error := failure_of(task)) is not None:
            logger.error("a callback of %s failed", task.get_name(), exc_info=error)


async def _call(callback: Callback, alert: Alert) -> None:
    result = callback(alert)
    if inspect.isawaitable(result):
        await result
