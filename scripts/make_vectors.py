"""Make the golden vectors: what goes over the wire, byte for byte, for those who write a client in another language.

Usage: python scripts/make_vectors.py [FOLDER]

Everything in them is made of fixed numbers and of the recordings that ship with the package, so a second run writes the
same files. `docs/wire.md` explains the formats; `tests/vectors/README.md` the files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from posewire.protocol import (
    Delivery,
    FrameType,
    Header,
    Kind,
    OpusPacket,
    PoseData,
    PoseDecoder,
    PoseEncoder,
    Precision,
    RoomSeal,
    Seal,
    body_v1,
    body_v2,
    to_audio_chunk,
    unpack_header,
)
from posewire.protocol.rice import pack
from posewire.recording import load_recording

FOLDER = Path(__file__).parents[1] / "tests" / "vectors"
SAMPLES = Path(__file__).parents[1] / "src" / "posewire" / "samples"
START_US = 1_790_000_000_000_000
"""Capture time of the first frame of every stream."""
ROOM_KEY = bytes(range(32))
SERVER_KEY = bytes(range(100, 132))
SALT = bytes(range(200, 216))
ROOM, USER = "studio", "álice"


def main(folder: Path) -> None:
    """Write every file."""
    folder.mkdir(exist_ok=True)
    streams = v3_streams()
    files = {
        "headers": headers(),
        "v1": v1(),
        "v2": v2(),
        "v3": {"streams": streams, "refused": v3_refused(), "refused_later": v3_refused_later(streams)},
        "sealed": sealed(streams),
    }
    for name, content in files.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def headers() -> dict[str, Any]:
    """Headers, and bytes that are none."""
    examples = [
        Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 1, 0, 0, START_US),
        Header(3, Kind.POSE, Delivery.LATEST, FrameType.ANCHOR, 255, 0xFFFF, 0xFFFF_FFFF, 0xFFFF, 2**64 - 1, Seal.AEAD),
        Header(3, Kind.POSE, Delivery.LATEST, FrameType.LEAF, 64, 258, 1, 2, 1, Seal.MAC),
        Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.KEY, 2, 3, 4, 0, 5),
        Header(2, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, 1, 2, 0, 3),
        Header(1, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 1, 7, 0, START_US),
    ]
    good = examples[0].pack()
    bad = {
        "one byte short": good[:-1],
        "format 2": b"\x22" + good[1:],
        "body version 0": b"\x10" + good[1:],
        "body version 4": b"\x14" + good[1:],
        "kind 3": good[:1] + b"\x03" + good[2:],
        "delivery 3": good[:1] + b"\x0c" + good[2:],
        "frame type 3": good[:1] + b"\x30" + good[2:],
        "seal 3": good[:1] + b"\xc0" + good[2:],
    }
    return {
        "headers": [{"bytes": header.pack().hex(), "fields": _fields(header)} for header in examples],
        "refused": [{"why": why, "bytes": data.hex()} for why, data in bad.items()],
    }


def v1() -> dict[str, Any]:
    """Bodies of version 1, plain and compressed."""
    jump = _sample("jump", [0])[0]
    holes = _with(jump, missing=[3, 4])
    made = [(jump, None, START_US), (jump, 1024, START_US + 333_333), (holes, None, START_US + 500_001)]
    return {
        "key": SERVER_KEY.hex(),
        "bodies": [
            {
                "compressed": threshold is not None,
                "body": body_v1.encode_pose(
                    pose, key=SERVER_KEY, now=time_us / 1e6, threshold=threshold, level=6
                ).decode(),
                "pose": _pose(pose),
            }
            for pose, threshold, time_us in made
        ],
    }


def v2() -> dict[str, Any]:
    """Bodies of version 2 of each kind."""
    jump, signing = _sample("jump", [0])[0], _sample("signing", [40])[0]
    points = PoseData(np.array([(0.5, 0.25, -1, 1)], dtype=np.float32), skeleton="points")
    sound = to_audio_chunk(np.arange(-40, 40, dtype=np.int16), sample_rate=16_000, channels=2)
    floats = to_audio_chunk(np.linspace(-1, 1, 9, dtype=np.float32), sample_rate=48_000, channels=1)
    silence = bytes.fromhex("f8fffe")  # 20 ms of Opus, one channel
    opus = [OpusPacket(silence, 1, 7), OpusPacket(bytes.fromhex("fcfffe"), 2, 2**32 - 1, silence)]
    event = {"name": "wave", "times": [1, 2.5, None, True], "raw": b"\x00\xff"}
    return {
        "poses": [
            {"body": body_v2.encode_pose(pose, threshold=threshold, level=6).hex(), "pose": _pose(pose)}
            for pose, threshold in ((jump, None), (signing, 1024), (points, None))
        ],
        "audio": [
            {
                "body": body_v2.encode_audio(chunk, threshold=None, level=6).hex(),
                "sample_rate": chunk.sample_rate,
                "channels": chunk.channels,
                "dtype": str(chunk.samples.dtype),
                "samples": chunk.samples.tolist(),
            }
            for chunk in (sound, floats)
        ],
        "opus": [
            {
                "body": body_v2.encode_opus(packet).hex(),
                "channels": packet.channels,
                "packet": packet.data.hex(),
                "number": packet.number,
                "previous": packet.previous.hex(),
            }
            for packet in opus
        ],
        "events": [
            {
                "body": body_v2.encode_event("gesture", event).hex(),
                "name": "gesture",
                "data": {**event, "raw": {"bytes": "00ff"}},
            },
            {"body": body_v2.encode_event("nothing", None).hex(), "name": "nothing", "data": None},
        ],
        "refused_events": [
            {"why": f"{name} is a reserved name", "body": (b"\0" + msgspec.msgpack.encode([name, None])).hex()}
            for name in sorted(body_v2.RESERVED_EVENTS)
        ],
    }


def v3_streams() -> list[dict[str, Any]]:
    """Streams of version 3: each packet depends on those before it."""
    jump = _sample("jump", range(100, 114))
    signing = _sample("signing", range(38, 46))
    rng = np.random.default_rng(1)
    face = (rng.normal(0.5, 0.05, (478, 4)) * (1, 1, 0.1, 0)).astype(np.float32)
    talking = [
        PoseData(
            jump[index].pose_landmarks,
            face * np.float32(1 + index / 100) + rng.normal(0, 0.0005, face.shape).astype(np.float32),
            None if index == 2 else np.stack((face[:21] + np.float32(index / 50), face[21:42])),
        )
        for index in range(5)
    ]
    chain = [PoseData(pose_landmarks=pose.pose_landmarks[:17], skeleton="ünlike") for pose in jump]  # type: ignore[index]
    holes = [
        jump[0],
        _with(jump[1], missing=[0, 31]),
        _with(jump[2], missing=[0, 31]),
        _with(jump[3], missing=range(33), visibility=True),
        _with(jump[4], unseen=[7]),
        _with(jump[5], missing=range(33), visibility=True),
        jump[6],
        jump[7],
    ]
    appears = [
        _with(jump[0], missing=range(33), visibility=True),
        _with(jump[1], missing=[5, 6, 20], unseen=[0]),
        _with(jump[2], missing=[5, 6, 20], unseen=[0]),
        jump[3],
    ]
    turned = [face * np.float32(1 + index / 50) + np.float32(index / 90) * face[::-1] for index in range(4)]
    turned[2][::7] = np.nan
    faces = [PoseData(None, part, None) for part in turned]
    cut = [*jump[:3], _sample("squats", [0])[0], _sample("squats", [1])[0], *_sample("squats", [2, 3])]
    wild = [jump[0], _with(jump[1], value=3e38), jump[2], _with(jump[3], value=-8190.5), _with(jump[4], value=1e-40)]
    nobody = [_with(pose, missing=range(33), visibility=True) for pose in jump[:2]] + jump[2:6]
    fine, coarse = Precision(xy=14, z=12, visibility=8), Precision(xy=6, z=-1, visibility=0)
    return [
        _stream("pose", jump, PoseEncoder()),
        _stream("pose, face 468 and hands, with hands lost and found", signing, PoseEncoder()),
        _stream("pose, face 478 and hands, one frame without hands", talking, PoseEncoder()),
        _stream("another skeleton", chain, PoseEncoder()),
        _stream("joints and visibilities missing", holes, PoseEncoder(anchor_interval=1)),
        _stream("nobody at first", nobody, PoseEncoder()),
        _stream("nobody at first, then some of somebody", appears, PoseEncoder()),
        _stream("face with holes", faces, PoseEncoder(anchor_interval=1)),
        _stream("hands away and back, every frame an anchor", talking, PoseEncoder(anchor_interval=1)),
        _stream("a cut to another person", cut, PoseEncoder()),
        _stream("numbers too large, and raw frames", wild, PoseEncoder()),
        _stream("other precisions", talking, PoseEncoder(fine, face=coarse, hands=Precision())),
        _stream("every frame an anchor, up to the last seq", jump, PoseEncoder(anchor_interval=1), 2**32 - len(jump)),
    ]


def v3_refused() -> list[dict[str, Any]]:
    """Keyframes that are none, each for one reason."""
    key = PoseEncoder().encode(_sample("jump", [0])[0], seq=0, time=0.0).body
    named = b"ab"
    long = np.full(4, 16_000_000)
    bad = {
        "nothing": b"",
        "flag 128": bytes((key[0] | 128,)) + key[1:],
        "no part": bytes((0,)) + key[1:],
        "478 landmarks of no face": bytes((key[0] | 64,)) + key[1:],
        "cut short": key[:-1],
        "one byte too many": key + b"\0",
        "padding of ones": key[:-1] + bytes((key[-1] | 1,)),
        "part without intra": key[:1] + bytes((key[1] & ~8,)) + key[2:],
        "intra and motion": key[:1] + bytes((key[1] | 64,)) + key[2:],
        "intra and affine": key[:1] + bytes((key[1] | 32,)) + key[2:],
        "part flag 128": key[:1] + bytes((key[1] | 128,)) + key[2:],
        "mode 0, absent": b"\x08\x00",
        "mode 3, same as no reference": key[:1] + bytes((key[1] | 1,)) + key[2:],
        "mode 5": key[:1] + bytes((key[1] & ~7 | 5,)) + key[2:],
        "nothing found, with a flag": b"\x08\x09",
        "pose without a skeleton's landmarks": b"\x0c\x02\x00" + named + b"\x00\x00" + key[1:],
        "2049 landmarks": b"\x0c\x02\x00" + named + b"\x01\x08" + key[1:],
        "skeleton without a name": b"\x0c\x00\x00\x21\x00" + key[1:],
        "skeleton mediapipe33 by name": b"\x0c\x0b\x00mediapipe33\x21\x00" + key[1:],
        "skeleton that is no UTF-8": b"\x0c\x02\x00\xff\xfe\x21\x00" + key[1:],
        "precision 21": b"\x0a" + bytes((29, 17, 13)) * 3 + key[1:],
        "longer than raw": b"\x0c\x01\x00a\x01\x00\x1a" + bytes.fromhex("866118") + pack(long, 0 * long),
        "raw, with precisions": b"\x0b" + bytes((19, 17, 13)) * 3 + bytes(33 * 16),
        "raw, one byte short": b"\x09" + bytes(33 * 16 - 1),
        "raw, infinite": b"\x09" + bytes.fromhex("0000807f") + bytes(33 * 16 - 4),
        "raw, x without y": b"\x09" + bytes.fromhex("0000c07f") + bytes(33 * 16 - 4),
    }
    return [{"why": why, "body": body.hex()} for why, body in bad.items()]


def v3_refused_later(streams: list[dict[str, Any]]) -> dict[str, Any]:
    """Anchors and leaves that are none, after a keyframe (ref 2) and an anchor (ref 1), each for one reason."""
    before = streams[-1]["frames"][:2]
    nothing = b"\0\0\0"  # levels: no number but 0
    ones = np.ones(17, dtype=np.int64)
    pair = pack(np.concatenate((ones[:16], 961 * ones[:1])), 0 * ones)
    huge = (1 << 24) * ones
    bad = {
        "nothing": (1, b""),
        "absent, and no other part": (1, b"\x00"),
        "mode 3 after all was found": (1, b"\x03" + nothing),
        "motion of a keyframe": (2, b"\x42" + bytes.fromhex("1042") + nothing),
        "bit 15 of the shares": (1, b"\x42" + bytes.fromhex("10c2") + nothing),
        "intra and motion": (1, b"\x4a" + bytes.fromhex("1042") + nothing),
        "cut in the shares": (1, b"\x42\x10"),
        "cut in the levels": (1, b"\x02\0\0"),
        "cut in the masks": (1, b"\x04" + nothing + bytes(7)),
        "masks: all found": (1, b"\x04" + nothing + 2 * (b"\xff" * 4 + b"\x80")),
        "masks: nothing found": (1, b"\x04" + nothing + bytes(10)),
        "masks: padding": (1, b"\x04" + nothing + b"\xff" * 4 + b"\xc0" + b"\xff" * 5),
        "a byte after no symbols": (1, b"\x02" + nothing + b"\0"),
        "a pair of rank 961": (1, b"\x02\x01\0\0" + pair),
        "affine motion of 2 ** 23": (1, b"\x22" + nothing + pack(huge[:12], 6 * ones[:12])),
        "a value beyond 8388607": (1, b"\x02\x3f\0\0" + pack(np.resize(huge, 33), np.full(33, 13))),
        "a symbol of 26 low bits": (1, b"\x02\x06\0\0" + b"\0" * 4 + b"\x08" + bytes(40)),
    }
    bodies = [{"why": why, "ref": ref, "body": body.hex()} for why, (ref, body) in bad.items()]
    return {"before": [frame["packet"] for frame in before], "bodies": bodies}


def sealed(streams: list[dict[str, Any]]) -> dict[str, Any]:
    """Packets under both seals."""
    plain = [bytes.fromhex(frame["packet"]) for stream in streams[:2] for frame in stream["frames"][:3]]
    sound = to_audio_chunk(np.arange(8, dtype=np.int16), sample_rate=16_000, channels=1)
    event = Header(2, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, 5, 0, 0, START_US)
    audio = Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.KEY, 9, 5, 0, 0, START_US)
    plain += [
        event.pack() + body_v2.encode_event("wave", [1, "two"]),
        audio.pack() + body_v2.encode_audio(sound, threshold=None, level=6),
        Header(1, Kind.POSE, Delivery.LATEST, FrameType.KEY, 3, 5, 0, 0, START_US).pack()
        + v1()["bodies"][0]["body"].encode(),
    ]
    modes = []
    for mode, secret in ((Seal.AEAD, ROOM_KEY), (Seal.MAC, SERVER_KEY)):
        room = RoomSeal(mode, secret, ROOM)
        packets = []
        for packet in plain:
            key = room.key_of(USER, SALT)
            header = msgspec.structs.replace(unpack_header(packet), seal=mode)
            packets.append(
                {"sealed": key.seal(header, packet[19:]).hex(), "opened": (header.pack() + packet[19:]).hex()}
            )
        modes.append({"seal": mode.name, "secret": secret.hex(), "key_id": room.key_id.hex(), "packets": packets})
    return {"room": ROOM, "user": USER, "salt": SALT.hex(), "modes": modes}


def _stream(name: str, poses: Iterable[PoseData], encoder: PoseEncoder, seq: int = 0) -> dict[str, Any]:
    frames = []
    decoder = PoseDecoder()
    for index, pose in enumerate(poses):
        number = (seq + index) % 2**32
        coded = encoder.encode(pose, seq=number, time=index / 30)
        captured = START_US + index * 33_333
        header = Header(3, Kind.POSE, Delivery.LATEST, coded.frame_type, 1, 5, number, coded.ref, captured)
        decoded = decoder.decode(coded.frame_type, number, coded.ref, coded.body, timestamp=0.0)
        packet = (header.pack() + coded.body).hex()
        frames.append({"packet": packet, "pose": _pose(decoded), "source": _pose(pose)})
    return {"name": name, "frames": frames}


def _sample(name: str, indexes: Iterable[int]) -> list[PoseData]:
    recording = load_recording(SAMPLES / f"{name}.npz")
    return [recording.pose(index) for index in indexes]


def _with(
    pose: PoseData,
    *,
    missing: Iterable[int] = (),
    unseen: Iterable[int] = (),
    visibility: bool = False,
    value: float | None = None,
) -> PoseData:
    """Return the pose with joints and visibilities taken out, or an x of another value."""
    assert pose.pose_landmarks is not None
    landmarks = pose.pose_landmarks.copy()
    landmarks[list(missing), : 4 if visibility else 3] = np.nan
    landmarks[list(unseen), 3] = np.nan
    if value is not None:
        landmarks[5, 0] = value
    return PoseData(landmarks, pose.face_landmarks, pose.hand_landmarks)


def _pose(pose: PoseData) -> dict[str, Any]:
    """A pose in JSON: float32 as their bytes, so that nothing is rounded."""
    parts = {"pose": pose.pose_landmarks, "face": pose.face_landmarks, "hands": pose.hand_landmarks}
    arrays = {name: None if part is None else part.astype("<f4").tobytes().hex() for name, part in parts.items()}
    return {"skeleton": pose.skeleton, **arrays}


def _fields(header: Header) -> dict[str, Any]:
    names = ("version", "stream", "member", "seq", "ref")
    numbers = {name: getattr(header, name) for name in names}
    words = {name: getattr(header, name).name.lower() for name in ("kind", "delivery", "frame_type", "seal")}
    return {**numbers, **words, "captured_us": str(header.captured_us)}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
