"""Body version 1: the specification's JSON, zlib, base64, timestamp and signature.

The body is a JSON object ``{"compressed", "data", "timestamp", "signature"}``. ``data`` is the JSON of the landmarks,
or base64 of its zlib. The signature is a JWT (HS256) over ``{"message": data + str(timestamp in whole µs)}``. The
specification signs the second in which it signs and verifies the second of another clock reading, so one frame in
thirty fails; here the timestamp that is signed is the one that is sent.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import zlib

import jwt
import msgspec
import numpy as np

from posewire.errors import DataValidationError, ProtocolError
from posewire.limits import MAX_LANDMARKS
from posewire.protocol.inflate import inflate
from posewire.protocol.pose_data import DEFAULT_SKELETON, Landmarks, PoseData

VERSION = "1"
_ALGORITHM = "HS256"
_MAX_HEAD_CHARS = 200
_MAX_JSON_BYTES = 300_000
"""Of the landmarks: a pose, a face and hands of the most landmarks, each number with seventeen digits."""

Number = float | None  # JSON has no NaN; null stands for it


class _Landmark(msgspec.Struct, gc=False):
    x: Number
    y: Number
    z: Number
    visibility: Number = 1.0


class _Pose(msgspec.Struct, omit_defaults=True):
    timestamp: float
    pose_landmarks: list[_Landmark] | None = None
    face_landmarks: list[_Landmark] | None = None
    hand_landmarks: tuple[list[_Landmark], list[_Landmark]] | None = None
    skeleton: str = DEFAULT_SKELETON


class _Envelope(msgspec.Struct):
    compressed: bool
    data: str
    timestamp: float
    signature: str


class _Head(msgspec.Struct):
    alg: str


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    message: str


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_claims = msgspec.json.Decoder(_Claims).decode
_decode_pose = msgspec.json.Decoder(_Pose).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def encode_pose(pose: PoseData, *, key: bytes, now: float, threshold: int | None, level: int) -> bytes:
    """Return the body of ``pose``.

    Args:
        pose: What to encode.
        key: Signs the message; the room's key, which its members share.
        now: Timestamp of the message, seconds.
        threshold: Compress JSON longer than this; None never compresses.
        level: zlib level.
    """
    text = pose_to_json(pose)
    compressed = threshold is not None and len(text) > threshold
    data = base64.b64encode(zlib.compress(text, level)).decode() if compressed else text.decode()
    return _encode(_Envelope(compressed, data, now, _sign(data, now, key)))


def check(body: bytes, *, key: bytes, now_us: int, captured_us: int, max_age_us: int) -> int:
    """Return the time that ``body`` was signed with, in whole microseconds; signature and age are checked.

    The signature does not cover the header. Its capture time may lie no further from the signed time than that from
    ``now_us``, so that an old body cannot be passed off as new nor a new one as old.

    Raises:
        ProtocolError: Not a body of version 1; ``reason`` is ``altered`` when it is not signed with ``key`` or the
            header's time is not its own, ``stale`` when it is too old, or from the future.
    """
    signed_us = _whole_us(_verified(body, key).timestamp)
    if abs(now_us - signed_us) > max_age_us:
        raise ProtocolError(VERSION, f"signed {(now_us - signed_us) / 1e6:.3f} s ago", "stale")
    if abs(captured_us - signed_us) > max_age_us:
        raise ProtocolError(VERSION, f"captured {(signed_us - captured_us) / 1e6:.3f} s before signing", "altered")
    return signed_us


def decode_pose(body: bytes, *, key: bytes) -> PoseData:
    """Return the pose in ``body``, its signature checked.

    Raises:
        ProtocolError: Not a body of version 1, or not signed with ``key``.
    """
    return _pose_of(_verified(body, key))


def read_pose(body: bytes) -> PoseData:
    """Return the pose in ``body``, which `check` has accepted; verifying twice would take longer than all the rest.

    Raises:
        ProtocolError: Not a body of version 1.
    """
    return _pose_of(_envelope(body))


def _pose_of(envelope: _Envelope) -> PoseData:
    if not envelope.compressed:
        return pose_from_json(envelope.data.encode())
    try:
        packed = base64.b64decode(envelope.data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ProtocolError(VERSION, f"not base64: {exc}") from exc
    return pose_from_json(inflate(packed, version=VERSION))


def pose_to_json(pose: PoseData) -> bytes:
    """Return the specification's JSON: lists of ``{x, y, z, visibility}``, null where NaN."""
    hands = pose.hand_landmarks
    return _encode(
        _Pose(
            pose.timestamp,
            _to_dicts(pose.pose_landmarks),
            _to_dicts(pose.face_landmarks),
            None if hands is None else (_to_dicts(hands[0]) or [], _to_dicts(hands[1]) or []),
            pose.skeleton,
        )
    )


def pose_from_json(text: bytes) -> PoseData:
    """Read what `pose_to_json` wrote.

    Raises:
        ProtocolError: It is not that.
    """
    if len(text) > _MAX_JSON_BYTES:
        raise ProtocolError(VERSION, f"JSON of {len(text)} bytes is over the limit of {_MAX_JSON_BYTES}")
    try:
        read = _decode_pose(text)
        hands = read.hand_landmarks
        return PoseData(
            _to_array(read.pose_landmarks),
            _to_array(read.face_landmarks),
            None if hands is None else np.array([_to_array(hand) for hand in hands], dtype=np.float32),
            read.timestamp,
            read.skeleton,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, DataValidationError, ValueError) as exc:
        raise ProtocolError(VERSION, f"undecodable landmarks: {exc}") from exc


def _to_dicts(array: Landmarks | None) -> list[_Landmark] | None:
    return None if array is None else [_Landmark(*row) for row in array.tolist()]


def _to_array(landmarks: list[_Landmark] | None) -> Landmarks | None:
    if landmarks is None:
        return None
    if len(landmarks) > MAX_LANDMARKS:
        raise ProtocolError(VERSION, f"{len(landmarks)} landmarks are over the limit of {MAX_LANDMARKS}")
    with np.errstate(all="ignore"):  # a number too large for float32 becomes infinite, which PoseData refuses
        return np.array([(mark.x, mark.y, mark.z, mark.visibility) for mark in landmarks], dtype=np.float32)


def _whole_us(timestamp: float) -> int:
    return round(timestamp * 1e6)


def _message(data: str, timestamp: float) -> str:
    return f"{data}{_whole_us(timestamp)}"


def _sign(data: str, timestamp: float, key: bytes) -> str:
    return jwt.encode({"message": _message(data, timestamp)}, key, algorithm=_ALGORITHM)


def _envelope(body: bytes) -> _Envelope:
    try:
        envelope = _decode_envelope(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ProtocolError(VERSION, f"undecodable body of {len(body)} bytes: {exc}") from exc
    if not 0 <= envelope.timestamp < 1e12:
        raise ProtocolError(VERSION, f"timestamp {envelope.timestamp} is no time")
    return envelope


def _verified(body: bytes, key: bytes) -> _Envelope:
    envelope = _envelope(body)
    # Not by PyJWT: it parses what a stranger wrote before it looks at the signature, and takes 0.1 s for some of it.
    signed, _, code = envelope.signature.rpartition(".")
    head, _, claims = signed.partition(".")
    try:
        good = hmac.compare_digest(_unbase64url(code), hmac.digest(key, signed.encode(), "sha256"))
        if not good or len(head) > _MAX_HEAD_CHARS or _decode_head(_unbase64url(head)).alg != _ALGORITHM:
            raise ProtocolError(VERSION, "signature refused", "altered")
        message = _decode_claims(_unbase64url(claims)).message
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise ProtocolError(VERSION, f"signature refused: {exc}", "altered") from exc
    if message != _message(envelope.data, envelope.timestamp):
        raise ProtocolError(VERSION, "signature is of another message", "altered")
    return envelope


def _unbase64url(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
