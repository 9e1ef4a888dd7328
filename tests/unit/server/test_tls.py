"""Files of TLS that will not do, and what is said about them. That it works is in tests/connect/test_tls.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from posewire.config import Config, ServerConfig
from posewire.errors import ConfigurationError
from posewire.server import serve
from posewire.server.tls import server_context
from posewire.sockets.trust import client_context
from tests.connect.test_tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "posewire-test")


def test_files_that_will_not_do(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("one", "127.0.0.1")
    _, other = authority.issue("two", "127.0.0.1")
    _, encrypted = authority.issue("three", "127.0.0.1", password=b"secret")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for cert_file, key_file, setting, words in (
        (str(tmp_path / "none"), key, "tls_cert", "cannot be read: No such file"),
        (cert, str(tmp_path / "none"), "tls_key", "cannot be read: No such file"),
        (cert, str(tmp_path), "tls_key", "cannot be read: Is a directory"),
        (key, key, "tls_cert", "expected PEM with a certificate"),
        (cert, cert, "tls_key", "expected PEM with a private key"),
        (cert, other, "tls_key", f"is not the key of the certificate in {cert}"),
        (cert, encrypted, "tls_key", "is encrypted; expected a key without a password"),
        (str(nonsense), key, "tls_cert", "cannot be used with"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            server_context(cert_file, key_file)
        assert caught.value.param == f"server.{setting}"
        assert words in caught.value.detail
    server_context(cert, key)


async def test_a_server_with_such_files_does_not_start(tmp_path: Path) -> None:
    none = str(tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"server\.tls_cert=.*none\.pem.*cannot be read"):
        async with serve(config=Config(server=ServerConfig(tls_cert=none, tls_key=none))):
            pass


def test_authorities_that_will_not_do(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file, words in ((empty, "expected PEM with certificates"), (tmp_path / "none", "cannot be read: No such")):
        with pytest.raises(ConfigurationError, match=rf"socket\.ca_file=.*{words}"):
            client_context(str(file))
    assert client_context(None) is True, "aiohttp's own, which verifies"
    first = client_context(authority.file)
    assert client_context(authority.file) is first, "made once"
    with Path(authority.file).open("a") as file_again:
        file_again.write("\n")
    assert client_context(authority.file) is not first, "and again when the file changed"
