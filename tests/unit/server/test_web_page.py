"""The page: which files are served, how, and that no others are."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import posewire
from posewire.cli import demo as demo_command
from posewire.cli import serve as serve_command
from posewire.server.web_page import HOW_TO_GET_IT, WebPage

Browser = TestClient[web.Request, web.Application]
SCRIPT = b"console.log('posewire');" * 50


def app_of(folder: Path) -> web.Application:
    app = web.Application()
    WebPage(folder).add_to(app)
    return app


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "index-abc123.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-abc123.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "audio-worklet.js").write_text("1")
    (folder / "notes.txt").write_text("not for others")
    (tmp_path / "secret.js").write_text("secret")
    async with TestClient(TestServer(app_of(folder)), auto_decompress=False) as client:
        yield client


async def test_the_page_and_its_policy(browser: Browser) -> None:
    async with browser.get("/") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        policy = answer.headers["Content-Security-Policy"]
        assert await gunzipped(answer) == b"<!doctype html>"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy  # nobody else's
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def gunzipped(answer: object) -> bytes:
    body = await answer.read()  # type: ignore[attr-defined]
    compressed = answer.headers.get("Content-Encoding") == "gzip"  # type: ignore[attr-defined]
    return gzip.decompress(body) if compressed else bytes(body)


@pytest.mark.parametrize("accepted", ["gzip, br", "identity"])
async def test_a_script_as_the_browser_takes_it(browser: Browser, accepted: str) -> None:
    for _ in range(2):  # the second time from memory
        async with browser.get("/assets/index-abc123.js", headers={"Accept-Encoding": accepted}) as answer:
            assert (answer.headers.get("Content-Encoding") == "gzip") is (accepted != "identity")
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert await gunzipped(answer) == SCRIPT


async def test_a_name_that_stays_is_asked_for_again(browser: Browser) -> None:
    async with browser.get("/assets/audio-worklet.js") as answer:
        assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/notes.txt", "/../secret.js", "/%2e%2e/secret.js", "/assets/../../secret.js", "/assets", "/assets/x.js"]
)
async def test_nothing_else_is_served(browser: Browser, path: str) -> None:
    async with browser.get(path) as answer:
        assert answer.status == 404


async def test_without_a_page_it_says_how_to_get_one(tmp_path: Path) -> None:
    assert not WebPage(tmp_path).built
    async with TestClient(TestServer(app_of(tmp_path))) as client, client.get("/") as answer:
        assert answer.status == 404
        assert await answer.text() == HOW_TO_GET_IT


async def test_a_link_keeps_the_token_behind_the_fragment() -> None:
    async with posewire.serve(config=posewire.Config()) as server:
        assert server.link("my room", "a.b.c") == f"{server.url}/#room=my+room&token=a.b.c"
        assert server.link("studio") == f"{server.url}/#room=studio"


@pytest.mark.parametrize("built", [False, True])
async def test_the_commands_say_where_the_page_is(monkeypatch: pytest.MonkeyPatch, built: bool) -> None:
    monkeypatch.setattr(WebPage, "built", built)
    async with posewire.serve(config=posewire.Config()) as server:
        lines = [serve_command._where_the_page_is(server), demo_command._page(server, 20.0)]
        assert server.has_page is built
    for line in lines:
        assert (line == HOW_TO_GET_IT) is not built
        assert (f"{server.url}/#room=studio&token=ey" in line) is built
