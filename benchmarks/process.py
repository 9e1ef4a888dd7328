"""The parent's handle of a worker process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from typing import IO, Final, TypeVar

import msgspec

from benchmarks.messages import Ready, Report, Run, Setup
from benchmarks.motion import ROOT

_READY_SECONDS: Final = 60.0
_SLACK_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 10.0
_MAX_LINE: Final = 1 << 28
_SHOWN_LINES: Final = 30

_T = TypeVar("_T")


class WorkerError(Exception):
    """A worker failed or did not answer in time; its last lines of stderr are in the message."""


class Process:
    """One worker. Every wait has a deadline; `close` leaves nothing running. Made by `start`."""

    def __init__(self, setup: Setup, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.setup = setup
        self._process = process
        self._errors = errors
        self._killed = False

    @classmethod
    async def start(cls, setup: Setup, module: str = "benchmarks.worker") -> Process:
        """Start a worker, which is the program of ``module``; it does not answer yet."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            limit=_MAX_LINE,
        )
        return cls(setup, process, errors)

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    async def ready(self) -> str:
        """Set it up and wait until it works; returns the URL of a server."""
        return (await self.ask(self.setup, Ready, _READY_SECONDS)).url

    async def run(self, run: Run) -> Report:
        """Let it take part in a run and wait for its report."""
        return await self.ask(run, Report, run.warmup + run.seconds + run.grace + _SLACK_SECONDS)

    async def close(self) -> None:
        """Ask it to end; kill it when it does not.

        Raises:
            WorkerError: It failed meanwhile.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                if await self._process.wait() and not self._killed:
                    raise WorkerError(self._story(f"ended with {self._process.returncode}"))
        except TimeoutError:
            print(f"{self.setup.system} {self.setup.role} did not end; killed", file=sys.stderr)
        finally:
            self.kill()
            self._errors.close()

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process.returncode is None:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def ask(self, request: msgspec.Struct, answer: type[_T], seconds: float = _SLACK_SECONDS) -> _T:
        """Send a request and wait for its answer.

        Raises:
            WorkerError: It failed, or there is no answer within ``seconds``.
        """
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
