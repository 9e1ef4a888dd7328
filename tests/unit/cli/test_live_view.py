"""The picture on a terminal, made of a real session."""

from __future__ import annotations

import io

from rich.console import Console

import posewire
from posewire.cli.live_view import LiveView
from posewire.sources import SyntheticMotion
from tests.connect.conftest import CONFIG, eventually


async def test_people_are_drawn_with_their_figures() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=30, _environ={})
    async with posewire.serve(config=CONFIG) as server:
        tokens = [server.issue_token(name) for name in ("[red]alice[/]", "watcher")]
        async with (
            posewire.connect(server.url, token=tokens[0], room="studio", config=CONFIG) as alice,
            posewire.connect(server.url, token=tokens[1], room="studio", config=CONFIG) as watcher,
        ):
            view = LiveView(watcher, console, "room studio")
            async with view.shown():
                await eventually(lambda: "Nobody has sent anything yet" in out.getvalue())
                await alice.send_pose(SyntheticMotion().pose(0))
                await eventually(lambda: "bytes/frame" in out.getvalue())
                watcher.receiver.drops["wrong_key"] += 7
                await eventually(lambda: "refused: 7 wrong_key" in out.getvalue())
            assert view.dropped == 0
    picture = out.getvalue()
    assert "[red]alice[/]" in picture, "a name is text, not markup"
    assert "2 in the room" in picture
    assert "⠀" in picture
    assert picture.count("\x1b[?1049h") == picture.count("\x1b[?1049l") == 1, "the terminal is as it was"
    assert picture.count("\x1b[?25l") == picture.count("\x1b[?25h") == 1, "the cursor is back"
