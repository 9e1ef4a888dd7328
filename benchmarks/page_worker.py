"""A process of `page`: those who send whole people, or the watcher in Python beside the page. Public API only."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

import posewire
from benchmarks.channel import Channel, loop_factory
from benchmarks.crowd_age import AGE_STEP, Ages
from benchmarks.crowd_messages import Look
from benchmarks.crowd_worker import config_of
from benchmarks.messages import Ready, Setup
from benchmarks.recordings import Clip, default_folder, load_clips
from benchmarks.usage import sleep_until
from posewire.lifetime import cancel_and_wait
from posewire.server import TokenAuthority

ROOM: Final = "studio"
_SECONDS: Final = 86_400
_GRAIN: Final = 0.618
"""Of a frame; spreads the senders' moments evenly over one, in whatever number they are."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Look`: what was done since the process began, and ages since the look before."""

    cpu_ns: int
    sent: int = 0
    received: int = 0
    whole: int = 0
    """Poses of those received that had body, face and hands: a sender that is short of room leaves some out."""
    lost: int = 0
    """Missing in the numbers that came."""
    ages: bytes = b""
    """As `benchmarks.crowd_age.Ages` has them."""


def recordings() -> list[Clip]:
    """Return the recordings with body, face and both hands; the one that ships where there are no others."""
    samples = Path(posewire.__file__).parent / "samples"
    clips = [clip for folder in (default_folder(), samples) for clip in load_clips(folder)]
    return [clip for clip in clips if clip.kind.startswith("holistic")]


class Sender:
    """One person, endlessly."""

    def __init__(self, session: posewire.Session, index: int, clip: Clip) -> None:
        self.session = session
        self.sent = 0
        self._index = index
        self._clip = clip

    async def send(self, fps: float) -> None:
        """Send until cancelled."""
        poses = self._clip.poses
        start = time.monotonic_ns() + int(self._index * _GRAIN % 1 * 1e9 / fps)
        while True:
            await sleep_until(start + int(self.sent * 1e9 / fps))
            # Each begins elsewhere: eight people who move as one would compress and decode as one too.
            pose = poses[(self.sent + 37 * self._index) % len(poses)]
            await self.session.send_pose(dataclasses.replace(pose, timestamp=0.0))  # captured now
            self.sent += 1


class Watcher:
    """Reads everybody, and notes how old each pose is: by the clock of its session, as the page does by its own."""

    def __init__(self, session: posewire.Session) -> None:
        self.received = 0
        self.whole = 0
        self.lost = 0
        self.ages = Ages()
        self._session = session
        self._last: dict[str, int] = {}

    async def watch(self) -> None:
        """Read until cancelled."""
        async for frame in self._session.frames():
            self.ages.add(max(0, round(frame.age / AGE_STEP)))
            self.received += 1
            pose = frame.pose
            parts = pose and (pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks)
            self.whole += bool(parts) and all(part is not None for part in parts or ())
            last = self._last.get(frame.user_id, frame.seq - 1)
            self.lost += max(0, frame.seq - last - 1)
            self._last[frame.user_id] = frame.seq


async def _send(channel: Channel, setup: Setup, tokens: TokenAuthority) -> None:
    clips, config = recordings(), config_of(setup)
    async with AsyncExitStack() as stack:
        senders = []
        for index in range(setup.members):
            # Nobody but the two watchers reads: eight who read eight would be most of the work of this machine.
            token = tokens.issue(f"person{index}", subscribe=False)
            session = await stack.enter_async_context(
                posewire.connect(setup.url, token=token, room=ROOM, config=config)
            )
            senders.append(Sender(session, index, clips[index % len(clips)]))
        channel.answer(Ready())
        sending: list[asyncio.Task[None]] = []
        while (look := await channel.next(Look)) is not None:
            if look.fps and not sending:
                sending = [
                    asyncio.create_task(sender.send(look.fps), name=f"benchmark.send{index}")
                    for index, sender in enumerate(senders)
                ]
            channel.answer(Seen(cpu_ns=time.process_time_ns(), sent=sum(sender.sent for sender in senders)))
        for task in sending:
            await cancel_and_wait(task)


async def _watch(channel: Channel, setup: Setup, tokens: TokenAuthority) -> None:
    token = tokens.issue("python", publish=False)
    async with posewire.connect(setup.url, token=token, room=ROOM, config=config_of(setup)) as session:
        watcher = Watcher(session)
        watching = asyncio.create_task(watcher.watch(), name="benchmark.watch")
        try:
            channel.answer(Ready())
            while await channel.next(Look) is not None:
                channel.answer(
                    Seen(
                        cpu_ns=time.process_time_ns(),
                        received=watcher.received,
                        whole=watcher.whole,
                        lost=watcher.lost,
                        ages=watcher.ages.take(),
                    )
                )
        finally:
            await cancel_and_wait(watching)


def main() -> None:
    """Be what the parent says."""
    channel = Channel()
    setup = channel.read_setup()
    tokens = TokenAuthority(setup.secret.encode(), lifetime=_SECONDS)
    work = _send if setup.role == "members" else _watch
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(work(channel, setup, tokens))


if __name__ == "__main__":
    main()
