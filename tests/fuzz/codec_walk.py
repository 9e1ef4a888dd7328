"""Body version 3 on random walks, for as many frames as you have time.

    python -m tests.fuzz.codec_walk --frames 1000000 [--codec pure|compiled|both]

Each walk (jumps, NaN that flickers, extremes, any precision and parts) is decoded whole, with a fifth of its packets
lost, out of order, and shuffled: every pose that comes out is within half a step of the one that went in, or the run
stops with an error. The suite runs a few of the same walks. With ``both`` the two codecs also have to make the same
bytes, but for a choice that rounding may make otherwise: those frames are counted.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz.codecs import CODECS, use_codec
from tests.unit.protocol.test_body_v3_properties import Stream, walk

LENGTH = 120


def main(frames: int, seed: int, codec: str) -> None:
    """Walk until so many frames were encoded."""
    encoded = decoded = unread = other = 0
    begin = time.monotonic()
    while encoded < frames:
        use_codec("compiled" if codec == "both" else codec)
        stream = walk(seed, LENGTH)
        if codec == "both":
            use_codec("pure")
            other += _differ(stream, walk(seed, LENGTH))
        chance = random.Random(seed)
        everything = list(range(len(stream.sent)))
        late = sorted(everything, key=lambda at: at + chance.uniform(0, 6))
        orders = [
            everything,
            [at for at in everything if chance.random() > 0.2],
            late,
            chance.sample(everything, len(everything)),
        ]
        for order in orders:
            unread += stream.received(order)
            decoded += len(order)
        encoded += len(everything)
        seed += 1
    took = time.monotonic() - begin
    twins = f"; {other} coded otherwise by the other codec" if codec == "both" else ""
    sys.stdout.write(
        f"{encoded} encoded; {decoded} came, {unread} unread for want of others, none wrong{twins}; {took:.0f} s\n"
    )


def _differ(one: Stream, other: Stream) -> int:
    return sum(a[2] != b[2] for a, b in zip(one.sent, other.sent, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--codec", choices=[*CODECS, "both"], default=CODECS[-1])
    arguments = parser.parse_args()
    main(arguments.frames, arguments.seed, arguments.codec)
