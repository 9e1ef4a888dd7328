"""The golden vectors: what this code reads and writes is what they say."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posewire.errors import ProtocolError
from posewire.protocol import (
    AudioChunk,
    FrameType,
    Header,
    OpusPacket,
    PoseData,
    PoseDecoder,
    RoomSeal,
    Seal,
    body_v1,
    body_v2,
    unpack_header,
)
from posewire.protocol.header import HEADER_BYTES

pytestmark = pytest.mark.usefixtures("codec")

FOLDER = Path(__file__).parents[2] / "vectors"
SCRIPT = Path(__file__).parents[3] / "scripts" / "make_vectors.py"


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def as_vector(pose: PoseData) -> dict[str, Any]:
    parts = {"pose": pose.pose_landmarks, "face": pose.face_landmarks, "hands": pose.hand_landmarks}
    # One NaN like another: which of them a machine makes is nobody's business.
    clean = {name: None if part is None else np.where(np.isnan(part), np.nan, part) for name, part in parts.items()}
    arrays = {name: None if part is None else part.astype("<f4").tobytes().hex() for name, part in clean.items()}
    return {"skeleton": pose.skeleton, **arrays}


@pytest.mark.parametrize("vector", load("headers")["headers"])
def test_headers(vector: dict[str, Any]) -> None:
    header = unpack_header(bytes.fromhex(vector["bytes"]))
    fields = dict(vector["fields"])
    assert header.captured_us == int(fields.pop("captured_us"))
    for name, value in fields.items():
        found = getattr(header, name)
        assert (found if isinstance(value, int) else found.name.lower()) == value, name
    assert header.pack().hex() == vector["bytes"]


@pytest.mark.parametrize("vector", load("headers")["refused"], ids=lambda vector: vector["why"])
def test_bytes_that_are_no_header(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        unpack_header(bytes.fromhex(vector["bytes"]))


@pytest.mark.parametrize("index", range(3))
def test_version_1(index: int) -> None:
    vectors = load("v1")
    vector = vectors["bodies"][index]
    body = vector["body"].encode()
    pose = body_v1.decode_pose(body, key=bytes.fromhex(vectors["key"]))
    assert as_vector(pose) == vector["pose"]
    envelope = json.loads(body)
    assert envelope["compressed"] is vector["compressed"]
    threshold = 1024 if vector["compressed"] else None
    again = body_v1.encode_pose(
        pose, key=bytes.fromhex(vectors["key"]), now=envelope["timestamp"], threshold=threshold, level=6
    )
    if not vector["compressed"]:  # zlib may compress otherwise and be right
        assert again == body


def test_version_2() -> None:
    vectors = load("v2")
    for vector in vectors["poses"]:
        body = bytes.fromhex(vector["body"])
        pose = body_v2.decode_pose(body, timestamp=1.0)
        assert as_vector(pose) == vector["pose"]
        if body[0] == 0:
            assert body_v2.encode_pose(pose, threshold=None, level=6) == body
    for vector in vectors["audio"]:
        chunk = body_v2.decode_audio(bytes.fromhex(vector["body"]), timestamp=1.0)
        assert isinstance(chunk, AudioChunk)
        assert (chunk.sample_rate, chunk.channels) == (vector["sample_rate"], vector["channels"])
        assert str(chunk.samples.dtype) == vector["dtype"]
        assert chunk.samples.tolist() == vector["samples"]
        assert body_v2.encode_audio(chunk, threshold=None, level=6).hex() == vector["body"]
    for vector in vectors["opus"]:
        packet = body_v2.decode_audio(bytes.fromhex(vector["body"]), timestamp=1.0)
        assert isinstance(packet, OpusPacket)
        assert (packet.channels, packet.number) == (vector["channels"], vector["number"])
        assert (packet.data.hex(), packet.previous.hex()) == (vector["packet"], vector["previous"])
        assert body_v2.encode_opus(packet).hex() == vector["body"]
    for vector in vectors["events"]:
        name, data = body_v2.decode_event(bytes.fromhex(vector["body"]))
        assert name == vector["name"]
        assert json.loads(json.dumps(data, default=lambda raw: {"bytes": raw.hex()})) == vector["data"]
        assert body_v2.encode_event(name, data).hex() == vector["body"]
    for vector in vectors["refused_events"]:
        with pytest.raises(ProtocolError, match="reserved"):
            body_v2.decode_event(bytes.fromhex(vector["body"]))


@pytest.mark.parametrize("stream", load("v3")["streams"], ids=lambda stream: stream["name"])
def test_version_3(stream: dict[str, Any]) -> None:
    decoder = PoseDecoder()
    for frame in stream["frames"]:
        packet = bytes.fromhex(frame["packet"])
        header = unpack_header(packet)
        pose = decoder.decode(header.frame_type, header.seq, header.ref, packet[HEADER_BYTES:], timestamp=1.0)
        assert as_vector(pose) == frame["pose"]


@pytest.mark.parametrize("vector", load("v3")["refused"], ids=lambda vector: vector["why"])
def test_bodies_of_version_3_that_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        PoseDecoder().decode(FrameType.KEY, 0, 0, bytes.fromhex(vector["body"]), timestamp=1.0)


@pytest.mark.parametrize("vector", load("v3")["refused_later"]["bodies"], ids=lambda vector: vector["why"])
def test_frames_that_are_refused_after_others(vector: dict[str, Any]) -> None:
    decoder = PoseDecoder()
    for packet in map(bytes.fromhex, load("v3")["refused_later"]["before"]):
        header = unpack_header(packet)
        decoder.decode(header.frame_type, header.seq, header.ref, packet[HEADER_BYTES:], timestamp=1.0)
    with pytest.raises(ProtocolError) as caught:
        body = bytes.fromhex(vector["body"])
        decoder.decode(FrameType.LEAF, header.seq + 1, vector["ref"], body, timestamp=1.0)
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("mode", load("sealed")["modes"], ids=lambda mode: mode["seal"])
def test_seals(mode: dict[str, Any]) -> None:
    vectors = load("sealed")
    room = RoomSeal(Seal[mode["seal"]], bytes.fromhex(mode["secret"]), vectors["room"])
    assert room.key_id.hex() == mode["key_id"]
    for packet in mode["packets"]:
        key = room.key_of(vectors["user"], bytes.fromhex(vectors["salt"]))
        opened = key.open(bytes.fromhex(packet["sealed"]))
        assert opened is not None
        assert opened.hex() == packet["opened"]
        header: Header = unpack_header(opened)
        assert key.seal(header, opened[HEADER_BYTES:]).hex() == packet["sealed"]


def test_a_second_run_of_the_script_makes_the_same_files(tmp_path: Path) -> None:
    import runpy

    runpy.run_path(str(SCRIPT))["main"](tmp_path)
    for file in tmp_path.iterdir():
        made, kept = json.loads(file.read_text(encoding="utf-8")), load(file.stem)
        if file.stem == "v3":
            # Affine motion is fitted by LAPACK: those packets may differ from machine to machine, their poses hardly.
            assert [s["name"] for s in made["streams"]] == [s["name"] for s in kept["streams"]]
            made, kept = made["refused"] + [made["refused_later"]], kept["refused"] + [kept["refused_later"]]
        assert made == kept, file.name


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_a_decoder_in_another_language_reads_them() -> None:
    done = subprocess.run(["node", FOLDER / "check.mjs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
