"""The page in a real Chromium, and people in Python to be seen. `scripts/install_browser.sh` gets what it needs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
import pytest_asyncio

import posewire
from posewire.cli.options import source_of
from posewire.server.web_page import WebPage

async_api = pytest.importorskip("playwright.async_api", reason="needs Playwright: scripts/install_browser.sh")
CHROMIUM = os.environ.get("POSEWIRE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # that of the browser: starting one takes as long as a test
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: scripts/install_browser.sh"),
    pytest.mark.skipif(not WebPage().built, reason="the page is not built: make page"),
]

MS = 30_000
ROOM = "studio"
SHOTS = Path(os.environ.get("POSEWIRE_SCREENSHOTS") or Path(__file__).parents[2] / "artifacts" / "browser")
CONFIG = posewire.Config(
    security=posewire.SecurityConfig(secret_key="for tests only, " + "0123456789abcdef" * 3),
    server=posewire.ServerConfig(drain_timeout=1000),
)
# Counts pixels that differ, in a page that has nothing to do with ours.
DIFFERENCE = """async (images) => {
  const [a, b] = await Promise.all(images.map(async (image) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${image}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  }));
  let count = 0;
  for (let i = 0; i < a.length; i += 4) if (Math.abs(a[i] - b[i]) + Math.abs(a[i + 1] - b[i + 1]) > 24) count++;
  return count;
}"""


class Browser:
    """One page, and what it complained of."""

    def __init__(self, page: Any, scratch: Any) -> None:
        self.page = page
        self.scratch = scratch
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    async def moves(self, user: str) -> int:
        """Return how many pixels of a person's tile change within half a second."""
        return await self.changes(await self.page.locator(f'.tile[data-user="{user}"] .place').bounding_box())

    async def changes(self, box: Any) -> int:
        """Return how many pixels of a rectangle change within half a second."""
        images = []
        for _ in range(2):
            images.append(base64.b64encode(await self.page.screenshot(clip=box)).decode())
            await asyncio.sleep(0.5)
        return int(await self.scratch.evaluate(DIFFERENCE, images))

    async def state(self, state: str) -> None:
        """Wait until the page says so."""
        await self.page.wait_for_selector(f'body[data-state="{state}"]', timeout=MS)

    async def keep(self, name: str) -> None:
        """Keep a picture of this state for people to look at, in artifacts/browser or POSEWIRE_SCREENSHOTS."""
        await self.page.screenshot(path=SHOTS / f"{name}.png")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Any]:
    async with async_api.async_playwright() as playwright:
        flags = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader"]
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: Any) -> AsyncIterator[Browser]:
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})  # remembers nothing of another test
    yield Browser(await context.new_page(), await context.new_page())
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[posewire.Server]:
    async with posewire.serve(config=CONFIG) as server:
        yield server


@contextlib.asynccontextmanager
async def people(server: posewire.Server, *names: str, key: str | None = None) -> AsyncIterator[None]:
    async def perform(name: str) -> None:
        token = server.issue_token(name)
        async with posewire.connect(server.url, token=token, room=ROOM, room_key=key, config=CONFIG) as session:
            async for frame in source_of(name):
                await session.send_pose(frame.pose)

    tasks = [asyncio.create_task(perform(name), name=name) for name in names]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def link(server: posewire.Server, key: str = "") -> str:
    return server.link(ROOM, server.issue_token("viewer", publish=False)) + (f"&key={key}" if key else "")


async def test_two_people_move_and_one_leaves(server: posewire.Server, browser: Browser) -> None:
    async with people(server, "signing"):
        async with people(server, "jump"):
            await browser.page.goto(link(server))
            await browser.state("connected")
            for name in ("signing", "jump"):
                await browser.page.wait_for_selector(f'.tile[data-user="{name}"] .figures:not(:empty)', timeout=MS)
                assert await browser.moves(name) > 50
            await browser.keep("two-people")
            measured = await browser.page.evaluate("posewireMeter.take()")
            assert measured["marks"]["joined"] <= measured["marks"]["moved"]
            assert len(measured["decode"]) == len(measured["interval"]) > 0
            assert max(measured["decode"]) > 0
            assert len(measured["ages"]) > 10
        await browser.page.wait_for_selector('.tile[data-user="jump"]', state="detached", timeout=MS)
    assert browser.complaints == []
    assert all(url.startswith((server.url, server.url.replace("http", "ws"))) for url in browser.asked)
    assert "token" not in await browser.page.evaluate("location.href")


async def test_a_server_that_starts_anew(browser: Browser) -> None:
    first = posewire.serve(config=CONFIG)
    async with first:
        await browser.page.goto(link(first))
        await browser.state("connected")
    await browser.state("waiting")
    assert "Reconnecting" in await browser.page.inner_text("#alert")
    await browser.keep("reconnecting")
    async with posewire.serve(port=first.port, config=CONFIG) as second, people(second, "jump"):
        await browser.state("connected")
        await browser.page.wait_for_selector('.tile[data-user="jump"] .figures:not(:empty)', timeout=MS)


async def test_a_wrong_token_is_said(server: posewire.Server, browser: Browser) -> None:
    await browser.page.goto(server.link(ROOM, "nonsense"))
    await browser.page.wait_for_selector("#entry-problem:not([hidden])", timeout=MS)
    assert "does not let you in" in await browser.page.inner_text("#entry-problem")
    await browser.keep("wrong-token")


async def test_a_sealed_room_with_and_without_the_key(server: posewire.Server, browser: Browser) -> None:
    key = "correct horse battery"
    async with people(server, "jump", key=key):
        await browser.page.goto(link(server))
        await browser.page.wait_for_selector("#alert:not([hidden])", timeout=MS)
        assert "has no room key" in await browser.page.inner_text("#alert")
        await browser.keep("sealed-without-key")
        await browser.page.goto("about:blank")
        await browser.page.goto(link(server, key.replace(" ", "+")))
        await browser.page.wait_for_selector('.tile[data-user="jump"] .figures:not(:empty)', timeout=MS)
        assert await browser.moves("jump") > 50
        await browser.keep("sealed-with-key")
    assert browser.complaints == []


@pytest.mark.parametrize("codec", ["pcm", "opus"])
async def test_who_speaks_has_a_ring_and_is_heard(
    server: posewire.Server, browser: Browser, codec: Literal["pcm", "opus"]
) -> None:
    if codec == "opus":
        pytest.importorskip("av", reason="needs the extra audio")
    config = msgspec.structs.replace(CONFIG, media=posewire.MediaConfig(codec=codec))

    async def speak() -> None:
        waves = np.sin(np.arange(960) * 2 * np.pi * 440 / 48_000)
        sound = posewire.AudioChunk((12_000 * waves).astype(np.int16), 48_000)
        async with posewire.connect(server.url, token=server.issue_token("ada"), room=ROOM, config=config) as session:
            while True:
                await session.send_audio(sound)
                await asyncio.sleep(0.02)

    speaking = asyncio.create_task(speak(), name="speak")
    try:
        await browser.page.goto(link(server))
        await browser.page.wait_for_selector('.tile[style*="--level: 0."]', timeout=MS)
        await browser.keep("speaking")
        await browser.page.click("#sound")
        await browser.page.wait_for_selector('#sound[aria-pressed="true"]', timeout=MS)
        await asyncio.sleep(0.5)  # some of it reaches the worklet
    finally:
        speaking.cancel()
    assert browser.complaints == []


async def test_name_and_password(server: posewire.Server, browser: Browser) -> None:
    await server.add_user("carol", "a long password")
    await browser.page.goto(f"{server.url}/#room={ROOM}")
    for password, selector in (
        ("wrong", "#entry-problem:not([hidden])"),
        ("a long password", 'body[data-state="connected"]'),
    ):
        await browser.page.wait_for_selector("#entry[open]", timeout=MS)
        await browser.keep("name-and-password")
        await browser.page.fill('[name="username"]', "carol")
        await browser.page.fill('[name="password"]', password)
        await browser.page.press('[name="password"]', "Enter")
        await browser.page.wait_for_selector(selector, timeout=MS)


async def test_keys_and_a_phone(server: posewire.Server, browser: Browser) -> None:
    page = browser.page
    async with people(server, "signing", "jump"):
        await page.goto(link(server))
        await page.wait_for_selector('.tile[data-user="jump"] .figures:not(:empty)', timeout=MS)
        await page.focus('.tile[data-user="jump"]')
        await page.keyboard.press("Enter")
        assert await page.locator(".tile:visible").count() == 1
        await page.keyboard.press("Escape")
        assert await page.locator(".tile:visible").count() == 2
        theme = await page.get_attribute("html", "data-theme")
        await page.keyboard.press("l")
        assert await page.get_attribute("html", "data-theme") != theme
        await browser.keep("dark")
        await page.set_viewport_size({"width": 390, "height": 780})
        await page.keyboard.press("p")
        assert not await page.is_visible("#panel")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await asyncio.sleep(0.5)
        await browser.keep("phone")
    assert browser.complaints == []


async def test_all_in_one_space(server: posewire.Server, browser: Browser) -> None:
    page = browser.page
    async with people(server, "signing", "jump", "squats"):
        await page.goto(link(server))
        for name in ("signing", "jump", "squats"):
            await page.wait_for_selector(f'.tile[data-user="{name}"] .figures:not(:empty)', timeout=MS)
        await page.keyboard.press("v")
        await page.wait_for_selector('body[data-view="space"]', timeout=MS)
        assert await page.get_attribute("#space", "aria-pressed") == "true"
        assert await page.locator(".tile .place:visible").count() == 0
        await asyncio.sleep(1.0)  # they walk to their places
        assert await browser.changes(await page.locator("#stage").bounding_box()) > 100
        await browser.keep("space")
        # Names hang over three places, and turn with the view.
        before = [await page.locator(f'.tile[data-user="{name}"]').bounding_box() for name in ("signing", "squats")]
        assert before[0]["x"] + 50 < before[1]["x"]
        await page.mouse.move(400, 600)
        await page.mouse.down()
        await page.mouse.move(750, 600, steps=4)
        await page.mouse.up()
        await asyncio.sleep(0.5)
        after = [await page.locator(f'.tile[data-user="{name}"]').bounding_box() for name in ("signing", "squats")]
        assert abs((after[1]["x"] - after[0]["x"]) - (before[1]["x"] - before[0]["x"])) > 50
        await browser.keep("space-turned")
        # It is in the link, and there after a reload; the token is not.
        href = await page.evaluate("location.href")
        assert "view=space" in href
        assert "token" not in href
        await page.reload()
        await page.wait_for_selector('body[data-view="space"][data-state="connected"]', timeout=MS)
        await page.click("#space")
        await page.wait_for_selector('.tile[data-user="jump"] .place', state="visible", timeout=MS)
    assert browser.complaints == []


async def test_names_are_text(server: posewire.Server, browser: Browser) -> None:
    name = '<img src=x onerror="document.title=1">'
    token = server.issue_token(name)
    async with posewire.connect(server.url, token=token, room=ROOM, config=CONFIG):
        await browser.page.goto(link(server))
        await browser.page.wait_for_selector(".tile h2", timeout=MS)
        assert await browser.page.inner_text(".tile h2") == name
        assert await browser.page.locator("img").count() == 0
