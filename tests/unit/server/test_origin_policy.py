"""Which pages and which names are let in."""

from __future__ import annotations

import pytest

from posewire.server.origin_policy import OriginPolicy

LOCAL = OriginPolicy("127.0.0.1", ["https://lab.example.org"])
OPEN = OriginPolicy("0.0.0.0", ["https://App.example.org:8443"])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "127.0.0.1:5000"),
        (None, "localhost:5000"),
        (None, "[::1]:5000"),
        (None, None),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("http://localhost:3000", "127.0.0.1:5000"),
        ("http://app.localhost:3000", "localhost:5000"),
        ("https://[::1]:3000", "localhost:5000"),
        ("https://lab.example.org", "127.0.0.1:5000"),
        ("https://lab.example.org", "lab.example.org"),  # a proxy on this machine, which is named
        (None, "lab.example.org:443"),
    ],
)
def test_let_in_on_loopback(origin: str | None, host: str | None) -> None:
    assert LOCAL.refusal([origin] if origin else [], [host] if host else []) is None


@pytest.mark.parametrize(
    ("origin", "host", "words"),
    [
        ("https://evil.example", "127.0.0.1:5000", "pages of 'https://evil.example'"),
        ("null", "127.0.0.1:5000", "pages of 'null'"),
        ("file://", "localhost", "pages of"),
        ("http://127.0.0.1.evil.example", "127.0.0.1:5000", "pages of"),
        ("http://localhost.evil.example:5000", "localhost:5000", "pages of"),
        ("x", "localhost", "pages of"),
        ("http://localhost@evil.example", "localhost", "pages of"),
        ("http://lab.example.org", "127.0.0.1", "pages of"),  # allowed with https only
        # DNS rebinding: the page's own name means this machine now, so to the browser it is the same origin.
        ("http://evil.example:5000", "evil.example:5000", "not for this machine"),
        (None, "evil.example:5000", "not for this machine"),
        (None, "127.0.0.1.evil.example", "not for this machine"),
        (None, "localhost@evil.example", "not for this machine"),
        (None, "192.168.0.1", "not for this machine"),
        (None, "[", "not for this machine"),
        (None, "", "not for this machine"),
    ],
)
def test_refused_on_loopback(origin: str | None, host: str, words: str) -> None:
    assert words in (LOCAL.refusal([origin] if origin else [], [host]) or "")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "poses.example.org"),
        (None, "192.0.2.1:5000"),
        ("https://poses.example.org", "poses.example.org"),
        ("https://Poses.example.org", "poses.Example.org"),
        ("http://192.0.2.1:5000", "192.0.2.1:5000"),
        ("https://app.example.org:8443", "poses.example.org"),
    ],
)
def test_let_in_off_loopback(origin: str | None, host: str) -> None:
    assert OPEN.refusal([origin] if origin else [], [host]) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "poses.example.org"),
        ("http://localhost:3000", "poses.example.org"),
        ("http://127.0.0.1", "192.0.2.1"),
        ("https://app.example.org", "poses.example.org"),  # another port
        ("https://poses.example.org:444", "poses.example.org"),
        ("https://poses.example.org.evil.example", "poses.example.org"),
        ("null", "poses.example.org"),
        ("https://", ""),
        ("poses.example.org", "poses.example.org"),
        ("ftp://poses.example.org", "poses.example.org"),
    ],
)
def test_refused_off_loopback(origin: str, host: str) -> None:
    assert "may not connect" in (OPEN.refusal([origin], [host]) or "")


def test_more_than_one_of_a_header_is_refused() -> None:
    both = ["http://localhost", "https://evil.example"]
    for policy in (LOCAL, OPEN):
        assert policy.refusal(both, ["localhost"])
        assert policy.refusal([], ["localhost", "evil.example"])


def test_what_a_stranger_sent_is_not_repeated_at_length() -> None:
    assert len(LOCAL.refusal(["https://" + "x" * 8000], ["localhost"]) or "") < 200
    assert len(LOCAL.refusal([], ["x" * 8000]) or "") < 200
