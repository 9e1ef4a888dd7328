"""Damaged packets through the whole receive path of a client.

    python -m tests.fuzz.receive_path --packets 1000000 --seed 1 [--codec pure|compiled]

What a server may hand to a client goes in where the connection hands it over, and through header, seal, replay window,
signature, decoder and subscription. Nothing may be raised, whatever it is; each packet costs at most 10 ms of CPU, and
memory does not grow. Half of the packets carry a seal made after they were damaged, as a hostile member makes them.
`tests/unit/test_fuzz.py` runs a few thousand of them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import json
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec

from posewire.config import Config
from posewire.protocol import Header, Kind, RoomKey, RoomSeal, Seal, control, unpack_header
from posewire.protocol.header import HEADER_BYTES
from posewire.receiver import Receiver
from posewire.rooms import RoomManager
from posewire.sockets import SocketManager
from tests.fuzz.codecs import CODECS, use_codec

VECTORS: Final = Path(__file__).parents[1] / "vectors"
SLOWEST_MS: Final = 10.0
"""What one packet may cost, in CPU time of this thread."""
ROOM, KEY, SALT = "studio", bytes(range(32)), bytes(range(16))
PLAIN, SEALED = 2, 3
"""Numbers of a member that cannot seal, and of one that does."""
STREAMS: Final = {Kind.POSE: 1, Kind.AUDIO: 2, Kind.EVENT: 0}


class ReceivePath:
    """A client that is in a room, without its connection.

    Args:
        room_key: Of the room; None makes it one where packets carry a MAC.
    """

    def __init__(self, room_key: bytes | None) -> None:
        self.socket = SocketManager(Config(), token="none")
        self.rooms = RoomManager(self.socket, room_key=None if room_key is None else RoomKey(room_key))
        self.receiver = Receiver(self.socket, self.rooms)
        self.subscriptions = [self.receiver.subscribe(kind) for kind in ("pose", "audio")]
        self.seal = RoomSeal(Seal.MAC if room_key is None else Seal.AEAD, room_key or KEY, ROOM)
        self._enter(room_key)

    def take(self, packet: bytes) -> None:
        """Hand a packet over as the connection does."""
        self.socket._inbound.frame(packet)  # where the lane calls

    def _enter(self, room_key: bytes | None) -> None:
        me = {"id": "me", "number": 1, "salt": self.rooms._seals.next_salt}
        members = [me, {"id": "plain", "number": PLAIN}, {"id": "sealed", "number": SEALED, "salt": SALT}]
        for member in members:
            member |= {"join_time": 0.0, "last_active": 0.0, "key_id": self.seal.key_id}
        streams = [
            {"user_id": name, "member": number, "number": STREAMS[kind], "kind": kind.name.lower(), "name": "s"}
            for name, number in (("plain", PLAIN), ("sealed", SEALED))
            for kind in (Kind.POSE, Kind.AUDIO)
        ]
        snapshot = {"room": ROOM, "version": 1, "created_time": 0.0, "last_active": 0.0, "capacity": 8}
        joined = {"number": 1, "key": KEY, "snapshot": {**snapshot, "members": members, "streams": streams}}
        self.socket.welcome = control.Welcome(
            user_id="me", room=ROOM, role="member", publish=True, subscribe=True, server="none"
        )
        self.rooms._entry.enter(control.from_plain(joined, control.JoinedRoom, what="joined"), room_key)


class Damage:
    """Makes packets nobody should send, from those of the golden vectors.

    Args:
        rng: Chance.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._streams, self._others = _corpus()
        self._seq: Counter[tuple[int, int]] = Counter()

    def packets(self, path: ReceivePath) -> Iterator[tuple[str, bytes]]:
        """Yield ``(kind of damage, packet)`` for ever; good packets between, so that there is something to refer to."""
        while True:
            stream = self._rng.choice(self._streams)
            member = self._rng.choice((PLAIN, SEALED))
            seqs: dict[int, int] = {}
            for header, body in stream:
                number = seqs[header.seq] = self._next(member, Kind.POSE)
                ref = number - seqs[header.seq - header.ref] if header.ref else 0
                good = msgspec.structs.replace(header, stream=STREAMS[Kind.POSE], member=member, seq=number, ref=ref)
                for _ in range(self._rng.randrange(4)):
                    yield self._damaged(good, body, path)
                yield "none", self._sealed(good, body, path)
            yield self._other(member, path)

    def _damaged(self, header: Header, body: bytes, path: ReceivePath) -> tuple[str, bytes]:
        """A frame damaged, in place of one that may come later under another number."""
        name = self._rng.choice(list(_BODIES))
        ruined = _BODIES[name](self._rng, body, self._rng.choice(self._rng.choice(self._streams))[1])
        seq = self._next(header.member, Kind.POSE)
        behind = header.ref + seq - header.seq if header.ref else 0
        header = msgspec.structs.replace(header, seq=seq, ref=min(behind, 0xFFFF))
        if self._rng.random() < 0.3:
            name, header = f"{name}, header", self._hostile(header)
        packet = self._sealed(header, ruined, path)
        if self._rng.random() < 0.2:
            # The number of an unsealed packet stays: much further, and all that comes after is a replay.
            kept = 9 if header.member == PLAIN else 0
            return f"{name}, on the way", packet[:kept] + _flip(self._rng, packet[kept:], b"")
        return name, packet

    def _other(self, member: int, path: ReceivePath) -> tuple[str, bytes]:
        """A body of version 1 or 2, whole or damaged, or a bomb."""
        captured = 1
        if self._rng.random() < 0.02:
            name, version, kind, body = self._rng.choice(_BOMBS)
        elif self._rng.random() < 0.02:
            version, kind = 1, Kind.POSE
            captured, (name, body) = round(time.time() * 1e6), _signed_bomb(self._rng)
        else:
            name, (version, kind, body) = "version 1 or 2", self._rng.choice(self._others)
            if self._rng.random() < 0.8:
                ruin = self._rng.choice(list(_BODIES))
                name, body = f"version 1 or 2, {ruin}", _BODIES[ruin](self._rng, body, self._others[0][2])
        header = Header(version, kind, 0, 0, STREAMS[kind], member, self._next(member, kind), 0, captured)  # type: ignore[arg-type]
        return name, self._sealed(unpack_header(header.pack()), body, path)

    def _sealed(self, header: Header, body: bytes, path: ReceivePath) -> bytes:
        if header.member != SEALED or header.version not in (1, 2, 3) or not 0 <= header.seq < 2**32:
            return header.pack() + body
        packed = msgspec.structs.replace(header, seal=path.seal.mode)
        # A key that has sealed nothing: it would refuse a number twice, which is what is to be tried.
        return path.seal.key_of("sealed", SALT).seal(packed, body)

    def _hostile(self, header: Header) -> Header:
        field = self._rng.choice(("kind", "frame_type", "seq", "ref", "captured_us", "version", "member", "stream"))
        edges = {
            "kind": [0, 1, 2],
            "frame_type": [0, 1, 2],
            "seq": [0, 1, header.seq - 1, header.seq + 3],
            "ref": [0, 1, 0xFFFF],
            "captured_us": [0, 2**64 - 1, self._rng.randrange(2**64)],
            "version": [1, 2, 3],
            "member": [0, 1, PLAIN, SEALED, 0xFFFF],
            "stream": [0, 1, 2, 255],
        }
        return msgspec.structs.replace(header, **{field: self._rng.choice(edges[field])})

    def _next(self, member: int, kind: Kind) -> int:
        self._seq[member, STREAMS[kind]] += 1
        return self._seq[member, STREAMS[kind]]


def _corpus() -> tuple[list[list[tuple[Header, bytes]]], list[tuple[int, Kind, bytes]]]:
    """Return streams of version 3, and bodies of the others."""

    def load(name: str) -> Any:
        return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))

    streams = []
    for stream in load("v3")["streams"]:
        packets = [bytes.fromhex(frame["packet"]) for frame in stream["frames"]]
        streams.append([(unpack_header(packet), packet[HEADER_BYTES:]) for packet in packets])
    others: list[tuple[int, Kind, bytes]] = [(1, Kind.POSE, body["body"].encode()) for body in load("v1")["bodies"]]
    for kind, name in ((Kind.POSE, "poses"), (Kind.AUDIO, "audio"), (Kind.AUDIO, "opus"), (Kind.EVENT, "events")):
        others += [(2, kind, bytes.fromhex(body["body"])) for body in load("v2")[name]]
    return streams, others


Ruin = Callable[[random.Random, bytes, bytes], bytes]


def _flip(rng: random.Random, body: bytes, _: bytes) -> bytes:
    changed = bytearray(body)
    for _flips in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _front(rng: random.Random, body: bytes, other: bytes) -> bytes:
    return _flip(rng, body[:16], other) + body[16:]


def _cut(rng: random.Random, body: bytes, _: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _lengthen(rng: random.Random, body: bytes, _: bytes) -> bytes:
    return body + rng.randbytes(rng.choice((1, 4, 100, 5000)))


def _splice(rng: random.Random, body: bytes, other: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)] + other[rng.randrange(len(other) + 1) :]


def _noise(rng: random.Random, body: bytes, _: bytes) -> bytes:
    return body[: rng.choice((0, 1, 2, 6))] + rng.randbytes(rng.choice((0, 1, 60, 500, 9000)))


def _same(rng: random.Random, body: bytes, _: bytes) -> bytes:
    return body[: rng.choice((1, 2, 6))] + rng.choice((b"\0", b"\xff", b"\x01", b"\x80")) * rng.choice((8, 500, 50_000))


_BODIES: Final[dict[str, Ruin]] = {
    "bits flipped": _flip,
    "first bytes flipped": _front,
    "cut": _cut,
    "lengthened": _lengthen,
    "spliced": _splice,
    "noise": _noise,
    "one byte over and over": _same,
}

_ZEROS: Final = zlib.compress(bytes(32 << 20), 9)
_BOMBS: Final[list[tuple[str, int, Kind, bytes]]] = [
    ("zlib bomb", 2, Kind.POSE, b"\x01" + _ZEROS),
    ("zlib bomb", 2, Kind.AUDIO, b"\x01" + _ZEROS),
    ("nested arrays", 2, Kind.EVENT, b"\0" + b"\x91" * 60_000),
    ("many arrays", 2, Kind.EVENT, b"\0\x92\xa1a\xdd" + struct.pack(">I", 65_000) + b"\x90" * 65_000),
    ("many maps", 2, Kind.EVENT, b"\0\x92\xa1a\xdd" + struct.pack(">I", 65_000) + b"\x80" * 65_000),
    ("nested arrays", 2, Kind.POSE, b"\0" + b"\x91" * 900_000),
    ("huge array", 2, Kind.POSE, b"\0\xdd" + struct.pack(">I", 2**32 - 1)),
    ("huge bytes", 2, Kind.AUDIO, b"\0\x94\x01\x01\xa2i2\xc6" + struct.pack(">I", 2**32 - 1)),
    ("nested JSON", 1, Kind.POSE, b"[" * 900_000),
    ("long JSON", 1, Kind.POSE, b'{"data": "' + b"x" * 900_000 + b'"}'),
    ("a megabyte", 3, Kind.POSE, b"\x08" + b"\x1a" + b"\xff" * 1_000_000),
    ("a megabyte of zeros", 3, Kind.POSE, b"\x08" + b"\x1a" + bytes(1_000_000)),
    ("2048 landmarks", 3, Kind.POSE, b"\x0c\x01\x00a\x00\x08\x1a" + b"\xff" * 33_000),
    ("2048 long symbols", 3, Kind.POSE, b"\x0c\x01\x00a\x00\x08\x1a\xff\xff\xff" + bytes(32_000)),
]


def _signed_bomb(rng: random.Random) -> tuple[str, bytes]:
    """A body of version 1 as a member makes it, signed with the room's key, or with a token that is none."""
    now = time.time()
    stamp = round(now * 1e6)
    name = rng.choice(list(_TEXTS))
    text = _TEXTS[name]
    packed = rng.random() < 0.5
    data = base64.b64encode(zlib.compress(text.encode(), 9)).decode() if packed else text
    token = jwt.encode({"message": f"{data}{stamp}"}, KEY, algorithm="HS256")
    if rng.random() < 0.3:
        name = "hostile token"
        head = base64.urlsafe_b64encode(rng.choice(_HEADS)).decode().rstrip("=")
        signed = f"{head}.{token.split('.')[1]}"
        code = base64.urlsafe_b64encode(hmac.digest(KEY, signed.encode(), "sha256")).decode().rstrip("=")
        token = f"{signed}.{rng.choice((code, 'AAAA'))}"
    envelope = {"compressed": packed, "data": data, "timestamp": stamp / 1e6, "signature": token}
    return f"signed, {name}", json.dumps(envelope).encode()


_MARK = '{"x":0,"y":0,"z":0}'
_TEXTS: Final = {
    "many hands": '{"timestamp":1,"hand_landmarks":[' + ",".join(["[]"] * 98_000) + "]}",
    "many landmarks": '{"timestamp":1,"face_landmarks":[' + ",".join([_MARK] * 14_900) + "]}",
    "unknown lists": '{"timestamp":1,"more":[' + ",".join(["[]"] * 98_000) + "]}",
    "deep": '{"timestamp":1,"more":' + "[" * 140_000,
    "too long": '{"timestamp":1,"more":"' + "x" * 500_000 + '"}',
}
_HEADS: Final = (
    b"[" * 2000,
    b"{}",
    b'{"alg":"none"}',
    b"[" + b"1e-7," * 100_000 + b"1]",
    b'{"alg":' + b"9" * 4300 + b"}",
)


def run(packets: int, seed: int, *, room_key: bytes | None = None) -> dict[str, Any]:
    """Send packets; returns what was seen."""
    path = ReceivePath(room_key)
    made: Counter[str] = Counter()
    slow: list[tuple[float, str]] = []
    worst = 0.0
    start = None
    for count, (name, packet) in enumerate(Damage(random.Random(seed)).packets(path)):
        if count >= packets:
            break
        if count == packets // 10:
            start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.thread_time()
        path.take(packet)
        took = (time.thread_time() - begin) * 1000
        made[name.split(",")[0]] += 1
        worst = max(worst, took)
        if took > SLOWEST_MS:
            slow.append((took, name))
    shown = sum(subscription.dropped + len(subscription._waiting) for subscription in path.subscriptions)
    end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "packets": packets,
        "seed": seed,
        "seal": path.seal.mode.name,
        "damage": dict(made),
        "shown": shown,
        "drops": dict(path.receiver.drops),
        "worst_ms": round(worst, 2),
        "slow": slow,
        "grown_kib": end - (start or end),
    }


async def _main(arguments: argparse.Namespace) -> int:
    use_codec(arguments.codec)
    reports = [
        run(arguments.packets // 2, arguments.seed),
        run(arguments.packets // 2, arguments.seed + 1, room_key=bytes(32)),
    ]
    json.dump(reports, sys.stdout, indent=2)
    return any(report["slow"] for report in reports)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--codec", choices=CODECS, default=CODECS[-1])
    raise SystemExit(asyncio.run(_main(parser.parse_args())))
