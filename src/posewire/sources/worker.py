"""``python -m posewire.sources.worker JOB``: the process of a `TrackedSource`.

A process, not a thread: MediaPipe and FFmpeg are native code that holds the GIL while it loads, may crash on a damaged
file, and cannot be interrupted. A process can be killed in the middle of an inference, takes nothing down with it, and
never keeps the event loop waiting.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Final, cast

import msgspec

from posewire.errors import ConfigurationError, PosewireError
from posewire.sources.backend import Backend
from posewire.sources.messages import GO, Failed, Job, Message, framed
from posewire.sources.watching import watch

_NICE: Final = 5
"""Finding landmarks takes all the processor it can get; the event loop that sends them goes first."""


def work(job: Job, asked: int, told: int) -> None:
    """Do a job; ``asked`` and ``told`` are file descriptors, of where `GO` comes from and where the findings go."""

    def tell(message: Message) -> None:
        left = memoryview(framed(message))
        while left:
            left = left[os.write(told, left) :]

    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        try:
            watch(job, load_backend(job.backend), tell, go=lambda: os.read(asked, 1) == GO)
        except PosewireError as exc:
            tell(Failed(exc.to_wire()))


def load_backend(name: str) -> Backend:
    """Import the module of a backend.

    Raises:
        ConfigurationError: There is none of that name.
    """
    try:
        return cast(Backend, importlib.import_module(name))
    except ImportError as exc:
        raise ConfigurationError("backend", name, f"expected a module: {exc}") from None


def main() -> None:
    """Take the job from the command line."""
    told = os.dup(1)
    os.dup2(2, 1)  # what the libraries print must not get between the findings
    if hasattr(os, "nice"):
        os.nice(_NICE)
    work(msgspec.json.decode(sys.argv[1], type=Job), 0, told)


if __name__ == "__main__":
    main()
