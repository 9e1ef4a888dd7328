"""The server's end of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

from posewire.errors import ConfigurationError


def server_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    """Return TLS 1.2 and newer, with forward secrecy and authenticated encryption only.

    Args:
        cert_file: PEM: the certificate, then those between it and its root.
        key_file: PEM: its private key, not encrypted.

    Raises:
        ConfigurationError: A file cannot be read or is none of these, or the two do not match.
    """
    for setting, file in (("server.tls_cert", cert_file), ("server.tls_key", key_file)):
        try:
            text = Path(file).read_bytes()
        except OSError as exc:
            raise ConfigurationError(setting, file, f"cannot be read: {exc.strerror}") from exc
        kind = b"CERTIFICATE" if setting.endswith("cert") else b"PRIVATE KEY"
        if kind + b"-----" not in text:
            raise ConfigurationError(setting, file, f"expected PEM with a {kind.decode().lower()}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2; 1.3 has no others
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    encrypted = False

    def no_password() -> str:
        # Asked for when the key is encrypted; without this OpenSSL would ask on the terminal, and wait.
        nonlocal encrypted
        encrypted = True
        return ""

    try:
        context.load_cert_chain(cert_file, key_file, no_password)
    except (ssl.SSLError, OSError) as exc:
        if encrypted:
            raise ConfigurationError(
                "server.tls_key", key_file, "is encrypted; expected a key without a password"
            ) from exc
        if isinstance(exc, ssl.SSLError) and exc.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of the certificate in {cert_file}"
            raise ConfigurationError("server.tls_key", key_file, why) from exc
        why = f"cannot be used with {key_file}: {exc}"
        raise ConfigurationError("server.tls_cert", cert_file, why) from exc
    return context
