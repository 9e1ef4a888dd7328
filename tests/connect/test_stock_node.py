"""socket.io-client from npm in Node, unmodified, with both parsers and both transports. `make page` sets it up."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

import posewire
from posewire import PoseData, clock
from posewire.protocol import PoseProtocol
from tests.connect.conftest import Member, changed, eventually, heard, kinds, landmarks, next_frame, points, seen
from tests.connect.test_stock_clients import WAYS, event_header, header

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 20 or newer"),
    pytest.mark.skipif(
        not (WEB / "node_modules" / "socket.io-client").is_dir(),
        reason="needs web/node_modules: make page, or npm ci in web",
    ),
]


class NodeClient:
    """A process of Node with a stock client in it."""

    def __init__(self, parser: str, transports: tuple[str, ...]) -> None:
        self.parser = parser
        self.transports = transports
        self.said: list[tuple[str, Any]] = []
        self._task: asyncio.Task[None] | None = None

    async def connect(self, server: posewire.Server, token: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(HERE / "stock_client.mjs"),
            server.url,
            self.parser,
            ",".join(self.transports),
            json.dumps({"token": token}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._task = asyncio.create_task(self._listen(), name="node")
        await eventually(lambda: bool(self.of("connect") or self.of("connect_error")), seconds=30)

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            async with asyncio.timeout(30):
                await self._process.wait()
                await self._task

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line, object_hook=_revive)
            self.said.append((told["event"], told.get("data")))

    def of(self, event: str) -> list[Any]:
        return [data for name, data in self.said if name == event]

    def do(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what, default=_pack).encode() + b"\n")

    async def ask(self, event: str, data: Any) -> Any:
        count = len(self.of("answer"))
        self.do(call=event, data=data)
        await eventually(lambda: len(self.of("answer")) > count, seconds=30)
        ok, result = self.of("answer")[-1]
        assert ok, result
        return result

    async def enter(self, server: posewire.Server, name: str) -> Any:
        await self.connect(server, server.issue_token(name))
        assert self.of("connect") in ([self.transports[0]], [self.transports[-1]])
        return await self.ask("room.join", {"room": "studio", "create": True})


def _pack(value: bytes) -> dict[str, str]:
    return {"$": base64.b64encode(value).decode()}


def _revive(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$"]) if set(value) == {"$"} else value


@pytest.fixture
async def server() -> AsyncIterator[posewire.Server]:
    async with posewire.serve(config=changed(server={"long_polling": True})) as server:
        yield server


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'-'.join(way[1])}")
async def node(request: pytest.FixtureRequest) -> AsyncIterator[NodeClient]:
    async with NodeClient(*request.param) as client:
        yield client


async def test_it_joins_sends_receives_and_leaves(server: posewire.Server, member: Member, node: NodeClient) -> None:
    async with member("alice", config=changed(sender={"protocol_version": "v2"})) as alice:
        presences, gestures, frames = seen(alice), heard(alice, "gesture"), alice.frames()
        joined = await node.enter(server, "node")
        assert [one["id"] for one in joined["snapshot"]["members"]] == ["alice", "node"]
        await eventually(lambda: ("joined", "node") in kinds(presences))

        # From Python, in both ways of delivery.
        for seed in range(10):
            await alice.send_pose(landmarks(seed))
            await eventually(lambda seed=seed: len(node.of("frame")) > seed)  # type: ignore[misc]
            pose = msgpack.unpackb(node.of("frame")[seed][20:-8])[0]
            assert (np.frombuffer(pose, dtype="<f4").reshape(-1, 4) == landmarks(seed)).all()
        await alice.send_event("gesture", "wave")
        await eventually(lambda: len(node.of("frame")) == 11)

        # To Python, version 1 and 2, and an event that is acknowledged.
        number = await node.ask("stream.open", {"kind": "pose", "name": "camera"})
        for seq in range(10):
            version = 1 + seq % 2
            protocol = PoseProtocol(version=f"v{version}")
            protocol.signing_key = joined["key"]
            body = protocol.encode_pose(PoseData(landmarks(seq)), now=clock.now()).body
            node.do(emit="frame", data=header(joined["number"], number, seq, version=version) + body)
            frame = await next_frame(frames)
            assert (frame.user_id, frame.stream, frame.seq) == ("node", "camera", seq)
            assert (points(frame) == landmarks(seq)).all()
        event = event_header(joined["number"], 0) + b"\x00" + msgpack.packb(["gesture", {"by": "node"}])
        assert await node.ask("frame", event) == 1
        await eventually(lambda: [each.data for each in gestures] == [{"by": "node"}])

        assert await node.ask("room.leave", {"room": "studio"}) is True
        await eventually(lambda: ("left", "node") in kinds(presences))


async def test_a_wrong_token_and_a_kick(server: posewire.Server, member: Member, node: NodeClient) -> None:
    async with NodeClient(node.parser, node.transports) as stranger:
        await stranger.connect(server, "wrong")
        (refusal,) = stranger.of("connect_error")
        assert "Authentication failed" in refusal["message"]
        assert refusal["data"]["type"] == "AuthError"
    async with member("alice") as alice:
        await node.enter(server, "node")
        await alice.rooms.kick_member("studio", "node", "singing")
        await eventually(lambda: bool(node.of("disconnect")))
        assert "singing" in node.of("bye")[0]["reason"]
