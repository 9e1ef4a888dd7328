"""What may be a room key, and what becomes of it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from posewire.errors import ConfigurationError
from posewire.protocol import RoomKey

PASSPHRASE = "correct horse battery"


def test_bytes_are_the_key_of_every_room() -> None:
    key = RoomKey(bytes(range(16)))
    assert key.is_ready("studio")
    assert key.of_room("studio") == key.of_room("stage") == bytes(range(16))


def test_a_passphrase_is_stretched_with_the_room() -> None:
    key = RoomKey(PASSPHRASE)
    assert not key.is_ready("studio")
    expected = hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), b"posewire room key 1studio", 600_000)
    assert key.of_room("studio") == expected
    assert key.is_ready("studio")
    assert not key.is_ready("stage")
    assert key.of_room("stage") != expected


def test_one_passphrase_on_every_keyboard() -> None:
    assert RoomKey("café au lait au café").of_room("r") == RoomKey("cafe\u0301 au lait au cafe\u0301").of_room("r")


def test_a_key_is_derived_once() -> None:
    key = RoomKey(PASSPHRASE)
    assert key.of_room("studio") is key.of_room("studio")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"0123456789secre", "15 bytes; expected at least 16"),
        (b"", "0 bytes"),
        ("secret12345", "11 characters; expected at least 12"),
        ("e\u0301" * 11, "11 characters"),
        ("", "0 characters"),
        ("secret \ud800 secret", "lone surrogates"),
        (12345678901234567890, "expected bytes or a passphrase, got int"),
        (bytearray(b"secret" * 6), "got bytearray"),
    ],
)
def test_what_is_none_is_refused_and_not_shown(value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        RoomKey(value)
    assert caught.value.param == "room_key"
    shown = f"{caught.value} {caught.value.fields} {caught.value.to_wire()}"
    assert "secre" not in shown
    assert "1234567" not in shown


def test_it_is_not_shown() -> None:
    assert repr(RoomKey(PASSPHRASE)) == str(RoomKey(PASSPHRASE)) == "RoomKey(<hidden>)"
