"""Every example does what it says, over a real server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import clock
from posewire.recording import load_recording
from posewire.sources import Playback, SyntheticMotion, VideoSource, sample_path
from tests.connect.conftest import CONFIG, eventually, points
from tests.unit.sources import fake_backend

EXAMPLES = Path(__file__).parents[2] / "examples"
WEB = Path(__file__).parents[2] / "web" / "node_modules"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
PATIENCE = 60.0


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[posewire.Server]:
    """A server that examples find, and a token for them."""
    monkeypatch.chdir(tmp_path)
    async with posewire.serve(config=CONFIG) as server:
        monkeypatch.setenv("POSEWIRE_URL", server.url)
        monkeypatch.setenv("POSEWIRE_TOKEN", server.issue_token("example"))
        yield server


def member(server: posewire.Server, name: str, room: str = "studio") -> posewire.Session:
    return posewire.connect(server.url, token=server.issue_token(name), room=room, config=CONFIG)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def running(main: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run an example meanwhile, and end it as Ctrl-C does."""
    task = asyncio.create_task(main)
    try:
        async with asyncio.timeout(PATIENCE):
            yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def joined(session: posewire.Session, user: str) -> None:
    """Wait until the example is in the room."""
    await eventually(lambda: session.rooms.state is not None and user in session.rooms.state.members)


async def first(session: posewire.Session, **which: Any) -> posewire.Frame:
    return await anext(session.frames(**which))


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_short_and_say_what_to_run(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert text.count("\n") <= 60
    doc = example(name).__doc__ or ""
    assert f"python examples/{name}.py" in doc
    assert f"[{name}.py]({name}.py)" in (EXAMPLES / "README.md").read_text()


async def test_capture_loop_as_a_shell_runs_it(server: posewire.Server) -> None:
    async with member(server, "watcher") as watcher:
        frames = watcher.frames()
        process = await asyncio.create_subprocess_exec(
            sys.executable, EXAMPLES / "capture_loop.py", env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        try:
            got = [await anext(frames) for _ in range(3)]
        finally:
            process.terminate()
            await process.wait()
    assert [frame.user_id for frame in got] == ["example"] * 3
    assert points(got[0]).shape == (33, 4)


async def test_custom_skeleton(server: posewire.Server) -> None:
    async with member(server, "watcher") as watcher, running(example("custom_skeleton").main()):
        frame = await first(watcher, stream="arm")
        assert frame.pose is not None
        assert frame.pose.skeleton == "arm5"
        # Each bone is as long as it should be, to the step of the codec.
        bones = np.linalg.norm(np.diff(points(frame)[:, :3], axis=0), axis=1)
        assert np.allclose(bones, 0.2, atol=0.002)


async def test_gesture_bot_greets_once_for_each_raise(server: posewire.Server) -> None:
    bot = example("gesture_bot")
    heard: asyncio.Queue[posewire.Event] = asyncio.Queue()
    standing = np.array(SyntheticMotion().pose(0).pose_landmarks)
    standing[15:17, 1] = 0.5
    async with member(server, "alice") as alice, running(bot.main()):
        alice.on("gesture", heard.put_nowait)
        await joined(alice, "example")
        # The nose is at 0.15: up, a little lower, still up, down, up again; then the other hand.
        for left, right in ((0.10, 0.5), (0.17, 0.5), (0.12, 0.5), (0.5, 0.5), (0.10, 0.5), (0.10, 0.10)):
            standing[15:17, 1] = left, right
            before = alice.sender.sent
            await alice.send_pose(standing)
            # Poses replace each other, and each of these matters.
            await eventually(lambda before=before: alice.sender.sent > before)  # type: ignore[misc]
        events = [await heard.get() for _ in range(3)]
        assert {event.user_id for event in events} == {"example"}
        assert [event.data["hand"] for event in events] == ["left", "left", "right"]
        assert events[0].data == {"name": "hello", "to": "alice", "hand": "left"}
    nobody = posewire.PoseData(np.full((33, 4), np.nan, dtype=np.float32))
    assert bot.raised(nobody, margin=0.0) == set()
    assert bot.raised(posewire.PoseData(np.zeros((5, 4), dtype=np.float32), skeleton="arm5"), margin=0.0) == set()


async def test_bridge_rooms_with_names_that_are_as_long_as_they_may_be(server: posewire.Server) -> None:
    streams = ["x" * 127 + end for end in "ab"]
    async with (
        member(server, "alice", "studio") as alice,
        member(server, "bob", "stage") as bob,
        running(example("bridge_rooms").main("studio", "stage")),
    ):
        await joined(alice, "example")
        await joined(bob, "example")
        poses, seen = bob.frames("pose"), set[str]()
        waiting = asyncio.create_task(anext(poses))
        while len(seen) < 2:
            for stream in streams:
                await alice.send_pose(np.full((33, 4), 0.5), stream=stream)
            await asyncio.sleep(0.02)
            if waiting.done():
                seen.add(waiting.result().stream)
                waiting = asyncio.create_task(anext(poses))
        waiting.cancel()
        await asyncio.wait([waiting])
    assert {len(stream) for stream in seen} == {128}
    assert all(stream.startswith("alice/xxx") for stream in seen)


async def test_bridge_rooms_both_ways(server: posewire.Server) -> None:
    async with (
        member(server, "alice", "studio") as alice,
        member(server, "bob", "stage") as bob,
        running(example("bridge_rooms").main("studio", "stage")),
    ):
        await joined(alice, "example")
        await joined(bob, "example")
        for here, there, name in ((alice, bob, "alice"), (bob, alice, "bob")):
            poses, sounds, own = there.frames("pose"), there.frames("audio"), here.frames()
            pose = asyncio.create_task(anext(poses))
            sound = asyncio.create_task(anext(sounds))
            while not (pose.done() and sound.done()):  # until the bridge's own loops have begun
                await here.send_pose(np.full((33, 4), 0.5), timestamp=clock.now() - 3)
                await here.send_audio(np.zeros(441, dtype=np.int16))
                await asyncio.sleep(0.02)
            assert pose.result().user_id == "example"
            assert pose.result().stream == f"{name}/pose"
            assert pose.result().age > 2.5, "capture times go along"
            assert sound.result().stream == f"{name}/audio"
            back = asyncio.create_task(anext(own))
            await asyncio.sleep(0.05)
            assert not back.done(), "nothing comes back"
            back.cancel()
            await asyncio.wait([back])


@pytest.mark.parametrize("name", ["jump", "signing"])
async def test_save_npz_can_be_played_again(server: posewire.Server, tmp_path: Path, name: str) -> None:
    file = tmp_path / "saved.npz"
    async with member(server, "alice") as alice, running(example("save_npz").main("alice", file, 0.3)) as saving:
        await joined(alice, "example")
        async for frame in Playback(load_recording(sample_path(name))):
            await alice.send_pose(frame.pose, timestamp=frame.timestamp)
            if saving.done():
                break
    saved, original = load_recording(file), load_recording(sample_path(name))
    assert saved.duration == pytest.approx(0.3, abs=0.25)
    assert saved.landmarks.shape[1:] == original.landmarks.shape[1:]
    pose, before = saved.pose(0), original.pose(0)
    assert (pose.face_landmarks is None, pose.skeleton) == (before.face_landmarks is None, before.skeleton)
    # It is one of the recording's poses, to the step of the codec.
    difference = np.abs(original.landmarks - saved.landmarks[0])[..., :2]
    assert np.nanmin(np.nanmax(difference, axis=(1, 2))) < 1 / 2048


async def test_send_video(server: posewire.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("send_video")
    fake: Callable[..., VideoSource] = functools.partial(VideoSource, backend=fake_backend.NAME)
    monkeypatch.setattr(module, "VideoSource", fake)
    async with member(server, "watcher") as watcher:
        frames = watcher.frames()
        await module.main("frames=5,fps=50")
        frame = await anext(frames)
    assert frame.user_id == "example"
    assert 0 <= points(frame)[0, 0] <= 4


@pytest.mark.parametrize("serializer", ["default", "msgpack"])
async def test_stock_client(server: posewire.Server, capsys: pytest.CaptureFixture[str], serializer: str) -> None:
    config = msgspec.structs.replace(CONFIG, sender=posewire.SenderConfig(protocol_version="v2"))
    async with posewire.connect(server.url, token=server.issue_token("alice"), room="studio", config=config) as alice:
        async with running(example("stock_client").main(serializer)):
            await joined(alice, "example")
            await stock_client_does_its_job(alice, lambda: capsys.readouterr().out)


async def stock_client_does_its_job(alice: posewire.Session, output: Callable[[], str]) -> None:
    """It sends an arm, and says in words what we send."""
    frame = await first(alice, stream="arm")
    assert frame.user_id == "example"
    assert frame.pose is not None
    assert frame.pose.skeleton == "arm3"
    assert points(frame)[1].tolist() == [0.5, 0.5, 0.0, 1.0]
    assert abs(frame.age) < 1
    said = ""
    async with asyncio.timeout(PATIENCE):
        while not re.search(r"33 points of mediapipe33, the first at \(0\.25, 0\.5, 0(\.0)?\)", said):
            await alice.send_pose(np.full((33, 4), (0.25, 0.5, 0.0, 1.0), dtype=np.float32))
            await asyncio.sleep(0.02)
            said += output()
    assert "member 1, stream 1, frame 0" in said
    assert '"stream"' in said or "'stream'" in said


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 20 or newer")
@pytest.mark.skipif(not (WEB / "notepack.io").is_dir(), reason="needs web/node_modules: make page, or npm ci in web")
async def test_stock_client_in_javascript(server: posewire.Server, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "stock_client.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(WEB)
    config = msgspec.structs.replace(CONFIG, sender=posewire.SenderConfig(protocol_version="v2"))
    async with posewire.connect(server.url, token=server.issue_token("alice"), room="studio", config=config) as alice:
        with (tmp_path / "said").open("wb") as said:
            process = await asyncio.create_subprocess_exec("node", "stock_client.mjs", cwd=tmp_path, stdout=said)
            try:
                await stock_client_does_its_job(alice, (tmp_path / "said").read_text)
            finally:
                process.terminate()
                await process.wait()


def test_the_client_in_javascript_is_short_and_says_what_to_run() -> None:
    text = (EXAMPLES / "stock_client.mjs").read_text()
    assert text.count("\n") <= 60
    assert "node examples/stock_client.mjs" in text
    assert "(stock_client.mjs)" in (EXAMPLES / "README.md").read_text()
