"""The connection: in, out, and back again."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

import pytest

import posewire
from posewire import AuthError, ConnectionError, Event, RoomError, SocketManager
from posewire.protocol import control
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy

PASSWORD = "a long passphrase"


def manager(server: posewire.Server, name: str = "alice", **sections: dict[str, Any]) -> SocketManager:
    config = changed(**{"socket": {"url": server.url}, **sections}) if sections else changed(socket={"url": server.url})
    return SocketManager(config, token=server.issue_token(name))


async def test_connect_and_disconnect_are_idempotent(server: posewire.Server) -> None:
    socket = manager(server)
    assert not socket.connected
    assert await socket.connect()
    assert await socket.connect()
    assert socket.connected
    assert socket.user_id == "alice"
    assert server.stats().connections == 1
    assert await socket.disconnect()
    assert await socket.disconnect()
    assert not socket.connected
    assert socket.status.connection_id == ""
    await eventually(lambda: server.stats().connections == 0)


async def test_a_socket_can_connect_again_after_disconnecting(server: posewire.Server) -> None:
    socket = manager(server)
    for _ in range(2):
        async with socket:
            assert socket.connected


async def test_status_is_a_snapshot_that_is_current(server: posewire.Server) -> None:
    async with manager(server) as socket:
        status = socket.status
        assert status.connected
        assert status.connection_id
        assert status.last_heartbeat > 0
        assert 0 < status.round_trip < 10
        assert (status.reconnect_count, status.error_count) == (0, 0)
    assert status.connected, "a snapshot does not change"


# Who gets in ---------------------------------------------------------------------------------------------------------


async def test_name_and_password_get_a_token(server: posewire.Server) -> None:
    await server.add_user("alice", PASSWORD)
    socket = SocketManager(changed(socket={"url": server.url}))
    assert await socket.authenticate({"username": "alice", "password": PASSWORD})
    async with socket:
        assert socket.user_id == "alice"


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong password"), ("nobody", PASSWORD)])
async def test_wrong_password_and_unknown_user_are_told_the_same(
    server: posewire.Server, name: str, password: str
) -> None:
    await server.add_user("alice", PASSWORD)
    socket = SocketManager(changed(socket={"url": server.url}))
    with pytest.raises(AuthError, match=rf"\[{name}\]: unknown user or wrong password"):
        await socket.authenticate({"username": name, "password": password})


@pytest.mark.parametrize(
    "credentials", [{}, {"username": "alice"}, {"password": PASSWORD}, {"username": "", "password": ""}]
)
async def test_missing_credentials(server: posewire.Server, credentials: dict[str, str]) -> None:
    with pytest.raises(AuthError, match="missing credentials"):
        await SocketManager(changed(socket={"url": server.url})).authenticate(credentials)


async def test_no_token_at_all(server: posewire.Server) -> None:
    with pytest.raises(AuthError, match="not authenticated"):
        await SocketManager(changed(socket={"url": server.url})).connect()


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."])
async def test_wrong_tokens(server: posewire.Server, token: str) -> None:
    with pytest.raises(AuthError, match="the token is not accepted"):
        await SocketManager(changed(socket={"url": server.url}), token=token).connect()
    assert server.stats().connections == 0


async def test_a_token_of_another_server(server: posewire.Server) -> None:
    async with posewire.serve(config=CONFIG) as other:
        token = other.issue_token("alice")
    with pytest.raises(AuthError, match="Signature verification failed"):
        await SocketManager(changed(socket={"url": server.url}), token=token).connect()


async def test_expired_token(server: posewire.Server) -> None:
    # Two seconds in the past for a token that is good for one.
    token = server.issue_token("alice", ttl=1)
    import jwt

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 1
    expired = server._tokens.issue("alice", ttl=0.001)  # exp is the second it was made in
    with pytest.raises(AuthError, match="expired"):
        await SocketManager(changed(socket={"url": server.url}), token=expired).connect()


async def test_a_token_provider_is_asked_at_every_connection(server: posewire.Server) -> None:
    asked = 0

    async def provider() -> str:
        nonlocal asked
        asked += 1
        return server.issue_token("alice")

    async with (
        FaultProxy(server.port) as proxy,
        SocketManager(changed(socket={"url": proxy.url}), token=provider) as socket,
    ):
        proxy.cut()
        await eventually(lambda: socket.status.reconnect_count == 1)
    assert asked == 2


async def test_a_refused_token_is_fetched_anew_once(server: posewire.Server) -> None:
    tokens = iter(["stale", server.issue_token("alice")])

    async def provider() -> str:
        return next(tokens)

    async with SocketManager(changed(socket={"url": server.url}), token=provider) as socket:
        assert socket.user_id == "alice"


async def test_a_provider_that_returns_no_token(server: posewire.Server) -> None:
    async def provider() -> str:
        return ""

    with pytest.raises(AuthError, match="the token provider returned"):
        await SocketManager(changed(socket={"url": server.url}), token=provider).connect()


# A server that is not there ------------------------------------------------------------------------------------------


async def test_server_down() -> None:
    async with posewire.serve(config=CONFIG) as server:
        token, url = server.issue_token("alice"), server.url
    with pytest.raises(ConnectionError, match=r"cannot connect to http.*Connect call failed"):
        await SocketManager(changed(socket={"url": url}), token=token).connect()
    with pytest.raises(ConnectionError, match="cannot log in"):
        await SocketManager(changed(socket={"url": url})).authenticate({"username": "a", "password": "b"})


async def test_a_server_that_accepts_and_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    mute = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with mute:
        url = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        config = changed(socket={"url": url, "connect_timeout": 100, "request_timeout": 100})
        with pytest.raises(ConnectionError, match="no answer from"):
            await SocketManager(config, token="x").connect()
        with pytest.raises(ConnectionError, match="no answer from"):
            await SocketManager(config).authenticate({"username": "a", "password": "b"})


async def test_something_else_answers() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        writer.close()

    other = await asyncio.start_server(rude, "127.0.0.1", 0)
    async with other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        with pytest.raises(ConnectionError, match="cannot connect"):
            await SocketManager(changed(socket={"url": url}), token="x").connect()
        with pytest.raises(ConnectionError, match="cannot log in"):
            await SocketManager(changed(socket={"url": url})).authenticate({"username": "a", "password": "b"})


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://x", "http://", "http://x:0", "http://x:99999", "nonsense"])
async def test_bad_urls(url: str) -> None:
    with pytest.raises(posewire.ConfigurationError, match="expected http://host:port"):
        await SocketManager(changed(socket={"url": url}), token="x").connect()


async def test_port_in_use(server: posewire.Server) -> None:
    with pytest.raises(ConnectionError, match=f"port {server.port} on 127.0.0.1 is in use"):
        async with posewire.serve(port=server.port, config=CONFIG):
            pass


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_connecting_can_be_cancelled_at_any_step(server: posewire.Server, steps: int) -> None:
    socket = manager(server)
    connecting = asyncio.create_task(socket.connect())
    for _ in range(steps):
        await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait([connecting])
    await socket.disconnect()
    await eventually(lambda: server.stats().connections == 0)


# Limits --------------------------------------------------------------------------------------------------------------


async def test_connection_limit_of_the_process(server: posewire.Server) -> None:
    gc.collect()
    async with manager(server, "alice", socket={"url": server.url, "max_connections": 2}):
        async with manager(server, "bob", socket={"url": server.url, "max_connections": 2}):
            with pytest.raises(ConnectionError, match="2 connections are open in this process"):
                await manager(server, "carol", socket={"url": server.url, "max_connections": 2}).connect()
        async with manager(server, "carol", socket={"url": server.url, "max_connections": 2}) as carol:
            assert carol.connected


async def test_connection_limit_of_a_user_and_of_the_server() -> None:
    config = changed(socket={"max_connections": 2}, server={"max_connections": 3})
    async with posewire.serve(config=config) as server:
        async with manager(server, "alice"), manager(server, "alice"):
            with pytest.raises(posewire.ResourceLimitError, match="alice has 2 connections open"):
                await manager(server, "alice").connect()
            async with manager(server, "bob"):
                with pytest.raises(posewire.ResourceLimitError, match="3 connections are open"):
                    await manager(server, "carol").connect()


# Talking -------------------------------------------------------------------------------------------------------------


async def test_emit_needs_authentication_a_connection_and_a_room(server: posewire.Server) -> None:
    with pytest.raises(AuthError, match="not authenticated"):
        await SocketManager(changed(socket={"url": server.url})).emit("wave")
    socket = manager(server)
    with pytest.raises(RoomError, match="not in this room"):
        await socket.emit("wave")
    async with socket:
        with pytest.raises(RoomError, match="not in this room"):
            await socket.emit("wave")
        rooms = posewire.RoomManager(socket)
        await rooms.join_room("studio", create=True)
        assert await socket.emit("wave")
        with pytest.raises(RoomError, match=r"\[other\]: not in this room; alice is in studio"):
            await socket.emit("wave", room="other")
    with pytest.raises(ConnectionError, match="not connected"):
        await socket.emit("wave")
    assert socket.status.error_count == 4


async def test_handlers_by_call_and_decorator_sync_and_async(member: Member) -> None:
    got: list[tuple[str, Event]] = []
    async with member("alice") as alice, member("bob") as bob:
        bob.on("wave", lambda event: got.append(("call", event)))

        @bob.on("wave")
        async def wave(event: Event) -> None:
            await asyncio.sleep(0)
            got.append(("decorator", event))

        assert await alice.socket.emit("wave", {"hand": "left"}, room="studio")
        await eventually(lambda: len(got) == 2)
    assert [how for how, _ in got] == ["call", "decorator"]
    event = got[0][1]
    assert (event.name, event.data, event.user_id) == ("wave", {"hand": "left"}, "alice")
    assert event.timestamp > 1e9


async def test_a_handler_that_raises_is_logged_with_its_event_and_ends_nothing(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Event] = []
    async with member("alice") as alice, member("bob") as bob:

        @bob.on("wave")
        def bad(event: Event) -> None:
            raise ZeroDivisionError

        bob.on("wave", got.append)
        with caplog.at_level(logging.ERROR):
            await alice.send_event("wave", 1)
            await alice.send_event("wave", 2)
            await eventually(lambda: len(got) == 2)
        assert bob.socket.connected
    assert [record.getMessage() for record in caplog.records] == ["a handler of event 'wave' failed"] * 2


def test_a_handler_must_be_callable() -> None:
    socket = SocketManager(CONFIG)
    with pytest.raises(posewire.DataValidationError, match="expected a function"):
        socket.on("wave", 5)  # type: ignore[call-overload]


async def test_connect_disconnect_and_reconnect_are_events(server: posewire.Server) -> None:
    names: list[str] = []
    async with FaultProxy(server.port) as proxy:
        socket = SocketManager(changed(socket={"url": proxy.url}), token=server.issue_token("alice"))
        for name in ("connect", "disconnect", "reconnect"):
            socket.on(name, lambda event: names.append(event.name))
        async with socket:
            proxy.cut()
            await eventually(lambda: "reconnect" in names)
    assert names == ["connect", "disconnect", "reconnect"]


# Coming back ---------------------------------------------------------------------------------------------------------


async def test_reconnect_restores_room_streams_and_frames(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("bob") as bob, member("alice", url=proxy.url) as alice:
        frames = bob.frames()
        await alice.send_pose(landmarks(1))
        assert (await next_frame(frames)).user_id == "alice"
        proxy.cut()
        await eventually(lambda: alice.socket.status.reconnect_count == 1)
        assert alice.rooms.current_room() == "studio"
        await alice.send_pose(landmarks(2))
        frame = await next_frame(frames)
        assert (frame.user_id, frame.stream, frame.seq) == ("alice", "pose", 1), "the stream goes on"
        assert (points(frame) == landmarks(2)).all()


async def test_frames_handed_in_while_away_go_out_after_the_return(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("bob") as bob, member("alice", url=proxy.url) as alice:
        frames = bob.frames()
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: not alice.socket.connected)
        outcomes = [await alice.send_pose(landmarks(seed)) for seed in range(3)]
        assert [outcome.name for outcome in outcomes] == ["ACCEPTED", "REPLACED", "REPLACED"]
        proxy.refusing = False
        frame = await next_frame(frames)
        assert (points(frame) == landmarks(2)).all(), "only the newest is worth sending"
        assert alice.sender.status().drops == {"replaced": 2}


async def test_giving_up_is_told_to_everyone(server: posewire.Server, member: Member) -> None:
    config = changed(socket={"reconnect_attempts": 2})
    async with FaultProxy(server.port) as proxy:
        alice = member("alice", url=proxy.url, config=config)
        with pytest.raises(ConnectionError, match="gave up after 2 attempts"):
            async with alice as session:
                waiting = asyncio.create_task(next_frame(session.frames()))
                proxy.refusing = True
                proxy.cut()
                with pytest.raises(ConnectionError, match="gave up after 2 attempts"):
                    await waiting
                with pytest.raises(ConnectionError, match="gave up after 2 attempts"):
                    await session.send_pose(landmarks())
                with pytest.raises(ConnectionError, match="gave up after 2 attempts"):
                    await session.send_event("wave")
                await session.wait_ended()


async def test_a_failure_nobody_saw_comes_out_at_the_end(server: posewire.Server, member: Member) -> None:
    config = changed(socket={"reconnect_attempts": 0})
    async with FaultProxy(server.port) as proxy:
        with pytest.raises(ConnectionError, match="was lost"):
            async with member("alice", url=proxy.url, config=config) as alice:
                proxy.cut()
                assert alice._task is not None
                await asyncio.wait([alice._task])


async def test_a_standalone_socket_says_why_it_ended(server: posewire.Server) -> None:
    async with FaultProxy(server.port) as proxy:
        config = changed(socket={"url": proxy.url, "reconnect_attempts": 0})
        socket = SocketManager(config, token=server.issue_token("alice"))
        async with socket:
            proxy.cut()
            assert socket._task is not None
            await asyncio.wait([socket._task])
            with pytest.raises(ConnectionError, match="was lost"):
                await socket.ensure_connection()


async def test_a_token_that_is_refused_on_the_way_back_ends_the_session(server: posewire.Server) -> None:
    tokens = iter([server.issue_token("alice"), "bad", "bad"])

    async def provider() -> str:
        return next(tokens)

    async with FaultProxy(server.port) as proxy:
        session = posewire.connect(proxy.url, token=provider, room="studio", config=CONFIG)
        with pytest.raises(AuthError, match="not accepted"):
            async with session:
                proxy.cut()
                await session.wait_ended()


async def test_a_missed_heartbeat_replaces_the_connection(server: posewire.Server) -> None:
    async with FaultProxy(server.port) as proxy:
        config = changed(socket={"url": proxy.url, "heartbeat_interval": 30, "request_timeout": 100})
        async with SocketManager(config, token=server.issue_token("alice")) as socket:
            heard = socket.status.last_heartbeat
            await eventually(lambda: socket.status.last_heartbeat > heard)
            proxy.freeze()
            await eventually(lambda: not socket.connected)
            proxy.cut()
            proxy.thaw()
            await eventually(lambda: socket.connected)
            assert socket.status.reconnect_count >= 1
            assert socket.status.error_count >= 1


async def test_ensure_connection_connects(server: posewire.Server) -> None:
    socket = manager(server)
    await socket.ensure_connection()
    assert socket.connected
    await socket.disconnect()


async def test_ensure_connection_waits_for_the_return(server: posewire.Server) -> None:
    async with FaultProxy(server.port) as proxy:
        async with manager(server, socket={"url": proxy.url}) as socket:
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: not socket.connected)
            waiting = asyncio.create_task(socket.ensure_connection())
            await eventually(lambda: socket.status.error_count > 2)
            assert not waiting.done(), "nobody is let in yet"
            proxy.refusing = False
            await waiting
            assert socket.connected
            assert socket.status.reconnect_count == 1
            assert await socket.request(control.ListRooms(), list) == [], "and it is of use"


@pytest.mark.parametrize("bad", ["garbage", "of another", "expired"])
async def test_a_token_that_is_not_good_does_not_replace_the_one_in_use(server: posewire.Server, bad: str) -> None:
    expired = server._tokens.issue("alice", ttl=0.001)  # exp is the second it was made in
    token = {"garbage": "garbage", "of another": server.issue_token("bob"), "expired": expired}[bad]
    async with FaultProxy(server.port) as proxy, manager(server, socket={"url": proxy.url}) as socket:
        with pytest.raises(AuthError):
            await socket.authenticate({"token": token})
        assert socket.connected
        proxy.cut()
        await eventually(lambda: socket.status.reconnect_count == 1 and socket.connected)
        assert socket.user_id == "alice"


async def test_a_token_that_is_good_is_taken_at_once_and_at_the_next_connection(server: posewire.Server) -> None:
    short, ends = server.issue_token("alice", ttl=0.7), server._tokens._now() + 0.7
    async with FaultProxy(server.port) as proxy:
        socket = SocketManager(changed(socket={"url": proxy.url}), token=short)
        await socket.connect()
        assert await socket.authenticate({"token": server.issue_token("alice", ttl=500)})
        await eventually(lambda: server._tokens._now() > ends + 0.1)
        assert await socket.request(control.ListRooms(), list) == [], "the first one is over, the session is not"
        proxy.cut()
        await eventually(lambda: socket.status.reconnect_count == 1 and socket.connected)
        assert socket.welcome is not None
        assert 400 < socket.welcome.expires_in <= 500
        await socket.disconnect()


async def test_who_answers_no_ping_is_gone() -> None:
    """The server's pings, not ours: those come every 25 s, and the default of the server is as long."""
    config = changed(socket={"ping_interval": 0.2, "ping_timeout": 0.5}, server={"resume_grace": 0})
    async with posewire.serve(config=config) as server, FaultProxy(server.port) as proxy:
        token = server.issue_token("alice")
        async with posewire.connect(proxy.url, token=token, room="studio", config=CONFIG) as alice:
            await eventually(lambda: server.stats().connections == 1)
            proxy.freeze()
            await eventually(lambda: server.stats().connections == 0)
            proxy.thaw()
            await eventually(lambda: alice.socket.status.reconnect_count > 0)


async def test_a_token_is_good_for_as_long_as_the_settings_say() -> None:
    config = changed(security={"token_expiry": 1234})
    async with posewire.serve(config=config) as server:
        await server.add_user("alice", PASSWORD)
        login = {"username": "alice", "password": PASSWORD}
        async with SocketManager(changed(socket={"url": server.url}), credentials=login) as socket:
            assert socket.welcome is not None
            assert 1234 - 60 < socket.welcome.expires_in <= 1234


async def test_a_request_in_flight_fails_when_the_connection_goes(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice", url=proxy.url) as alice:
        proxy.freeze()
        asking = asyncio.create_task(alice.rooms.list_rooms())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        proxy.cut()
        with pytest.raises(ConnectionError, match="went away"):
            await asking
        proxy.thaw()
        await eventually(lambda: alice.socket.connected)


async def test_the_server_restarts_and_everyone_comes_back() -> None:
    config = changed(security={"secret_key": "s" * 48})
    async with posewire.serve(config=config) as first:
        port = first.port
        tokens = [first.issue_token(name) for name in ("alice", "bob")]
        url = first.url
        alice = posewire.connect(url, token=tokens[0], room="studio", config=CONFIG)
        bob = posewire.connect(url, token=tokens[1], room="studio", config=CONFIG)
        await alice.__aenter__()
        await bob.__aenter__()
        byes: list[Event] = []
        alice.on("bye", byes.append)
    await eventually(lambda: not alice.socket.connected and not bob.socket.connected)
    async with posewire.serve(port=port, config=config):
        await eventually(lambda: alice.socket.connected and bob.socket.connected)
        await eventually(lambda: alice.rooms.state is not None and len(alice.rooms.state.members) == 2)
        frames = bob.frames()
        await alice.send_pose(landmarks())
        assert (await next_frame(frames)).user_id == "alice"
        await eventually(lambda: len(byes) == 1)
        assert byes[0].data["reason"] == "the server is shutting down"
        await alice.__aexit__(None, None, None)
        await bob.__aexit__(None, None, None)


async def test_a_broken_user_store_is_logged_here_and_not_told_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = tmp_path / "users.json"
    async with posewire.serve(config=changed(server={"users_file": str(users)})) as server:
        await server.add_user("alice", PASSWORD)
        users.write_text("{")
        socket = SocketManager(changed(socket={"url": server.url}))
        with pytest.raises(AuthError, match="cannot check passwords now") as caught:
            await socket.authenticate({"username": "alice", "password": PASSWORD})
        assert str(users) not in str(caught.value)
        assert str(users) in caplog.text


async def test_a_session_that_is_back_before_its_loss_was_noticed_takes_its_seat(
    server: posewire.Server, member: Member
) -> None:
    async with member("bob") as bob:
        changes: list[str] = []
        bob.on("room", lambda event: changes.append(event.data["change"].get("reason", "")))
        config = changed(socket={"url": server.url, "reconnect_attempts": 0})
        old = SocketManager(config, token=server.issue_token("alice"))
        new = SocketManager(config, token=server.issue_token("alice"))
        new._pool._session_id = old._pool._session_id
        await old.connect()
        await posewire.RoomManager(old).join_room("studio")
        await new.connect()
        await posewire.RoomManager(new).join_room("studio")
        await eventually(lambda: not old.connected)
        await eventually(lambda: "replaced" in changes)
        assert len(await bob.rooms.get_room_members("studio")) == 2
        await old.disconnect()
        await new.disconnect()


async def test_a_server_that_drains_lets_nobody_in(server: posewire.Server) -> None:
    server._reception.draining = True
    with pytest.raises(ConnectionError, match="the server is shutting down"):
        await manager(server).connect()


async def test_what_comes_from_no_connection_is_refused(server: posewire.Server) -> None:
    """Events can be under way while their connection is being forgotten."""
    reception = server._reception
    for answer in (await reception._event("frame", "nobody", b"x"), await reception._event("room.list", "nobody", {})):
        assert answer is not None
        assert answer[0] is False
        assert answer[1]["type"] == "AuthError"
    assert await reception._event("report", "nobody", {}) is None
    assert await reception._event("confirm", "nobody", {}) is None


async def test_a_failure_that_was_seen_in_a_loop_is_not_raised_again_and_does_not_grow(
    server: posewire.Server, member: Member
) -> None:
    config = changed(socket={"reconnect_attempts": 0})
    async with FaultProxy(server.port) as proxy, member("alice", url=proxy.url, config=config) as alice:
        frames = alice.frames()
        proxy.cut()
        with pytest.raises(ConnectionError, match="was lost") as first:
            await next_frame(frames)
        for _ in range(5):
            with pytest.raises(ConnectionError, match="was lost") as again:
                await alice.send_pose(landmarks())
        assert again.value is not first.value
        assert len(again.traceback) < 10


async def test_a_provider_that_hangs_is_not_waited_for(server: posewire.Server) -> None:
    async def provider() -> str:
        await asyncio.Event().wait()
        return ""

    socket = SocketManager(changed(socket={"url": server.url, "connect_timeout": 50}), token=provider)
    with pytest.raises(ConnectionError, match="gave no token within"):
        await socket.connect()


async def test_arguments_of_the_wrong_kind(server: posewire.Server) -> None:
    with pytest.raises(AuthError, match=r"expected \{'username'"):
        posewire.connect(server.url, credentials="user:password", config=CONFIG)  # type: ignore[arg-type]
    with pytest.raises(posewire.ConfigurationError, match=r"expected a posewire\.Config"):
        posewire.serve(config={})  # type: ignore[arg-type]
    with pytest.raises(posewire.ConfigurationError, match="host=3"):
        posewire.serve(host=3, config=CONFIG)  # type: ignore[arg-type]


async def test_a_server_does_not_start_with_a_broken_file_of_users(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text("{")
    with pytest.raises(posewire.ConfigurationError, match=r"server\.users_file"):
        async with posewire.serve(config=changed(server={"users_file": str(users)})):
            pass


async def test_a_connection_that_nobody_reads_any_more_is_replaced(
    server: posewire.Server, member: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug of ours in what takes packets ends the reading; the session must notice and come back."""
    async with member("alice") as alice, member("bob") as bob:
        packets = iter([ZeroDivisionError("a bug")])
        take = bob.socket._inbound.frame

        def broken(packet: bytes) -> None:
            if (bug := next(packets, None)) is not None:
                raise bug
            take(packet)

        bob.socket._pool.lane._sio.eio.on_frame = broken
        await alice.send_pose(landmarks())
        await eventually(lambda: bob.socket.status.reconnect_count == 1)
        frames = bob.frames()
        await eventually(lambda: bob.socket.connected)
        await alice.send_pose(landmarks(1))
        assert (points(await next_frame(frames)) == landmarks(1)).all()
