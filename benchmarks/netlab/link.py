"""A link of the lab, of whatever kind this machine can have."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol

from benchmarks.netlab.control import LinkStats
from benchmarks.netlab.errors import LinkError, SettingError
from benchmarks.netlab.path import Path
from benchmarks.netlab.proxy_link import ProxyLink
from benchmarks.netlab.schedule import Step
from benchmarks.netlab.tun import tun_missing
from benchmarks.netlab.tun_link import TunLink

logger = logging.getLogger(__name__)

Kind = Literal["auto", "tun", "proxy"]


class Link(Protocol):
    """An open link; made by `open_link`.

    Attributes:
        kind: ``tun`` or ``proxy``.
        host: Address of the near side for processes of the far side. Servers listen there, or on 0.0.0.0.
        command: What comes before the argv of a process of the far side; empty for a proxy.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def host(self) -> str: ...
    @property
    def command(self) -> list[str]: ...

    async def port(self, port: int) -> int:
        """Return what the far side dials for ``port`` of the near side: the same, but for a proxy."""
        ...

    async def url(self, port: int) -> str:
        """Return ``http://host:port`` of a server on ``port`` of the near side, for the far side."""
        ...

    async def change(self, *, up: Path | str | None = None, down: Path | str | None = None) -> None:
        """Be different from now on; waits until it is so. Cancelling leaves open whether it is.

        Args:
            up: From the far side to the near side. A `Path` is all of it, a text changes what it names.
            down: Back.

        Raises:
            SettingError: A text cannot be read.
            LinkError: The link died.
        """
        ...

    async def play(self, steps: Sequence[Step], start: float | None = None) -> None:
        """Follow a schedule in place of one that runs; waits until the link has it, not until it is over.

        Args:
            steps: What `parse_schedule` made.
            start: Its time 0, seconds of ``time.monotonic``; by default now.
        """
        ...

    async def stats(self) -> LinkStats:
        """Return the totals since the link was opened; waits for its process. Cancelling closes the link."""
        ...


@asynccontextmanager
async def open_link(
    *,
    up: Path | None = None,
    down: Path | None = None,
    seed: int = 1,
    schedule: Sequence[Step] = (),
    kind: Kind = "auto",
) -> AsyncIterator[Link]:
    """Open a link; takes it down at the end, after failure and cancellation too.

    Args:
        up: From the far side to the near side; by default a perfect line.
        down: Back.
        seed: Of loss and jitter.
        schedule: Begins when the link is open.
        kind: ``tun``, ``proxy``, or ``auto``: a tun where this machine has what it takes, else a proxy.

    Raises:
        LinkError: It cannot be built.
    """
    missing = tun_missing()
    if kind not in ("auto", "tun", "proxy"):
        raise SettingError("kind", kind, "auto, tun or proxy")
    if kind == "tun" and missing is not None:
        raise LinkError(f"no link over TUN: {missing}")
    if kind == "auto" and missing is not None:
        logger.warning("no link over TUN (%s): a proxy takes its place", missing)
    Carrier = ProxyLink if kind == "proxy" or missing is not None else TunLink  # noqa: N806  # a class
    async with Carrier(up or Path(), down or Path(), seed) as link:
        if schedule:
            await link.play(schedule, time.monotonic())
        yield link
