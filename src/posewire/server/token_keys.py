"""The keys that tokens are signed and checked with: a secret, or a pair of PEM files."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from posewire.config import SecurityConfig
from posewire.config.section import HIDDEN
from posewire.config.sections import MIN_SECRET_BYTES
from posewire.errors import ConfigurationError

MIN_RSA_BITS: Final = 2048
"""RFC 7518, section 3.3."""

_KINDS: Final[dict[str, tuple[type[Any], ...]]] = {
    "RS256": (RSAPublicKey, RSAPrivateKey),
    "EdDSA": (Ed25519PublicKey, Ed448PublicKey, Ed25519PrivateKey, Ed448PrivateKey),
}


class TokenKeys(msgspec.Struct, frozen=True, kw_only=True):
    """One algorithm and its keys, checked.

    The algorithm is part of the keys and never comes from a token: a public key is of its own type, so it cannot be
    taken for an HMAC secret.
    """

    algorithm: str
    verifying: Any
    signing: Any
    """None: tokens can only be checked."""

    def __repr__(self) -> str:
        return f"TokenKeys({self.algorithm}, {'signs and checks' if self.signing is not None else 'checks'})"

    @classmethod
    def of_secret(cls, secret: bytes) -> Self:
        """Return the keys of HS256.

        Raises:
            ConfigurationError: The secret is too short, or no secret: somebody's public key.
        """
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigurationError("security.secret_key", HIDDEN, f"expected at least {MIN_SECRET_BYTES} bytes")
        if secret.lstrip().startswith((b"-----BEGIN", b"ssh-", b"ecdsa-")):
            problem = "is the text of a key file, not a secret; for key pairs see security.token_algorithm"
            raise ConfigurationError("security.secret_key", HIDDEN, problem)
        return cls(algorithm="HS256", verifying=secret, signing=secret)

    @classmethod
    def from_config(cls, security: SecurityConfig) -> Self:
        """Return the configured keys; without any, a new random secret. Reads the key files.

        Raises:
            ConfigurationError: A file that is missing, cannot be read, holds another kind of key or a weak one; or the
                settings do not fit together.
        """
        files = {
            name: value
            for name in ("public_key_file", "private_key_file")
            if (value := getattr(security, name)) is not None
        }
        algorithm = security.token_algorithm
        if algorithm == "HS256":
            for name, value in files.items():
                raise ConfigurationError(f"security.{name}", value, "not used by HS256; set security.token_algorithm")
            return cls.of_secret(
                secrets.token_bytes(48) if security.secret_key is None else security.secret_key.encode()
            )
        if not files:
            problem = "needs security.public_key_file, or security.private_key_file to issue tokens too"
            raise ConfigurationError("security.token_algorithm", algorithm, problem)
        private = _load(algorithm, "private_key_file", files.get("private_key_file"))
        public = _load(algorithm, "public_key_file", files.get("public_key_file"))
        if public is None:
            public = private.public_key()
        elif private is not None and private.public_key() != public:
            problem = "does not belong to security.private_key_file"
            raise ConfigurationError("security.public_key_file", files["public_key_file"], problem)
        return cls(algorithm=algorithm, verifying=public, signing=private)


def _load(algorithm: str, name: str, path: str | None) -> Any:
    if path is None:
        return None

    def wrong(problem: str) -> ConfigurationError:
        return ConfigurationError(f"security.{name}", path, problem)

    kind = "private" if name == "private_key_file" else "public"
    try:
        data = Path(path).read_bytes()
    except OSError as exc:
        raise wrong(f"cannot be read: {exc.strerror}") from exc
    try:
        key = load_pem_public_key(data) if kind == "public" else load_pem_private_key(data, password=None)
    except TypeError:
        raise wrong("is protected by a passphrase; expected one without") from None
    except (ValueError, UnsupportedAlgorithm):
        # What cryptography says about it may quote the key.
        raise wrong(f"holds no {kind} key in PEM format") from None
    if not isinstance(key, _KINDS[algorithm]):
        raise wrong(f"holds a key for something else than {algorithm}")
    if isinstance(key, RSAPublicKey | RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise wrong(f"holds a key of {key.key_size} bits; expected at least {MIN_RSA_BITS}")
    return key
