"""Damaged frames of body version 3 through both codecs, for as many as you have time.

    python -m tests.fuzz.codec_twins --frames 1000000

The two show the same pose to the last bit, or refuse in the same words; what they take for good though it is ruined is
what the next frames are read with. Needs the compiled codec. To look for what only a sanitizer sees, compile that with
-fsanitize=address,undefined and run this with the library of it in ``LD_PRELOAD``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from posewire.errors import ProtocolError
from posewire.protocol import FrameType, PoseData, PoseDecoder
from posewire.protocol.pose_data import PARTS
from tests.fuzz.codecs import use_codec
from tests.unit.protocol.test_body_v3_properties import walk

LENGTH = 40
DAMAGED = 40
"""Of each frame."""


def _bits(pose: PoseData) -> list[object]:
    """Everything in a pose, to the last bit."""
    parts = [getattr(pose, name) for name in PARTS]
    return [
        pose.timestamp,
        pose.skeleton,
        *(None if part is None else (part.shape, part.dtype, part.flags.writeable, part.tobytes()) for part in parts),
    ]


class Twins:
    """Two decoders that see the same, and say the same."""

    def __init__(self) -> None:
        self._decoders = {which: PoseDecoder() for which in ("pure", "compiled")}

    def decode(self, frame_type: FrameType, seq: int, ref: int, body: bytes) -> PoseData | None:
        """Return the pose, or None where both refuse it."""
        poses, words = [], []
        for which, decoder in self._decoders.items():
            use_codec(which)
            try:
                poses.append(decoder.decode(frame_type, seq, ref, body, timestamp=1.5))
            except ProtocolError as error:
                words.append((type(error), error.version, error.reason, str(error)))
        assert len(poses) in (0, 2), words
        assert len(set(words)) <= 1, words
        if not poses:
            return None
        assert _bits(poses[0]) == _bits(poses[1])
        return poses[0]


def ruined(chance: random.Random, body: bytes, other: bytes) -> bytes:
    """Return a body damaged in one of many ways; `other` is one to take a piece of."""
    bad = bytearray(body)
    match chance.randrange(7):
        case 0:
            for _ in range(chance.choice((1, 1, 2, 9))):
                bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        case 1:
            bad[chance.randrange(min(8, len(bad)))] = chance.randrange(256)
        case 2:
            del bad[chance.randrange(len(bad)) :]
        case 3:
            bad += chance.randbytes(chance.choice((1, 2, 700, 70_000)))
        case 4:
            bad[chance.randrange(len(bad)) :] = other[chance.randrange(len(other)) :]
        case 5:
            bad[chance.randrange(len(bad)) :] = chance.choice((b"\0", b"\xff", b"\x01")) * chance.choice((9, 500, 9000))
        case _:
            bad[chance.choice((1, 2, 6)) :] = chance.randbytes(chance.choice((3, 60, 500)))
    return bytes(bad)


def main(frames: int, seed: int) -> None:
    """Damage so many frames."""
    shown = refused = 0
    begin = time.monotonic()
    while shown + refused < frames:
        use_codec("compiled")
        stream = walk(seed, LENGTH)
        chance = random.Random(seed)
        twins = Twins()
        for seq, _, code in stream.sent:
            for _ in range(DAMAGED):
                bad = ruined(chance, code.body, chance.choice(stream.sent)[2].body)
                pose = twins.decode(code.frame_type, seq, code.ref, bad)
                shown, refused = shown + (pose is not None), refused + (pose is None)
            twins.decode(code.frame_type, seq, code.ref, code.body)
        seed += 1
    took = time.monotonic() - begin
    sys.stdout.write(f"{shown} shown, {refused} refused, all by both alike; {took:.0f} s\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    main(arguments.frames, arguments.seed)
