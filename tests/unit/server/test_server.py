"""What a server refuses to start with."""

from __future__ import annotations

from typing import Any

import pytest

import posewire
from posewire import ConfigurationError

SECRET = "kJ3-vW9_qLr7tXz2bN5mHc8pYd4sGf6a"


def test_no_server_off_loopback_without_a_secret() -> None:
    for host in ("0.0.0.0", "::", "192.168.0.1", "example.org"):
        with pytest.raises(ConfigurationError, match=r"security\.secret_key=None.*make one with"):
            posewire.serve(host=host, config=posewire.Config())
    strong = posewire.Config(security=posewire.SecurityConfig(secret_key=SECRET))
    assert posewire.serve(host="0.0.0.0", port=1, config=strong).url == "http://0.0.0.0:1"
    assert posewire.serve(host="::1", port=1, config=posewire.Config()).url == "http://[::1]:1"


@pytest.mark.parametrize("port", [-1, 65_536, "80", 1.5, True])
def test_ports_that_cannot_be(port: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected 0 to 65535"):
        posewire.serve(port=port, config=posewire.Config())


async def test_an_address_that_is_not_ours() -> None:
    strong = posewire.Config(security=posewire.SecurityConfig(secret_key=SECRET))
    with pytest.raises(posewire.ConnectionError, match="cannot listen on"):
        async with posewire.serve(host="192.0.2.1", config=strong):
            pass


async def test_closing_twice_and_before_opening() -> None:
    server = posewire.serve(config=posewire.Config())
    await server.aclose()
    async with server:
        assert server.port > 0
        await server.aclose()
    await server.aclose()
