"""The parent's handle of a worker of a pressure run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Final, TypeVar

import msgspec

from benchmarks.motion import ROOT
from benchmarks.pressure.messages import Go, Ready, Report, Setup
from benchmarks.process import WorkerError

_READY_SECONDS: Final = 60.0
_SLACK_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 10.0
_MAX_LINE: Final = 1 << 28
_SHOWN_LINES: Final = 30

_T = TypeVar("_T")


class Process:
    """One worker, at whatever side of a link ``command`` leads to. Every wait has a deadline. Made by `start`."""

    def __init__(self, setup: Setup, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.setup = setup
        self._process = process
        self._errors = errors

    @classmethod
    async def start(cls, setup: Setup, loop: str, command: Sequence[str] = ()) -> Process:
        """Start a worker; it does not answer yet."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # `kill` closes it
        process = await asyncio.create_subprocess_exec(
            *command,
            sys.executable,
            *("-m", "benchmarks.pressure.worker", loop),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            limit=_MAX_LINE,
        )
        return cls(setup, process, errors)

    async def ready(self) -> int:
        """Set it up and wait until it works; returns the port of a server."""
        return (await self._ask(self.setup, Ready, _READY_SECONDS)).port

    async def go(self, go: Go) -> Report:
        """Let it take part in the run and wait for its report."""
        return await self._ask(go, Report, go.seconds + go.grace + _SLACK_SECONDS)

    def stop(self) -> None:
        """Freeze it, as a machine that hangs: its sockets stay open and nobody reads them."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        os.kill(self._process.pid, signal.SIGCONT)

    async def close(self) -> None:
        """Ask it to end; kill it when it does not."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            print(f"{self.setup.system} {self.setup.role} did not end; killed", file=sys.stderr)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _ask(self, request: msgspec.Struct, answer: type[_T], seconds: float) -> _T:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                self._process.stdin.write(msgspec.json.encode(request) + b"\n")
                await self._process.stdin.drain()
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise WorkerError(self._story(f"no answer within {seconds:g} s")) from None
        except ConnectionError:
            line = b""
        if not line:
            raise WorkerError(self._story("ended"))
        return msgspec.json.decode(line, type=answer)

    def _story(self, what: str) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()[-_SHOWN_LINES:]
        return "\n".join([f"{self.setup.system} {self.setup.role}: {what}", *(f"  {line}" for line in lines)])
