"""A link over TUN devices, seen by the process that opened it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Final, Literal, Self

import msgspec

from benchmarks.netlab.control import Answer, Ask, Change, LinkStats, Open, Play, Request
from benchmarks.netlab.errors import LinkError
from benchmarks.netlab.path import Path, parse_path
from benchmarks.netlab.schedule import Side, Step

_ANSWER_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 5.0
_ROOT: Final = FilePath(__file__).resolve().parents[2]


class TunLink:
    """Owns a forwarder process. Used with ``async with``; what its methods do is said in `Link`."""

    kind: Final[Literal["tun"]] = "tun"

    def __init__(self, up: Path, down: Path, seed: int) -> None:
        self._setup = Open(up=up, down=down, seed=seed)
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()
        self.host = ""
        self.command: list[str] = []

    async def __aenter__(self) -> Self:
        # A session of its own: Ctrl-C is for us, and we end it by closing its stdin.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.netlab.forwarder"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            start_new_session=True,
        )
        try:
            opened = await self._ask(self._setup)
        except BaseException:
            await self._close()
            raise
        self.host = opened.host
        self.command = ["ip", "netns", "exec", opened.namespace]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def port(self, port: int) -> int:
        """Return ``port``: the far side reaches every one."""
        return port

    async def url(self, port: int) -> str:
        """Return ``http://host:port``."""
        return f"http://{self.host}:{port}"

    async def change(self, *, up: Path | str | None = None, down: Path | str | None = None) -> None:
        """Be different from now on; see `Link.change`."""
        sides: tuple[tuple[Side, Path | str | None], ...] = (("up", up), ("down", down))
        requests = []
        for side, value in sides:
            if isinstance(value, Path):
                requests.append(Change(side=side, path=value))
            elif value is not None:
                parse_path(value)  # says here what is wrong with it
                requests.append(Change(side=side, path=None, settings=value))
        for request in requests:
            await self._ask(request)

    async def play(self, steps: Sequence[Step], start: float | None = None) -> None:
        """Follow a schedule; see `Link.play`."""
        await self._ask(Play(steps=list(steps), start=time.monotonic() if start is None else start))

    async def stats(self) -> LinkStats:
        """Return the totals."""
        stats = (await self._ask(Ask())).stats
        assert stats is not None
        return stats

    async def _ask(self, request: Request) -> Answer:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise LinkError("the link is not open")
        # One at a time, and an answer belongs to the question before it.
        async with self._asking:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    process.stdin.write(msgspec.json.encode(request) + b"\n")
                    await process.stdin.drain()
                    line = await process.stdout.readline()
            except asyncio.CancelledError:
                # The answer that is still to come would be taken for that of the next question.
                process.stdin.close()
                raise
            except TimeoutError:
                raise LinkError(f"the link's process did not answer within {_ANSWER_SECONDS:g} s") from None
            except ConnectionError:
                line = b""
        if not line:
            raise LinkError("the link's process is gone; what it said is on stderr")
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error is not None:
            raise LinkError(answer.error)
        return answer

    async def _close(self) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await process.wait()
        finally:
            # Its devices end with it; a namespace it left is swept by the next link.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
