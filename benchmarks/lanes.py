"""How late sound is on a link that loses packets, beside poses on the same connection, and on another one."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

import posewire
from benchmarks.machine import provenance, save, to_json
from benchmarks.motion import load_motion
from benchmarks.netlab import open_link, parse_path
from benchmarks.options import common_options, positive
from benchmarks.table import align, number
from benchmarks.usage import sleep_until
from posewire.lifetime import cancel_and_wait

_HOST: Final = "0.0.0.0"  # the far side of the link has a loopback of its own
_ROOM: Final = "room"
_AUDIO_FPS: Final = 50
_AUDIO_SAMPLES: Final = 160
"""Of 8 kHz: 320 bytes, two or three times as much as Opus would need."""
_STREAMS: Final = 4
_LATE_MS: Final = 50.0
"""Over the median."""
_LIBRARIES: Final = ("python-socketio", "aiohttp", "numpy")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the sound, and of the poses, with so many connections; milliseconds."""

    lanes: int
    sent: int
    came: int
    p50: float
    p95: float
    p99: float
    late: float
    """Share of the chunks that came more than 50 ms after the median."""
    poses: float
    """Frames a second that came, all streams."""
    pose_p50: float
    pose_p99: float


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks lanes", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=30.0, help="each (default: %(default)g)")
    parser.add_argument("--path", default="loss=2%,delay=25ms", help="both directions (default: %(default)s)")
    parser.add_argument("--fps", type=positive, default=60.0, help="of each of 4 streams (default: %(default)g)")
    common_options(parser)
    parser.add_argument("--publish", help=argparse.SUPPRESS)
    parser.add_argument("--lanes", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.publish:
        url, _, token = options.publish.partition("|")
        asyncio.run(_publish(url, token, options))
        return 0
    rows = asyncio.run(_measure(options))
    settings = {name: getattr(options, name) for name in ("seconds", "path", "fps", "seed")}
    result: dict[str, Any] = {"benchmark": "lanes", **provenance(_LIBRARIES), "settings": settings}
    result["rows"] = msgspec.to_builtins(rows)
    print(to_json(result).decode() if options.json else _render(result, rows))
    if options.save:
        print(f"saved to {save('lanes', result)}", file=sys.stderr)
    return 0


async def _measure(options: argparse.Namespace) -> list[Row]:
    return [await _run(lanes, options) for lanes in (1, 2)]


def _config(lanes: int, secret: str | None = None) -> posewire.Config:
    return posewire.Config(
        socket=posewire.ConnectionConfig(min_pool_size=lanes, max_pool_size=lanes),
        security=posewire.SecurityConfig(secret_key=secret, encryption_enabled=False),
        media=posewire.MediaConfig(sample_rate=8000),
        server=posewire.ServerConfig(host=_HOST, port=0),
    )


async def _run(lanes: int, options: argparse.Namespace) -> Row:
    config = _config(lanes, secrets.token_urlsafe(48))
    path = parse_path(options.path)
    async with (
        open_link(up=path, down=path, seed=options.seed) as link,
        posewire.serve(host=_HOST, port=0, config=config) as server,
        posewire.connect(
            f"http://127.0.0.1:{server.port}", token=server.issue_token("ear"), room=_ROOM, config=config
        ) as ear,
    ):
        latencies: list[float] = []
        ages: list[float] = []
        reading = [
            asyncio.create_task(_hear(ear.frames("audio"), latencies), name="benchmark.hear"),
            asyncio.create_task(_see(ear.frames(), ages), name="benchmark.see"),
        ]
        publisher = await asyncio.create_subprocess_exec(
            *(*link.command, sys.executable, "-m", "benchmarks", "lanes", "--lanes", str(lanes)),
            *("--publish", f"{await link.url(server.port)}|{server.issue_token('mouth')}"),
            *("--seconds", str(options.seconds), "--fps", str(options.fps)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await publisher.communicate()
        for task in reading:
            await cancel_and_wait(task)
    if publisher.returncode:
        raise SystemExit(f"lanes: the publisher ended with {publisher.returncode}")
    sound, poses = np.array(latencies) * 1000, np.array(ages) * 1000
    p50, p95, p99 = (float(value) for value in np.percentile(sound, (50, 95, 99)))
    return Row(
        lanes=lanes,
        sent=int(out),
        came=len(sound),
        p50=p50,
        p95=p95,
        p99=p99,
        late=float((sound > p50 + _LATE_MS).mean()),
        poses=len(poses) / options.seconds,
        pose_p50=float(np.percentile(poses, 50)),
        pose_p99=float(np.percentile(poses, 99)),
    )


async def _hear(frames: posewire.Subscription, latencies: list[float]) -> None:
    async for frame in frames:
        assert frame.audio is not None
        sent_ns = int.from_bytes(np.asarray(frame.audio.samples).astype("<i2").tobytes()[:8], "little")
        latencies.append((time.monotonic_ns() - sent_ns) / 1e9)


async def _see(frames: posewire.Subscription, ages: list[float]) -> None:
    async for frame in frames:
        ages.append(frame.age)  # noqa: PERF401  # for ever


async def _publish(url: str, token: str, options: argparse.Namespace) -> None:
    """Be the far end: sound and poses for a while; prints the chunks of sound that were sent."""
    async with posewire.connect(url, token=token, room=_ROOM, config=_config(options.lanes)) as session:
        async with asyncio.timeout(30):
            while session.socket.pool_status().active < options.lanes:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.05)
        start = time.monotonic_ns() + 500_000_000
        tasks = [
            asyncio.create_task(_move(session, index, options.fps, start), name=f"benchmark.move{index}")
            for index in range(_STREAMS)
        ]
        count = round(options.seconds * _AUDIO_FPS)
        for index in range(count):
            await sleep_until(start + index * 1_000_000_000 // _AUDIO_FPS)
            chunk = time.monotonic_ns().to_bytes(8, "little") + bytes(2 * _AUDIO_SAMPLES - 8)
            await session.send_audio(chunk)
        await asyncio.sleep(1.0)  # the last ones
        for task in tasks:
            await cancel_and_wait(task)
    print(count)


async def _move(session: posewire.Session, index: int, fps: float, start: int) -> None:
    motion, frame = load_motion(index), 0
    while True:
        await sleep_until(start + int((frame + index / _STREAMS) * 1e9 / fps))
        await session.send_pose(motion.frame(0, frame), f"body{index}")
        frame += 1


def _render(result: dict[str, Any], rows: Sequence[Row]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"lanes · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"{settings['path']}, both ways; {settings['seconds']:g} s each: 50 chunks of sound a second (320 bytes) and",
        f"{_STREAMS} streams of poses at {settings['fps']:g} fps; milliseconds from the publisher to the subscriber;",
        f"late: more than {_LATE_MS:g} ms after the median",
        "",
    ]
    table = [["lanes", "sound p50", "p95", "p99", "late", "came", "poses/s", "age p50", "p99"]]
    table += [
        [
            str(row.lanes),
            *(number(value) for value in (row.p50, row.p95, row.p99)),
            f"{row.late:.1%}",
            f"{row.came} of {row.sent}",
            f"{row.poses:.0f}",
            *(number(value) for value in (row.pose_p50, row.pose_p99)),
        ]
        for row in rows
    ]
    return "\n".join([*lines, *align(table, names=1)])
