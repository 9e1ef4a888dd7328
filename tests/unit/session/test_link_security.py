"""Which links may carry plain text."""

from __future__ import annotations

import pytest

from posewire.addresses import is_loopback
from posewire.errors import SecurityError
from posewire.session.link_security import check_link


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "a.localhost", "::1", "[::1]"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    check_link(f"http://{'[::1]' if ':' in host else host}:5000", encryption_enabled=True, sealed=False)


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "example.org", "localhost.example.org", "::", ""])
def test_other_machines(host: str) -> None:
    assert not is_loopback(host)


def test_only_plain_text_off_this_machine_is_refused() -> None:
    check_link("https://example.org", encryption_enabled=True, sealed=False)
    check_link("http://example.org", encryption_enabled=False, sealed=False)
    check_link("http://example.org", encryption_enabled=True, sealed=True)
    with pytest.raises(SecurityError, match="no room key seals a password"):
        check_link("http://example.org", encryption_enabled=True, sealed=True, password=True)
    for url, encryption_enabled in (("http://localhost", True), ("https://example.org", True), ("http://a.b", False)):
        check_link(url, encryption_enabled=encryption_enabled, sealed=True, password=True)
    with pytest.raises(SecurityError, match=r"http://example\.org is not loopback"):
        check_link("http://example.org", encryption_enabled=True, sealed=False)
