"""Good tokens and bad ones."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from posewire import AuthError, DataValidationError
from posewire.server import TokenAuthority

SECRET = b"s" * 64


@pytest.fixture
def authority() -> TokenAuthority:
    return TokenAuthority(SECRET, lifetime=3600)


def test_what_is_issued_is_verified(authority: TokenAuthority) -> None:
    claims = authority.verify(
        authority.issue("alice", room_id="studio", role="host", publish=False, subscribe=True, ttl=60)
    )
    assert (claims.sub, claims.room, claims.role, claims.publish, claims.subscribe) == (
        "alice",
        "studio",
        "host",
        False,
        True,
    )
    assert claims.exp == pytest.approx(time.time() + 60, abs=5)


def test_every_token_is_another(authority: TokenAuthority) -> None:
    assert authority.issue("alice") != authority.issue("alice")


def signed(key: bytes = SECRET, algorithm: str | None = "HS256", **changes: Any) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {"sub": "alice", "iat": now, "nbf": now, "exp": now + 3600, "jti": "1"} | changes
    kept = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(kept, key if algorithm else "", algorithm=algorithm)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "no token"),
        ("", "no token"),
        (5, "no token"),
        ("x.y.z", "not accepted"),
        (signed(b"t" * 64), "Signature verification failed"),
        (signed(algorithm=None), "not accepted"),
        (signed(algorithm="HS512"), "not accepted"),
        (signed(exp=1), "expired"),
        (signed(nbf=int(time.time()) + 1000), "not good yet"),
        (signed(sub=""), "length >= 1"),
        (signed(sub=...), 'missing the "sub" claim'),
        (signed(exp=...), 'missing the "exp" claim'),
        (signed(iat=...), 'missing the "iat" claim'),
        (signed(nbf=...), 'missing the "nbf" claim'),
        (signed(jti=...), 'missing the "jti" claim'),
        (signed(role="king"), "Invalid enum value 'king'"),
        (signed(publish="yes"), "Expected `bool`"),
        (signed(room=5), "Expected `str | null`"),
    ],
)
def test_bad_tokens(authority: TokenAuthority, token: Any, message: str) -> None:
    with pytest.raises(AuthError, match=message):
        authority.verify(token)


def test_a_token_of_somebody_else_who_knows_the_secret_is_good(authority: TokenAuthority) -> None:
    assert authority.verify(signed()).sub == "alice"


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "60", True])
def test_times_that_cannot_be(authority: TokenAuthority, ttl: Any) -> None:
    with pytest.raises(DataValidationError, match="ttl"):
        authority.issue("alice", ttl=ttl)


@pytest.mark.parametrize("wrong", [{"user_id": ""}, {"room_id": "x" * 200}, {"role": "king"}, {"user_id": 5}])
def test_claims_that_cannot_be(authority: TokenAuthority, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError, match="token"):
        authority.issue(**({"user_id": "alice"} | wrong))
