"""Issues tokens and tells good ones from bad ones."""

from __future__ import annotations

import secrets
import time
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, Final, Self

import jwt
import msgspec
from msgspec import Meta

from posewire.config import SecurityConfig
from posewire.errors import AuthError, ConfigurationError, DataValidationError
from posewire.protocol.room_view import Name, Role
from posewire.server.token_keys import TokenKeys
from posewire.values import is_number, plain, shown

MAX_TOKEN_CHARS: Final = 8192
"""Longer ones are refused unread; ours have some 350 characters, or 700 with RS256."""
DEFAULT_MAX_LIFETIME: Final = 2_592_000.0
"""Seconds: 30 days."""

_REQUIRED: Final = ("sub", "iat", "nbf", "exp", "jti")
# PyJWT cuts fractions off and takes texts for numbers; we look at the times ourselves, with one clock.
_OPTIONS: Final[Any] = {"require": list(_REQUIRED), "verify_exp": False, "verify_nbf": False, "verify_iat": False}

Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since 1970; a NumericDate of RFC 7519 may have a fraction."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says; times in seconds since 1970.

    Attributes:
        sub: Who its holder is.
        exp: When it ends.
        iat: When it was made: what was revoked later is not good. 0 is older than any revocation.
        nbf: When it begins.
        jti: Its own name.
        room: The only room it is good for; None for any.
        role: The most its holder may be.
        publish: Whether its holder may send.
        subscribe: Whether its holder may receive.
        moderate: Whether its holder may kick, ban and mute.
    """

    sub: Name
    exp: Moment
    iat: Moment = 0.0
    nbf: Moment = 0.0
    jti: Annotated[str, Meta(max_length=256)] = ""
    room: Name | None = None
    role: Role = "member"
    publish: bool = True
    subscribe: bool = True
    moderate: bool = False


class TokenAuthority:
    """Signs tokens and checks them: algorithm, signature, times, and that nothing is missing.

    Args:
        keys: What tokens are signed and checked with; bytes are a secret for HS256, 32 at least.
        lifetime: Seconds a token is good for unless `issue` says otherwise.
        max_lifetime: Seconds no token is good for longer than; ``lifetime`` if that is more.
        leeway: Seconds that the clock of another issuer may be off.
        now: Wall clock, seconds since 1970.

    Raises:
        ConfigurationError: A key that will not do.
    """

    def __init__(
        self,
        keys: TokenKeys | bytes,
        *,
        lifetime: float,
        max_lifetime: float = DEFAULT_MAX_LIFETIME,
        leeway: float = 0.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = TokenKeys.of_secret(keys) if isinstance(keys, bytes) else keys
        self._lifetime = lifetime
        self._leeway = leeway
        self._now = now
        self.max_lifetime = max(lifetime, max_lifetime)
        """Seconds no token is good for longer than."""

    @classmethod
    def from_config(cls, security: SecurityConfig) -> Self:
        """Return the authority that the settings describe; reads the key files.

        Raises:
            ConfigurationError: A key or its file will not do.
        """
        return cls(
            TokenKeys.from_config(security),
            lifetime=security.token_expiry,
            max_lifetime=security.token_max_lifetime,
            leeway=security.clock_leeway / 1000,
        )

    @property
    def can_issue(self) -> bool:
        """Whether there is a key to sign with."""
        return self._keys.signing is not None

    def issue(
        self,
        user_id: str,
        *,
        room_id: str | None = None,
        role: Role = "member",
        publish: bool = True,
        subscribe: bool = True,
        moderate: bool = False,
        ttl: float | None = None,
        made: float | None = None,
    ) -> str:
        """Return a token.

        Args:
            user_id: Who its holder is.
            room_id: The only room it is good for; None for any.
            role: The most its holder may be.
            publish: Whether its holder may send.
            subscribe: Whether its holder may receive.
            moderate: Whether its holder may kick, ban and mute.
            ttl: Seconds it is good for; None is the lifetime.
            made: When what it rests on was looked at, seconds since 1970: what was revoked later holds against it.
                None is now.

        Raises:
            DataValidationError: A name, role or time that cannot be.
            ConfigurationError: There is only a public key.
        """
        if self._keys.signing is None:
            problem = "needed to issue tokens; this server only checks those of another issuer"
            raise ConfigurationError("security.private_key_file", None, problem)
        ttl = self._lifetime if ttl is None else plain(ttl)
        if not is_number(ttl) or not 0 < ttl <= self.max_lifetime:
            most = f"at most {self.max_lifetime:g} (security.token_max_lifetime)"
            raise DataValidationError("ttl", shown(ttl), f"expected seconds, more than 0, {most}")
        now = self._now() if made is None else made
        claims: dict[str, Any] = {
            "sub": user_id,
            "iat": now,
            "nbf": now,
            "exp": now + ttl,
            "jti": secrets.token_hex(8),
            "room": room_id,
            "role": role,
            "publish": publish,
            "subscribe": subscribe,
            "moderate": moderate,
        }
        try:
            msgspec.convert(claims, Claims)
        except msgspec.ValidationError as exc:
            raise DataValidationError("token", f"sub={user_id!r}, room={room_id!r}, role={role!r}", str(exc)) from None
        return jwt.encode(claims, self._keys.signing, algorithm=self._keys.algorithm)

    def verify(self, token: Any) -> Claims:
        """Return what a token says. Never waits.

        Raises:
            AuthError: It is none, not ours, expired, not yet good, or made for too long.
        """
        if not isinstance(token, str) or not token:
            raise AuthError("?", "no token; expected auth={'token': …}")
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise AuthError("?", f"the token is not accepted: expected at most {MAX_TOKEN_CHARS} ASCII characters")
        try:
            decoded = jwt.decode(token, self._keys.verifying, algorithms=[self._keys.algorithm], options=_OPTIONS)
            claims = msgspec.convert(decoded, Claims)
        # PyJWT 2.9 lets a RecursionError of the JSON decoder out.
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as exc:
            raise AuthError("?", f"the token is not accepted: {str(exc)[:200]}") from None
        self._check_times(claims)
        # Two names that look the same are the same.
        return msgspec.structs.replace(claims, sub=unicodedata.normalize("NFC", claims.sub))

    def _check_times(self, claims: Claims) -> None:
        now = self._now()
        if claims.exp <= now - self._leeway:
            raise AuthError("?", "the token has expired")
        # One made in the future could not be revoked now.
        if max(claims.nbf, claims.iat) > now + self._leeway:
            raise AuthError("?", "the token is not good yet; is this machine's clock right?")
        # Some issuers round up or down.
        if claims.exp - claims.iat > self.max_lifetime + 1:
            problem = f"the token is not accepted: made for longer than {self.max_lifetime:g} s"
            raise AuthError("?", problem)
