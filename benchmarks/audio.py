"""Time, bytes and quality of sound by Opus beside PCM, and what is left of it when packets are lost."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.audio_quality import speech
from benchmarks.audio_run import Way, lossy, measure
from benchmarks.machine import provenance, save, to_json
from benchmarks.options import at_least_one, common_options, counts, rates
from benchmarks.table import align, number
from posewire.errors import ConfigurationError
from posewire.protocol.opus_packet import OPUS_RATE

_LIBRARIES: Final = ("posewire", "numpy", "av")
_PCM: Final = Way("pcm", None)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    try:
        result = _measure(options)
    except (ConfigurationError, ImportError) as exc:
        print(f"audio: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(to_json(result).decode() if options.json else render(result))
    if options.save:
        print(f"saved to {save('audio', result)}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks audio", description=__doc__)
    parser.add_argument(
        "--bit-rates", type=counts, default=[12_000, 16_000, 24_000, 32_000, 48_000, 64_000], metavar="N,N,…"
    )
    parser.add_argument("--loss", type=rates, default=[1.0, 5.0, 10.0], metavar="PERCENT,…")
    parser.add_argument("--loss-bit-rate", type=at_least_one, default=32_000, metavar="N")
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N", help="of timing (default: 3)")
    parser.add_argument("--seeds", type=at_least_one, default=10, metavar="N", help="of loss (default: 10)")
    parser.add_argument("--seconds", type=at_least_one, metavar="N", help="of the recording at most (default: all)")
    common_options(parser)
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    sound, source = speech()
    if options.seconds is not None:
        sound = sound[: options.seconds * OPUS_RATE]
    chance = random.Random(options.seed)
    ways = [_PCM, *(Way(f"opus {rate}", rate) for rate in options.bit_rates)]
    rounds: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
    for number_ in range(options.rounds):
        print(f"round {number_ + 1} of {options.rounds}", file=sys.stderr)
        for way in chance.sample(ways, len(ways)):
            rounds[way.name].append(measure(way, sound))
    rate = options.loss_bit_rate
    spare = Way(f"opus {rate // 2} twice", rate // 2, redundant=True)
    doubled = Way(f"opus {rate} twice", rate, redundant=True)
    losing = [_PCM, Way(f"opus {rate}", rate), spare, doubled]
    seeds = [options.seed + number_ for number_ in range(options.seeds)]
    return {
        "benchmark": "audio",
        **provenance(_LIBRARIES),
        "seed": options.seed,
        "source": source,
        "seconds": round(len(sound) / OPUS_RATE, 2),
        "rounds": options.rounds,
        "ways": [_median(rounds[way.name]) for way in ways],
        "loss": [lossy(way, sound, loss / 100, seeds) for loss in options.loss for way in losing],
    }


def _median(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the round whose encoding took the median time; all else is the same in each."""
    return sorted(rounds, key=lambda each: float(each["encode_us"]["p50"]))[len(rounds) // 2]


def render(result: dict[str, Any]) -> str:
    """Return the result as tables."""
    names = [f"{what} {name}" for what in ("encode", "decode") for name in ("p50", "p95", "p99")]
    rows = [["way", "B/s", *names, "delay", "stamp ms", "SNR dB", "segm.", "spectral"]]
    rows += [
        [
            way["name"],
            str(way["bytes_per_s"]),
            *(number(way[f"{what}_cpu_us"][name]) for what in ("encode", "decode") for name in ("p50", "p95", "p99")),
            str(way["delay_samples"]),
            number(way["stamp_error_ms"], 2),
            *(number(min(way[name], 99.9), 1) for name in ("snr_db", "segmental_snr_db", "spectral_distance_db")),
        ]
        for way in result["ways"]
    ]
    names = ["way", "loss %", "energy error dB", "silence", "SNR dB", "segm.", "spectral"]
    lost = [[*names, "lost", "made up", "copies", "joint", "inside"]]
    lost += [
        [
            each["name"],
            number(100 * each["loss"], 1),
            number(each["energy_error_db"], 2),
            number(each["silence_db"], 2),
            number(min(each["snr_db"], 99.9), 1),
            number(each["segmental_snr_db"], 2),
            number(each["spectral_distance_db"], 2),
            *(number(each[name]) for name in ("lost", "made_up", "read_from_copy")),
            number(each["largest_joint"], 3),
            number(each["largest_inside"], 3),
        ]
        for each in result["loss"]
    ]
    title = f"{result['source']}, {result['seconds']} s, frames of 20 ms, µs of CPU each; commit {result['commit']}"
    return "\n".join([title, "", *align(rows, names=0), "", *align(lost, names=0)])
