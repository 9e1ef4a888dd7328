"""Callbacks of alerts: run, owned, and unable to hurt anybody."""

from __future__ import annotations

import asyncio
import logging

import pytest

from posewire.lifetime import cancel_and_wait, own
from posewire.monitor import Alert, AlertManager
from posewire.session.alert_runner import AlertRunner
from posewire.sockets import Event


def opened(alerts: AlertManager, events: list[Event] | None = None) -> AlertRunner:
    runner = AlertRunner(alerts, (events if events is not None else []).append)
    runner.open()
    return runner


def manager() -> AlertManager:
    return AlertManager(samples=1, cooldown=0)


async def test_sync_and_async_callbacks_and_the_event() -> None:
    alerts, events, told = manager(), list[Event](), list[tuple[str, Alert]]()
    runner = opened(alerts, events)

    async def later(alert: Alert) -> None:
        await asyncio.sleep(0)
        told.append(("async", alert))

    words: list[tuple[str, str]] = []
    alerts.add_callback(lambda alert: told.append(("sync", alert)))
    alerts.add_callback(later)
    alerts.set_callback(lambda name, message: words.append((name, message)))
    (alert,) = alerts.evaluate({"latency": 1.0}, 5.0)
    assert events == [Event(name="alert", data=alert)]
    assert told == []  # whoever evaluates does not wait for callbacks
    while len(told) < 2:
        await asyncio.sleep(0)
    assert dict(told) == {"sync": alert, "async": alert}
    assert words == [("latency", alert.message)]
    await runner.close()
    alerts.evaluate({"latency": 0.0}, 6.0)
    await asyncio.sleep(0)
    assert len(events) == 1


async def test_a_callback_that_fails_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    alerts, told = manager(), list[Alert]()
    runner = opened(alerts)

    def fails(alert: Alert) -> None:
        raise ZeroDivisionError("on purpose")

    async def fails_later(alert: Alert) -> None:
        await asyncio.sleep(0)
        raise KeyError("on purpose")

    for callback in (fails, fails_later, told.append):
        alerts.add_callback(callback)
    alerts.evaluate({"latency": 1.0}, 0.0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(told) == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info[0] for record in errors if record.exc_info] == [ZeroDivisionError, KeyError]
    assert "posewire.alert.latency" in errors[0].getMessage()
    await runner.close()


async def test_closing_ends_what_runs() -> None:
    alerts, ended = manager(), list[str]()
    runner = opened(alerts)

    async def forever(alert: Alert) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(alert.name)

    alerts.add_callback(forever)
    alerts.evaluate({"latency": 1.0, "cpu_usage": 99.0}, 0.0)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert names >= {"posewire.alert.latency", "posewire.alert.cpu_usage"}
    await asyncio.sleep(0)
    await runner.close()
    assert sorted(ended) == ["cpu_usage", "latency"]


async def test_callbacks_that_never_end_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    alerts = manager()
    runner = opened(alerts)
    waiting = asyncio.Event()

    async def forever(alert: Alert) -> None:
        await waiting.wait()

    alerts.add_callback(forever)
    for now in range(100):
        alerts.evaluate({"latency": float((now + 1) % 2)}, float(now))
    assert runner.untold == 36
    assert len([task for task in asyncio.all_tasks() if task.get_name() == "posewire.alert.latency"]) == 64
    assert "was not told" in caplog.text
    await runner.close()


async def test_one_that_closes_what_owns_it_does_not_wait_for_itself() -> None:
    """As ``session.aclose()`` in a callback: the session waits for the callback, so that one must not wait in turn."""
    alerts, done = manager(), asyncio.Event()

    async def session() -> None:
        own()
        runner = opened(alerts)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.close()

    async def close(alert: Alert) -> None:
        await cancel_and_wait(owner)
        done.set()

    owner = asyncio.create_task(session())
    await asyncio.sleep(0)
    alerts.add_callback(close)
    alerts.evaluate({"latency": 1.0}, 0.0)  # by somebody who is not the session's
    async with asyncio.timeout(10):
        await asyncio.wait([owner])
    assert done.is_set()
