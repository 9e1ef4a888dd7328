"""The page in a Chromium without a window, and what can be read from it. Playwright drives it."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

import posewire
from posewire.server.web_page import WebPage

_FLAGS: Final = ("--no-sandbox", "--enable-unsafe-swiftshader")
_SOFTWARE: Final = ("--use-gl=angle", "--use-angle=swiftshader")
_SECONDS: Final = 30.0
_RENDERER: Final = """() => {
  const context = document.createElement('canvas').getContext('webgl2');
  const info = context?.getExtension('WEBGL_debug_renderer_info');
  const name = info ? context.getParameter(info.UNMASKED_RENDERER_WEBGL) : 'none';
  context?.getExtension('WEBGL_lose_context')?.loseContext();
  return name;
}"""


class BrowserError(Exception):
    """There is no browser, no Playwright, or no page; says how to get it."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What `web/viewer/src/meter.ts` has taken since the last look; milliseconds."""

    decode: list[float]
    update: list[float]
    submit: list[float]
    interval: list[float]
    ages: list[float]
    missed: int
    marks: dict[str, float]


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Since the browser began: seconds of CPU, and bytes."""

    thread: float
    """The page's main thread: scripts, layout, handing pictures over."""
    renderer: float
    """The page's process, all threads."""
    gpu: float
    """The process that draws: on the CPU, where it is SwiftShader."""
    heap: float
    """JavaScript's, garbage included."""
    resident: int
    """Of the page's process."""


class Page:
    """One page that is open. Made by `open_page`."""

    def __init__(self, page: Any, devtools: Any, version: str) -> None:
        self.page = page
        self.version = version
        self.complaints: list[str] = []
        self._devtools = devtools
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def load(self, link: str) -> None:
        """Go there, and wait until somebody moves."""
        await self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        await self.page.goto(link)
        async with asyncio.timeout(_SECONDS):
            # Its policy has no room for wait_for_function, which evaluates text.
            while not await self.page.evaluate("globalThis.posewireMeter?.moved"):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)

    async def renderer(self) -> str:
        """Return what draws, by the name it gives itself."""
        return str(await self.page.evaluate(_RENDERER))

    async def take(self) -> Measured:
        """Return what was measured since the last look."""
        return msgspec.convert(await self.page.evaluate("posewireMeter.take()"), Measured, strict=False)

    async def costs(self) -> Costs:
        """Look at the processes."""
        answer = await self._devtools.send("Performance.getMetrics")
        metrics = {metric["name"]: float(metric["value"]) for metric in answer["metrics"]}
        renderer, gpu = _processes("--type=renderer"), _processes("--type=gpu-process")
        return Costs(
            thread=metrics["TaskDuration"],
            renderer=_cpu(renderer),
            gpu=_cpu(gpu),
            heap=metrics["JSHeapUsedSize"],
            resident=sum(process.memory_info().rss for process in renderer),
        )

    async def collected(self) -> Costs:
        """Let it collect its garbage, then look."""
        await self._devtools.send("HeapProfiler.collectGarbage")
        return await self.costs()


@asynccontextmanager
async def open_page(width: int, height: int, *, gpu: bool) -> AsyncIterator[Page]:
    """Start a browser with an empty page.

    Raises:
        BrowserError: It cannot be.
    """
    program = os.environ.get("POSEWIRE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        raise BrowserError("no Playwright: scripts/install_browser.sh") from None
    if program is None:
        raise BrowserError("no Chromium: scripts/install_browser.sh")
    if not WebPage().built:
        raise BrowserError("the page is not built: make page")
    async with async_playwright() as playwright:
        flags = [*_FLAGS, *(() if gpu else _SOFTWARE)]
        chromium = await playwright.chromium.launch(executable_path=program, args=flags)
        try:
            page = await chromium.new_page(viewport={"width": width, "height": height})
            yield Page(page, await page.context.new_cdp_session(page), chromium.version)
        finally:
            await chromium.close()


def bundle_bytes() -> int:
    """Return the size of the page's scripts, compressed."""
    folder = Path(posewire.__file__).parent / "web"
    return sum(len(gzip.compress(file.read_bytes(), 9)) for file in folder.rglob("*.js"))


def _processes(kind: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if kind in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue  # it ended meanwhile
    return found


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
