"""Issues tokens and tells good ones from bad ones."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import jwt
import msgspec

from posewire.errors import AuthError, DataValidationError
from posewire.protocol.control import Name, Role

ALGORITHM: Final = "HS256"
"""Pinned: a token that names another algorithm is refused, ``none`` included."""

_REQUIRED: Final = ("sub", "iat", "nbf", "exp", "jti")


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says.

    Attributes:
        sub: Who its holder is.
        room: The only room it is good for; None for any.
        role: What its holder wants to be.
        publish: Whether its holder may send.
        subscribe: Whether its holder may receive.
        exp: When it ends, seconds since 1970.
    """

    sub: Name
    exp: int
    room: Name | None = None
    role: Role = "member"
    publish: bool = True
    subscribe: bool = True


class TokenAuthority:
    """Signs tokens with one secret and checks them: algorithm, signature, times, and that nothing is missing.

    Args:
        secret: At least 32 bytes.
        lifetime: Seconds a token is good for unless `issue` says otherwise.
    """

    def __init__(self, secret: bytes, *, lifetime: int) -> None:
        self._secret = secret
        self._lifetime = lifetime

    def issue(
        self,
        user_id: str,
        *,
        room_id: str | None = None,
        role: Role = "member",
        publish: bool = True,
        subscribe: bool = True,
        ttl: float | None = None,
    ) -> str:
        """Return a token; ``ttl`` in seconds.

        Raises:
            DataValidationError: A name, role or time that cannot be.
        """
        ttl = self._lifetime if ttl is None else ttl
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < 1e10:
            raise DataValidationError("ttl", repr(ttl), "expected seconds, more than 0")
        now = time.time()
        claims: dict[str, Any] = {
            "sub": user_id,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + ttl),
            "jti": secrets.token_hex(8),
            "room": room_id,
            "role": role,
            "publish": publish,
            "subscribe": subscribe,
        }
        try:
            msgspec.convert(claims, Claims)
        except msgspec.ValidationError as exc:
            raise DataValidationError("token", f"sub={user_id!r}, room={room_id!r}, role={role!r}", str(exc)) from None
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def verify(self, token: Any) -> Claims:
        """Return what a token says.

        Raises:
            AuthError: It is none, not ours, expired, or not yet good.
        """
        if not isinstance(token, str) or not token:
            raise AuthError("?", "no token; expected auth={'token': …}")
        try:
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], options={"require": list(_REQUIRED)})
            return msgspec.convert(claims, Claims)
        except jwt.ExpiredSignatureError:
            raise AuthError("?", "the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise AuthError("?", "the token is not good yet; is this machine's clock right?") from None
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as exc:
            raise AuthError("?", f"the token is not accepted: {exc}") from None
