"""The seal: whole, from whom it says, and no nonce twice."""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.protocol import (
    HEADER_BYTES,
    Delivery,
    FrameType,
    Header,
    Kind,
    PoseData,
    RoomKey,
    RoomSeal,
    Seal,
    SealKey,
)
from posewire.protocol.body_v2 import encode_pose
from posewire.protocol.seal import TAG_BYTES
from tests.unit.protocol.test_header import HEADER
from tests.unit.strategies import bit_flips, damaged, headers, names

SECRET = bytes(range(32))
SALT = bytes(range(100, 116))
MODES = [Seal.MAC, Seal.AEAD]
modes = st.sampled_from(MODES)
bodies = st.binary(max_size=200)


def key_of(
    mode: Seal, *, secret: bytes = SECRET, room: str = "studio", user: str = "alice", salt: bytes = SALT
) -> SealKey:
    return RoomSeal(mode, secret, room).key_of(user, salt)


def sealed(header: Header, mode: Seal, body: bytes) -> bytes:
    return key_of(mode).seal(msgspec.structs.replace(header, seal=mode), body)


@given(headers, modes, bodies)
def test_round_trip(header: Header, mode: Seal, body: bytes) -> None:
    packet = sealed(header, mode, body)
    assert packet[:HEADER_BYTES] == msgspec.structs.replace(header, seal=mode).pack()
    assert len(packet) == HEADER_BYTES + len(body) + TAG_BYTES[mode]
    assert key_of(mode).open(packet) == packet[:HEADER_BYTES] + body


@given(headers, st.binary(min_size=8, max_size=200))
def test_encrypted_it_shows_nothing_and_with_a_mac_all(header: Header, body: bytes) -> None:
    assert body not in sealed(header, Seal.AEAD, body)[HEADER_BYTES:]
    assert body in sealed(header, Seal.MAC, body)[HEADER_BYTES:]


@pytest.mark.parametrize("mode", MODES)
@given(headers, bodies, st.data())
def test_whatever_is_altered_is_refused(mode: Seal, header: Header, body: bytes, data: st.DataObject) -> None:
    packet = sealed(header, mode, body)
    assert key_of(mode).open(data.draw(damaged(packet))) is None


@pytest.mark.parametrize("mode", MODES)
def test_every_bit_counts(mode: Seal) -> None:
    packet = sealed(HEADER, mode, b"sixteen landmarks")
    key = key_of(mode)
    assert all(key.open(altered) is None for altered in bit_flips(packet))
    assert all(key.open(packet[:size]) is None for size in range(len(packet)))
    assert key.open(packet) is not None


@settings(max_examples=30)
@given(headers, modes, bodies, names, names, st.binary(min_size=16, max_size=16))
def test_of_another_user_room_salt_or_secret(
    header: Header, mode: Seal, body: bytes, room: str, user: str, salt: bytes
) -> None:
    packet = sealed(header, mode, body)
    strangers = [
        key_of(mode, secret=SECRET[:-1] + b"x"),
        *([key_of(mode, user=user)] if user != "alice" else []),
        *([key_of(mode, room=room)] if room != "studio" else []),
        *([key_of(mode, salt=salt)] if salt != SALT else []),
    ]
    assert all(stranger.open(packet) is None for stranger in strangers)


def test_names_do_not_run_into_each_other() -> None:
    header = msgspec.structs.replace(HEADER, seal=Seal.AEAD)
    packet = key_of(Seal.AEAD, room="ab", user="c").seal(header, b"body")
    assert key_of(Seal.AEAD, room="a", user="bc").open(packet) is None
    with pytest.raises(ProtocolError, match="a name of 65536 bytes"):
        key_of(Seal.MAC, user="x" * 65536)


@pytest.mark.parametrize("mode", MODES)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=40))
def test_no_number_of_a_stream_is_sealed_twice(mode: Seal, frames: list[tuple[int, int]]) -> None:
    key = key_of(mode)
    done: set[tuple[int, int]] = set()
    for stream, seq in frames:
        header = msgspec.structs.replace(HEADER, seal=mode, stream=stream, seq=seq)
        try:
            key.seal(header, b"body")
        except ProtocolError:
            assert any(other == stream and number >= seq for other, number in done)
        else:
            assert (stream, seq) not in done
            done.add((stream, seq))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block, by hand."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_as_docs_wire_tells_it() -> None:
    names = struct.pack("<H", 6) + b"studio" + struct.pack("<H", 5) + "Zoë!".encode()
    header = msgspec.structs.replace(HEADER, seal=Seal.MAC)
    key = hkdf(SECRET, SALT, b"posewire 1 mac" + names)
    expected = header.pack() + b"body" + hmac.new(key, header.pack() + b"body", hashlib.sha256).digest()[:8]
    assert key_of(Seal.MAC, user="Zoë!").seal(header, b"body") == expected
    header = msgspec.structs.replace(HEADER, seal=Seal.AEAD)
    key = hkdf(SECRET, SALT, b"posewire 1 aead" + names)
    nonce = bytes([header.stream]) + struct.pack("<HI", header.member, header.seq) + bytes(5)
    expected = header.pack() + AESGCM(key).encrypt(nonce, b"body", header.pack())
    assert key_of(Seal.AEAD, user="Zoë!").seal(header, b"body") == expected
    key_id = hkdf(SECRET, b"", b"posewire 1 key id" + struct.pack("<H", 6) + b"studio")[:8]
    assert RoomSeal(Seal.AEAD, SECRET, "studio").key_id == key_id
    assert RoomSeal(Seal.MAC, SECRET, "studio").key_id == b""


@pytest.mark.parametrize("mode", MODES)
def test_the_example_in_docs_wire(mode: Seal) -> None:
    page = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
    shown = re.sub(r"\s", "", page)
    header = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 2, 3, 0, 1_700_000_000_000_000, mode)
    body = encode_pose(PoseData([[0.5, 0.25, -1, 1]], skeleton="points"), threshold=None, level=6)  # type: ignore[arg-type]
    room = RoomSeal(mode, bytes(range(32)), "studio")
    packet = room.key_of("alice", bytes(range(16, 32))).seal(header, body)
    tag = len(packet) - TAG_BYTES[mode]
    assert header.pack().hex() in shown
    assert packet[tag:].hex() in shown
    assert mode is Seal.MAC or f"sealedbody{packet[HEADER_BYTES:tag].hex()}" in shown
    assert room.key_id.hex() in shown
    assert RoomKey("correct horse battery").of_room("studio").hex() in shown


def test_a_key_of_another_room_key_has_another_id() -> None:
    ids = {RoomSeal(Seal.AEAD, secret, room).key_id for secret in (SECRET, SALT) for room in ("a", "b")}
    assert len(ids) == 4


def test_secrets_are_not_shown() -> None:
    assert repr(RoomSeal(Seal.AEAD, b"hush" * 8, "studio")) == "RoomSeal(<Seal.AEAD: 2>, <hidden>, 'studio')"
