"""`@posewire/client` in a page of one's own: what it publishes arrives in Python as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

import posewire
from tests.browser.test_page import CHROMIUM, CONFIG, ROOM, async_api

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "web" / "client" / "dist"
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: scripts/install_browser.sh"),
    pytest.mark.skipif(not (CLIENT / "index.js").is_file(), reason="the client is not built: make page"),
]

PUBLISH = """async ({ url, token, room, version, pose, face, hands }) => {
  const { connect } = await import('/client/index.js');
  const floats = (list) => list && Float32Array.from(list);
  const session = await connect({ url, token, room });
  const publisher = await session.publishPoses('main', { version });
  const whole = { skeleton: 'mediapipe33', pose: floats(pose), face: floats(face), hands: floats(hands) };
  setInterval(() => publisher.send(whole), 33);
}"""

SPEAK = """async ({ url, token, room, codec }) => {
  const { connect, openMicrophone } = await import('/client/index.js');
  const session = await connect({ url, token, room });
  const voice = await session.publishAudio('voice', { codec });
  await openMicrophone(voice, '/client/audio-worklet.js');
  return voice.codec;
}"""


async def _blank(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html>", content_type="text/html")


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    app = web.Application()
    app.router.add_static("/client", CLIENT)
    app.router.add_get("/", _blank)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with async_api.async_playwright() as playwright:
        # Its microphone beeps, and nobody is asked.
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = await chromium.new_page()
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        yield page
        await chromium.close()
    await runner.cleanup()


@pytest.mark.parametrize("version", [2, 3])
async def test_what_a_page_publishes_arrives_in_python(page: Any, version: int) -> None:
    vectors = json.loads((ROOT / "tests" / "vectors" / "v3.json").read_text())
    frame = vectors["streams"][1]["frames"][0]["pose"]  # on the steps of version 3, so exact in both
    parts = {
        name: np.frombuffer(bytes.fromhex(frame[name]), dtype="<f4").tolist() if frame[name] else None
        for name in ("pose", "face", "hands")
    }
    async with (
        posewire.serve(config=CONFIG) as server,
        posewire.connect(server.url, token=server.issue_token("py"), room=ROOM, config=CONFIG) as session,
    ):
        frames = session.frames()
        token = server.issue_token("page")
        await page.evaluate(PUBLISH, {"url": server.url, "token": token, "room": ROOM, "version": version, **parts})
        async with asyncio.timeout(30):
            for _ in range(10):
                arrived = await anext(frames)
        assert arrived.user_id == "page"
        assert arrived.pose is not None
        for name in ("pose", "face"):
            found = getattr(arrived.pose, f"{name}_landmarks")
            assert found.astype("<f4").tobytes().hex() == frame[name]


@pytest.mark.parametrize("codec", ["opus", "pcm"])
async def test_what_a_page_hears_arrives_in_python(page: Any, codec: str) -> None:
    if codec == "opus":
        pytest.importorskip("av", reason="needs the extra audio")
    async with (
        posewire.serve(config=CONFIG) as server,
        posewire.connect(server.url, token=server.issue_token("py"), room=ROOM, config=CONFIG) as session,
    ):
        frames = session.frames("audio")
        arguments = {"url": server.url, "token": server.issue_token("page"), "room": ROOM, "codec": codec}
        assert await page.evaluate(SPEAK, arguments) == codec
        heard: list[posewire.Frame] = []
        async with asyncio.timeout(30):
            while len(heard) < 100:  # two seconds: it beeps once in one
                heard.append(await anext(frames))
        sounds = [frame.audio for frame in heard if frame.audio is not None]
        assert {sound.sample_rate for sound in sounds} == {48_000}
        full = [1.0 if sound.samples.dtype == np.float32 else 32_768.0 for sound in sounds]
        assert max(float(np.abs(each.samples).max()) / most for each, most in zip(sounds, full, strict=True)) > 0.05
        # A piece begins where the one before it ended, by the sound's own clock.
        steps = np.diff([frame.timestamp for frame in heard])
        assert abs(float(np.median(steps)) - 0.02) < 0.002
        assert all(-0.1 < frame.age < 5 for frame in heard)
