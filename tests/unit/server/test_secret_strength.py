"""Secrets that a stranger would try, off loopback."""

from __future__ import annotations

import secrets

import pytest

from posewire.config import Config, SecurityConfig
from posewire.errors import ConfigurationError
from posewire.server import serve
from posewire.server.secret_strength import HOW_TO_MAKE_ONE, weakness


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("s" * 48, "1 distinct bytes"),
        ("abababab" * 6, "2 distinct bytes"),
        ("0123456789abcdef" * 3, "one piece over and over"),
        ("changeme-changeme-now-it-is-long-enough", "placeholder"),
        ("Change_Me_before_you_go_to_production!", "placeholder"),
        ("your-secret-key-goes-here-0123456789", "placeholder"),
        ("MyPassword-1234567890-abcdefghijkl", "placeholder"),
        ("abcdefghijklmnopqrstuvwxyz{|}~\x7f\x80\x81", "alphabet"),
        ("zyxwvutsrqponmlkjihgfedcba`_^]\\[ZYX", "alphabet"),
    ],
)
def test_an_obvious_secret_is_refused_off_loopback_only(secret: str, words: str) -> None:
    config = Config(security=SecurityConfig(secret_key=secret))
    serve(config=config)
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(ConfigurationError) as caught:
            serve(host=host, config=config)
        assert words in caught.value.detail
        assert HOW_TO_MAKE_ONE in caught.value.detail
        assert secret not in str(caught.value), "it is not shown"


def test_what_we_tell_people_to_make_is_never_refused() -> None:
    for _ in range(200):
        assert weakness(secrets.token_urlsafe(48)) is None
        assert weakness(secrets.token_hex(16)) is None
    assert weakness("correct-horse-battery-staple-and-a-window") is None
