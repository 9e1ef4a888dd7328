"""Everyone in the room, as they move, in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from posewire import clock
from posewire.cli.canvas import Canvas
from posewire.cli.figures import refused_line, stream_lines
from posewire.monitor import StreamFigures
from posewire.protocol import PoseData
from posewire.session import Session

_FRAMES_PER_SECOND = 20
_MOST_PEOPLE = 6
_GONE_SECONDS = 2.0


class LiveView:
    """Draws a session's room on the whole terminal, 20 times a second, until it is left.

    Args:
        session: What to show.
        console: Where to; a terminal.
        title: Shown on top.
    """

    def __init__(self, session: Session, console: Console, title: str) -> None:
        self._session = session
        self._console = console
        self._title = title
        self._frames = session.frames()
        self._poses: dict[str, tuple[PoseData, float]] = {}
        self._canvases: dict[tuple[str, int, int], Canvas] = {}

    @property
    def dropped(self) -> int:
        """Frames this view was too slow for."""
        return self._frames.dropped

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the view for as long as the block runs; the terminal is as before afterwards."""
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._collect(), name="posewire.view.collect"),
                        group.create_task(self._redraw(live), name="posewire.view.redraw"),
                    ]
                    yield
                    for task in tasks:
                        task.cancel()
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def _collect(self) -> None:
        async for frame in self._frames:
            if frame.pose is not None:
                self._poses[frame.user_id] = (frame.pose, clock.monotonic())

    async def _redraw(self, live: Live) -> None:
        while True:
            live.update(self._picture(), refresh=True)
            await asyncio.sleep(1 / _FRAMES_PER_SECOND)

    def _picture(self) -> RenderableType:
        figures = {line.user_id: line for line in self._session.receiver.stats()}
        present = set(self._session.rooms.state.members) if self._session.rooms.state is not None else set()
        people = [user for user in self._poses if user in present][:_MOST_PEOPLE]
        layout = Layout()
        layout.split_column(Layout(self._head(present), size=1), Layout(name="people"))
        if not people:
            layout["people"].update(Text("\n  Nobody has sent anything yet.", style="dim"))
            return layout
        size = self._console.size
        columns, rows = max(8, size.width // len(people) - 4), max(4, size.height - 5)
        layout["people"].split_row(*(self._person(user, figures.get(user), columns, rows) for user in people))
        return layout

    def _head(self, present: set[str]) -> Text:
        state = "" if self._session.socket.connected else "   reconnecting …"
        refused = refused_line(self._session)
        return Text.assemble(
            (f" {self._title} ", "bold reverse"),
            f"  {len(present)} in the room · Ctrl-C leaves",
            (state, "bold red"),
            (f"   refused: {refused}" if refused else "", "bold red"),
        )

    def _person(self, user: str, figures: StreamFigures | None, columns: int, rows: int) -> Layout:
        pose, when = self._poses[user]
        canvas = self._canvases.setdefault((user, columns, rows), Canvas(columns, rows))
        stale = clock.monotonic() - when > _GONE_SECONDS
        picture = Text("\n".join(canvas.draw(pose)), style="dim" if stale else "cyan", no_wrap=True)
        text = "\n".join(stream_lines(figures)) if figures is not None else ""
        lines = Text(text, style="dim", no_wrap=True, overflow="ellipsis")
        return Layout(
            Panel(Group(picture, lines), title=Text(user + (" (silent)" if stale else "")), border_style="blue")
        )
