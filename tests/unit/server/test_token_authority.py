"""Good tokens and bad ones."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from posewire import AuthError, ConfigurationError, DataValidationError, SecurityConfig
from posewire.server import TokenAuthority
from posewire.server.token_keys import TokenKeys

SECRET = b"s" * 64
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, Any] = {"RS256": RSA, "EdDSA": ED}


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    if hasattr(key, "private_bytes"):
        lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture
def authority() -> TokenAuthority:
    return TokenAuthority(SECRET, lifetime=3600)


def test_what_is_issued_is_verified(authority: TokenAuthority) -> None:
    claims = authority.verify(
        authority.issue("alice", room_id="studio", role="host", publish=False, subscribe=True, moderate=True, ttl=60)
    )
    said = (claims.sub, claims.room, claims.role, claims.publish, claims.subscribe, claims.moderate)
    assert said == ("alice", "studio", "host", False, True, True)
    assert claims.exp == pytest.approx(time.time() + 60, abs=5)
    assert not authority.verify(authority.issue("alice")).moderate


def test_times_keep_their_fractions() -> None:
    now = 1_700_000_000.25
    authority = TokenAuthority(SECRET, lifetime=3600, now=lambda: now)
    token = authority.issue("alice", ttl=0.5)
    claims = authority.verify(token)
    assert (claims.iat, claims.nbf, claims.exp) == (1_700_000_000.25, 1_700_000_000.25, 1_700_000_000.75)
    now = 1_700_000_000.74
    authority.verify(token)
    now = 1_700_000_000.75
    with pytest.raises(AuthError, match="expired"):
        authority.verify(token)
    now = 1_700_000_000.24
    with pytest.raises(AuthError, match="not good yet"):
        authority.verify(token)


def test_every_token_is_another(authority: TokenAuthority) -> None:
    tokens = [authority.issue("alice") for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert len({authority.verify(token).jti for token in tokens}) == 2


def signed(key: Any = SECRET, algorithm: str | None = "HS256", **changes: Any) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {"sub": "alice", "iat": now, "nbf": now, "exp": now + 3600, "jti": "1"} | changes
    kept = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(kept, key if algorithm else "", algorithm=algorithm)


def raw(payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}', key: bytes = SECRET) -> str:
    """Sign any bytes, whatever they say."""
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = hmac.digest(key, text, hashlib.sha256)
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def test_raw_signs_as_jwt_does(authority: TokenAuthority) -> None:
    now = time.time()
    payload = {"sub": "alice", "iat": now, "nbf": now, "exp": now + 60, "jti": "1"}
    assert authority.verify(raw(json.dumps(payload).encode())).sub == "alice"


def times(text: str) -> str:
    return raw(f'{{"sub":"alice","iat":0,"nbf":0,"exp":{text},"jti":"1"}}'.encode())


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "no token"),
        ("", "no token"),
        (5, "no token"),
        (b"x.y.z", "no token"),
        ("x.y.z", "not accepted"),
        ("ü.y.z", "ASCII"),
        ("\ud800.y.z", "ASCII"),
        ("x" * 8193, "at most 8192"),
        (signed(b"t" * 64), "Signature verification failed"),
        (signed(algorithm=None), "not accepted"),
        (signed(algorithm="HS512"), "not accepted"),
        (signed(RSA, algorithm="RS256"), "not accepted"),
        (raw(b"{}", b'{"alg":"none"}'), "not accepted"),
        (raw(b"{}", b'{"alg":"NONE"}'), "not accepted"),
        (raw(b"{}", b'{"alg":["HS256"]}'), "not accepted"),
        (raw(b"{}", b'{"alg":"HS256","crit":["x"]}'), "not accepted"),
        (raw(b"{}", b'{"alg":"HS256","b64":false}'), "not accepted"),
        (raw(b"[" * 4000), "not accepted"),
        (raw(b"{}", b"[" * 4000), "not accepted"),
        (raw(b"\xff{}"), "not accepted"),
        (raw(b"[]"), "not accepted"),
        (signed(exp=1), "expired"),
        (signed(nbf=int(time.time()) + 1000), "not good yet"),
        (signed(iat=int(time.time()) + 1000), "not good yet"),
        (signed(exp=int(time.time()) + 30 * 86_400 + 100), "made for longer than 2.592e\\+06 s"),
        (signed(iat=int(time.time()) - 30 * 86_400), "made for longer than"),
        (signed(sub=""), "length >= 1"),
        (signed(sub="a\nb"), "matching regex"),
        (signed(sub=...), 'missing the "sub" claim'),
        (signed(exp=...), 'missing the "exp" claim'),
        (signed(iat=...), 'missing the "iat" claim'),
        (signed(nbf=...), 'missing the "nbf" claim'),
        (signed(jti=...), 'missing the "jti" claim'),
        (signed(jti="x" * 257), "length <= 256"),
        (signed(aud="another service"), "not accepted"),
        (signed(role="king"), "Invalid enum value 'king'"),
        (signed(publish="yes"), "Expected `bool`"),
        (signed(moderate=1), "Expected `bool`"),
        (signed(room=5), "Expected `str | null`"),
        (signed(exp=str(int(time.time()) + 60)), "Expected `float`"),
        (signed(exp=True), "Expected `float`"),
        (signed(iat=-1), "Expected `float` >= 0"),
        (times("NaN"), "Expected `float`"),
        (times("Infinity"), "Expected `float`"),
        (times("-Infinity"), "Expected `float`"),
        (times("1e400"), "Expected `float`"),
        (times("9" * 400), "not accepted"),
        (times("9" * 5000), "not accepted"),
        (times("[]"), "Expected `float`"),
    ],
)
def test_bad_tokens(authority: TokenAuthority, token: Any, message: str) -> None:
    with pytest.raises(AuthError, match=message) as caught:
        authority.verify(token)
    assert len(str(caught.value)) < 400, "a stranger's token is not quoted at length"


def test_a_token_of_somebody_else_who_knows_the_secret_is_good(authority: TokenAuthority) -> None:
    assert authority.verify(signed()).sub == "alice"


GOOD = TokenAuthority(SECRET, lifetime=3600).issue("alice")


@given(
    st.one_of(
        st.text(max_size=300),
        st.tuples(st.integers(0, len(GOOD) - 1), st.characters()).map(lambda d: GOOD[: d[0]] + d[1] + GOOD[d[0] + 1 :]),
        st.integers(0, len(GOOD) - 1).map(lambda end: GOOD[:end]),
        st.binary(max_size=60).map(raw),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        ).map(
            lambda value: raw(json.dumps({"sub": value, "iat": value, "nbf": 0, "exp": value, "jti": value}).encode())
        ),
    )
)
def test_damaged_tokens_are_refused_in_one_way_only(token: str) -> None:
    authority = TokenAuthority(SECRET, lifetime=3600)
    if token == GOOD:
        return
    # The last character of a signature has bits that mean nothing; such a token says the same.
    with contextlib.suppress(AuthError):
        assert authority.verify(token) == authority.verify(GOOD)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "60", True, 2_592_001])
def test_times_that_cannot_be(authority: TokenAuthority, ttl: Any) -> None:
    with pytest.raises(DataValidationError, match="ttl"):
        authority.issue("alice", ttl=ttl)


@pytest.mark.parametrize(
    "wrong", [{"user_id": ""}, {"room_id": "x" * 200}, {"role": "king"}, {"user_id": 5}, {"moderate": 1}]
)
def test_claims_that_cannot_be(authority: TokenAuthority, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError, match="token"):
        authority.issue(**({"user_id": "alice"} | wrong))


def test_an_issuer_whose_clock_is_ahead_or_behind() -> None:
    now = 1_700_000_000.0
    ahead = TokenAuthority(SECRET, lifetime=60, now=lambda: now + 2).issue("alice")
    behind = TokenAuthority(SECRET, lifetime=60, now=lambda: now - 62).issue("alice")
    strict = TokenAuthority(SECRET, lifetime=60, now=lambda: now)
    lenient = TokenAuthority(SECRET, lifetime=60, leeway=2.1, now=lambda: now)
    for token in (ahead, behind):
        assert lenient.verify(token).sub == "alice"
        with pytest.raises(AuthError, match=r"not good yet|expired"):
            strict.verify(token)


def test_a_lifetime_over_the_longest_counts() -> None:
    authority = TokenAuthority(SECRET, lifetime=200, max_lifetime=100)
    assert authority.max_lifetime == 200
    authority.verify(authority.issue("alice"))


# Key pairs -----------------------------------------------------------------------------------------------------------


def written(folder: Path, **files: bytes) -> dict[str, str]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: str(folder / name) for name in files}


def pair(folder: Path, algorithm: str, *, private: bool = True) -> TokenAuthority:
    key = KEYS[algorithm]
    files = {"public_key_file": pem(key.public_key())} | ({"private_key_file": pem(key)} if private else {})
    settings: Any = {"token_algorithm": algorithm} | written(folder, **files)
    return TokenAuthority.from_config(SecurityConfig(**settings))


@pytest.mark.parametrize("algorithm", KEYS)
def test_whoever_has_the_private_key_issues_and_whoever_has_the_public_key_verifies(
    tmp_path: Path, algorithm: str
) -> None:
    token = pair(tmp_path, algorithm).issue("alice", moderate=True)
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    verifier = pair(tmp_path, algorithm, private=False)
    assert verifier.verify(token).moderate
    assert not verifier.can_issue
    with pytest.raises(ConfigurationError, match=r"security\.private_key_file"):
        verifier.issue("alice")
    alone: Any = {"token_algorithm": algorithm, "private_key_file": str(tmp_path / "private_key_file")}
    assert TokenAuthority.from_config(SecurityConfig(**alone)).verify(token).sub == "alice"


@pytest.mark.parametrize("algorithm", KEYS)
def test_no_other_algorithm_is_accepted(tmp_path: Path, algorithm: str) -> None:
    verifier = pair(tmp_path, algorithm, private=False)
    public = pem(KEYS[algorithm].public_key())
    now = int(time.time())
    payload = json.dumps({"sub": "alice", "iat": now, "nbf": now, "exp": now + 60, "jti": "1"}).encode()
    other = next(each for each in KEYS if each != algorithm)
    forged = [
        raw(payload, key=public),  # the public key, which everybody knows, as an HMAC secret
        raw(payload, key=public.strip()),
        raw(payload, f'{{"alg":"{algorithm}"}}'.encode(), key=public),
        signed(algorithm=None),
        signed(),
        signed(KEYS[other], algorithm=other),
        signed(rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256"),
        signed(ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA"),
    ]
    for token in forged:
        with pytest.raises(AuthError, match="not accepted"):
            verifier.verify(token)
    assert verifier.verify(signed(KEYS[algorithm], algorithm=algorithm)).sub == "alice"


@pytest.mark.parametrize(
    ("settings", "files", "message"),
    [
        ({"token_algorithm": "RS256"}, {}, r"security\.token_algorithm=RS256.*needs security\.public_key_file"),
        ({"token_algorithm": "RS256", "public_key_file": "/missing"}, {}, r"public_key_file=/missing.*No such file"),
        ({"token_algorithm": "RS256", "public_key_file": "/"}, {}, r"public_key_file=/\].*cannot be read"),
        ({"token_algorithm": "RS256"}, {"public_key_file": b"\xff"}, "holds no public key in PEM"),
        ({"token_algorithm": "RS256"}, {"public_key_file": pem(RSA)}, "holds no public key in PEM"),
        ({"token_algorithm": "RS256"}, {"private_key_file": pem(RSA.public_key())}, "holds no private key in PEM"),
        ({"token_algorithm": "RS256"}, {"private_key_file": pem(RSA, b"secret")}, "protected by a passphrase"),
        ({"token_algorithm": "RS256"}, {"public_key_file": pem(ED.public_key())}, "for something else than RS256"),
        ({"token_algorithm": "EdDSA"}, {"private_key_file": pem(RSA)}, "for something else than EdDSA"),
        (
            {"token_algorithm": "EdDSA"},
            {"private_key_file": pem(ec.generate_private_key(ec.SECP256R1()))},
            "for something else than EdDSA",
        ),
        (
            {"token_algorithm": "RS256"},
            {"public_key_file": pem(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key())},
            "1024 bits; expected at least 2048",
        ),
        (
            {"token_algorithm": "EdDSA"},
            {"private_key_file": pem(ED), "public_key_file": pem(ed25519.Ed25519PrivateKey.generate().public_key())},
            r"public_key_file=.*does not belong to security\.private_key_file",
        ),
        ({}, {"public_key_file": pem(RSA.public_key())}, r"public_key_file=.*not used by HS256"),
        ({"secret_key": pem(RSA.public_key()).decode()}, {}, r"security\.secret_key=<hidden>.*text of a key file"),
        ({"secret_key": "ssh-ed25519 " + "A" * 60}, {}, "text of a key file"),
    ],
)
def test_keys_that_will_not_do(tmp_path: Path, settings: dict[str, Any], files: dict[str, bytes], message: str) -> None:
    config = SecurityConfig(**settings, **written(tmp_path, **files))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=message):
        TokenAuthority.from_config(config)


def test_a_secret_that_is_too_short_and_one_that_is_made() -> None:
    with pytest.raises(ConfigurationError, match="at least 32 bytes"):
        TokenAuthority(b"s" * 31, lifetime=60)
    first, second = (TokenAuthority.from_config(SecurityConfig()) for _ in range(2))
    with pytest.raises(AuthError):
        second.verify(first.issue("alice"))


def test_keys_do_not_show_themselves() -> None:
    assert repr(TokenKeys.of_secret(SECRET)) == "TokenKeys(HS256, signs and checks)"
