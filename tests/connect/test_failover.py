"""A server that is gone: the session goes on at another one that takes the same tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import posewire
from posewire import AuthError, ConfigurationError, ConnectionError, SecurityError
from tests.connect.conftest import changed, eventually, heard, knows, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy

SECRET = {"secret_key": "s" * 48}
CONFIG = changed(security=SECRET)
NOBODY = "http://127.0.0.1:9"


class Two:
    """Two servers with one secret, each behind a proxy."""

    def __init__(self, servers: list[posewire.Server], proxies: list[FaultProxy]) -> None:
        self.first, self.second = servers
        self.proxies = proxies
        self.urls = [proxy.url for proxy in proxies]

    def session(self, name: str, config: posewire.Config = CONFIG, **options: Any) -> posewire.Session:
        options = {"token": self.first.issue_token(name), "room": "studio", "config": config, **options}
        session = posewire.connect(self.urls[0], **options)
        session.socket.set_endpoints(self.urls)
        return session

    def kill_first(self) -> None:
        """What clients see of a server that is killed: all is reset, and nobody listens any more."""
        listener = self.proxies[0]._server
        assert listener is not None
        listener.close()
        self.proxies[0].cut()


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(posewire.serve(config=CONFIG)) for _ in range(2)]
        proxies = [await stack.enter_async_context(FaultProxy(server.port)) for server in servers]
        yield Two(servers, proxies)


async def test_a_killed_endpoint(two: Two) -> None:
    async with two.session("alice") as alice, two.session("bob") as bob:
        reconnects, moves, got = heard(bob, "reconnect"), heard(bob, "endpoint"), heard(bob, "n")
        frames = bob.frames()
        await alice.send_pose(landmarks(1))
        assert (points(await next_frame(frames)) == landmarks(1)).all()
        assert bob.socket.next_endpoint() == two.urls[1]
        two.kill_first()
        await eventually(lambda: knows(bob, "alice", "bob") and knows(alice, "alice", "bob") and bool(reconnects))
        await eventually(lambda: two.second.stats().connections == 2)
        assert reconnects[0].data == {"count": 1, "resumed": False, "reason": f"{two.urls[1]} is another server"}
        assert moves[0].data == {"url": two.urls[1], "before": two.urls[0]}
        assert bob.socket.url == two.urls[1]
        await alice.send_pose(landmarks(2))
        assert (points(await next_frame(frames)) == landmarks(2)).all()
        await alice.send_event("n", 1)
        await eventually(lambda: [event.data for event in got] == [1])
        usage = bob.socket.get_endpoint_usage()
        assert [(each.uses, each.current) for each in usage.values()] == [(1, False), (1, True)]
        assert usage[two.urls[0]].failures == 1
        assert two.proxies[1].accepted == 2, "at once: nobody looked first whether it is there"
        assert bob.socket.next_endpoint() == two.urls[0]


async def test_one_that_is_still_there_gives_the_seat_back(two: Two) -> None:
    async with two.session("alice") as alice:
        reconnects = heard(alice, "reconnect")
        two.proxies[0].cut()
        await eventually(lambda: bool(reconnects))
        assert reconnects[0].data["resumed"]
        assert two.second.stats().connections == 0


async def test_one_that_answers_nothing_any_more(two: Two) -> None:
    """Noticed by two heartbeats; then it may take `endpoint_timeout`, and not the minute of `connect_timeout`."""
    config = changed(
        security=SECRET,
        socket={"heartbeat_interval": 100, "request_timeout": 400, "connect_timeout": 60_000, "endpoint_timeout": 200},
    )
    async with two.session("alice", config) as alice:
        reconnects = heard(alice, "reconnect")
        two.proxies[0].freeze()
        # Patient only with the second one, on a machine that is busy: by now it has been seen that there are bounds.
        await eventually(lambda: alice.socket.get_endpoint_usage()[two.urls[0]].failures > 0)
        await eventually(lambda: bool(reconnects), seconds=30)
        assert alice.socket.url == two.urls[1]
        assert not reconnects[0].data["resumed"]


async def test_the_other_server_does_not_get_to_see_the_resume_token(two: Two) -> None:
    shown: list[str | None] = []
    desk = two.second._reception._desk
    welcome = desk._welcome

    def look(connection: Any, hello: Any) -> Any:
        shown.append(hello.resume)
        return welcome(connection, hello)

    desk._welcome = look  # type: ignore[method-assign]
    async with two.session("alice") as alice:
        two.kill_first()
        await eventually(lambda: alice.socket.connected and alice.socket.url == two.urls[1])
        assert shown == [""]


async def test_an_event_that_the_dead_server_did_not_confirm(two: Two) -> None:
    async with two.session("alice") as alice:
        two.proxies[0].mute()
        event, _ = await alice.socket.submit_event("n", 0)
        two.kill_first()
        with pytest.raises(ConnectionError, match="not known whether"):
            await event


async def test_the_first_connection_goes_to_the_first_that_answers(two: Two) -> None:
    session = posewire.connect(NOBODY, token=two.first.issue_token("alice"), room="studio", config=CONFIG)
    session.socket.set_endpoints([NOBODY, two.urls[1]])
    async with session as alice:
        assert alice.socket.url == two.urls[1]
        assert alice.socket.get_endpoint_usage()[NOBODY].failures == 1


async def test_a_password_is_shown_to_the_endpoint_that_answers(two: Two) -> None:
    await two.second.add_user("alice", "a long passphrase")
    credentials = {"username": "alice", "password": "a long passphrase"}
    session = posewire.connect(NOBODY, credentials=credentials, room="studio", config=CONFIG)
    session.socket.set_endpoints([NOBODY, two.urls[1]])
    async with session as alice:
        assert alice.user_id == "alice"


async def test_when_none_answers_the_attempts_are_used_up(two: Two) -> None:
    config = changed(security=SECRET, socket={"reconnect_attempts": 3})
    async with two.session("alice", config) as alice:
        alice.socket.set_endpoints([two.urls[0], NOBODY])
        two.kill_first()
        with pytest.raises(ConnectionError, match="gave up after 3 attempts"):
            await alice.wait_ended()
        usage = alice.socket.get_endpoint_usage()
        assert all(each.failures >= 1 for each in usage.values())


async def test_whichever_comes_back_first_is_noticed(two: Two) -> None:
    minutes = changed(security=SECRET, socket={"reconnect_delay": 600_000, "reconnect_delay_max": 600_000})
    async with two.session("alice", minutes) as alice:
        port = int(two.urls[1].rpartition(":")[2])
        second = two.proxies[1]
        assert second._server is not None
        second._server.close()
        two.kill_first()
        await eventually(lambda: all(each.failures for each in alice.socket.get_endpoint_usage().values()))
        second._server = await asyncio.start_server(second._accept, "127.0.0.1", port)
        await eventually(lambda: alice.socket.connected)
        assert alice.socket.url == two.urls[1]


async def test_back_to_the_first_when_the_second_is_gone(two: Two) -> None:
    async with two.session("alice") as alice:
        reconnects = heard(alice, "reconnect")
        two.proxies[0].refusing = True
        two.proxies[0].cut()
        await eventually(lambda: alice.socket.url == two.urls[1] and alice.socket.connected)
        two.proxies[0].refusing = False
        two.proxies[1].refusing = True
        two.proxies[1].cut()
        await eventually(lambda: alice.socket.url == two.urls[0] and alice.socket.connected)
        await eventually(lambda: len(reconnects) == 2)
        assert not reconnects[1].data["resumed"]
        await eventually(lambda: knows(alice, "alice"))


async def test_who_is_thrown_out_does_not_come_in_by_another_door(two: Two) -> None:
    async with two.session("host") as host, two.session("alice") as alice:
        await host.rooms.kick_member("studio", "alice")
        with pytest.raises(AuthError):
            await alice.wait_ended()
        assert two.second.stats().connections == 0


async def test_who_is_thrown_out_while_it_comes_back_does_not_try_another_door(two: Two) -> None:
    async with two.session("alice") as alice:

        def throw_out(connection: Any, hello: Any) -> Any:
            connection.end_session("thrown out")
            raise ConnectionError("not any more")

        two.first._reception._desk._welcome = throw_out  # type: ignore[method-assign]
        two.proxies[0].cut()
        with pytest.raises(AuthError, match="thrown out"):
            await alice.wait_ended()
        assert two.second.stats().connections == 0


@pytest.mark.parametrize("urls", [[], ["nowhere"], [NOBODY, NOBODY], "http://127.0.0.1:9", [None]])
async def test_bad_lists_leave_the_old_one_in_force(two: Two, urls: Any) -> None:
    async with two.session("alice") as alice:
        with pytest.raises(ConfigurationError):
            alice.socket.set_endpoints(urls)
        assert list(alice.socket.get_endpoint_usage()) == two.urls


async def test_a_plain_text_endpoint_needs_a_room_key(two: Two) -> None:
    far = "http://192.0.2.1:5000"
    session = posewire.connect(two.urls[0], token="t")
    with pytest.raises(SecurityError):
        session.socket.set_endpoints([two.urls[0], far])
    assert list(session.socket.get_endpoint_usage()) == [two.urls[0]]
    sealed = posewire.connect(two.urls[0], token="t", room_key=b"k" * 32)
    sealed.socket.set_endpoints([two.urls[0], far])
    assert list(sealed.socket.get_endpoint_usage()) == [two.urls[0], far]


async def test_the_pool_of_a_session(two: Two) -> None:
    async with two.session("alice") as alice:
        await alice.send_pose(landmarks())
        await eventually(lambda: two.first.stats().frames_in == 1)
        status = alice.socket.pool_status()
        assert (status.active, status.available, status.failed, status.utilization) == (1, 1, 0, 1.0)
        (lane,) = status.lanes
        assert lane.primary
        assert lane.healthy
        assert lane.connection_id == alice.socket.status.connection_id
        assert lane.url == two.urls[0]
        assert lane.bytes_sent > 0
        assert lane.round_trip > 0
        two.proxies[0].refusing = two.proxies[1].refusing = True
        two.proxies[0].cut()
        await eventually(lambda: not alice.socket.connected)
        status = alice.socket.pool_status()
        assert (status.active, status.available, status.utilization, status.lanes) == (0, 0, 0.0, [])
        assert status.failed >= 1
