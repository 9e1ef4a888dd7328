"""The settings of a pose sender."""

from __future__ import annotations

import msgspec
import pytest

from posewire.errors import ConfigurationError
from posewire.sender.send_settings import SendSettings, checked_settings


def test_the_defaults_are_good() -> None:
    checked_settings(msgspec.to_builtins(SendSettings()))


def test_a_name_that_is_not_allowed() -> None:
    with pytest.raises(ConfigurationError, match=r"send\.b=1.*allowed: a"):
        checked_settings({"b": 1}, ("a",))


def test_waits_grow_up_to_the_timeout() -> None:
    settings = SendSettings(retry_delay=0.1, retry_backoff=2.0, timeout=1.0)
    assert [settings.retry_wait(attempt) for attempt in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert settings.retry_wait(10**6) == 1.0
    assert SendSettings(retry_delay=0.0).retry_wait(3) == 0.0
