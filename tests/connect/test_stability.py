"""Nothing is left behind, nothing grows, nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import weakref
from pathlib import Path

import psutil
import pytest

import posewire
from posewire.receiver import receiver as receiver_module
from posewire.server.connection import Connection
from posewire.session import current
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy


async def test_twenty_sessions_leave_nothing_behind() -> None:
    process = psutil.Process()

    async def one_round() -> None:
        async with posewire.serve(config=CONFIG) as server:
            for index in range(20):
                token = server.issue_token(f"user-{index}")
                async with posewire.connect(server.url, token=token, room="studio", config=CONFIG) as session:
                    await session.send_pose(landmarks())
            await eventually(lambda: server.stats().connections == 0)

    await one_round()  # whatever is opened once for the whole process is open now
    tasks, files, threads = asyncio.all_tasks(), process.num_fds(), process.num_threads()
    await one_round()
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert process.num_fds() <= files
    assert process.num_threads() <= threads
    assert [c for c in process.net_connections() if c.status == psutil.CONN_ESTABLISHED] == []


async def test_sessions_that_fail_leave_nothing_behind(server: posewire.Server) -> None:
    for _ in range(3):
        with pytest.raises(posewire.AuthError):
            async with posewire.connect(server.url, token="bad", config=CONFIG):
                pass
    token = server.issue_token("alice", room_id="studio")
    with pytest.raises(posewire.RoomError):
        async with posewire.connect(server.url, token=token, room="stage", config=CONFIG):
            pass
    await eventually(lambda: server.stats().connections == 0)


async def test_a_body_that_raises_gets_its_own_exception_back(member: Member) -> None:
    with pytest.raises(ZeroDivisionError):
        async with member("alice"):
            raise ZeroDivisionError


@pytest.mark.parametrize("steps", range(0, 60, 2))
async def test_entering_a_session_can_be_cancelled_at_any_step(
    server: posewire.Server, member: Member, steps: int
) -> None:
    session = member("alice")
    entering = asyncio.create_task(session.__aenter__())
    for _ in range(steps):
        await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait([entering])
    await session.aclose()  # type: ignore[attr-defined]
    await eventually(lambda: server.stats().connections == 0)


async def test_a_server_that_goes_away_while_it_has_members_ends_in_bounded_time() -> None:
    config = changed(server={"drain_timeout": 50})
    async with posewire.serve(config=config) as server, FaultProxy(server.port) as proxy:
        token = server.issue_token("alice")
        once = changed(socket={"reconnect_attempts": 0})
        with pytest.raises(posewire.ConnectionError):
            async with posewire.connect(proxy.url, token=token, room="studio", config=once) as session:
                proxy.freeze()  # the goodbye does not get through: the connection is cut after the deadline
                async with asyncio.timeout(10):
                    await server.aclose()
                proxy.thaw()
                await session.wait_ended()


async def test_frames_loops_end_with_the_session(member: Member) -> None:
    async with member("alice") as alice:
        frames = alice.frames()
        waiting = asyncio.create_task(anext(frames, None))
        await asyncio.sleep(0)
        await alice.aclose()
        assert await waiting is None
        assert [frame async for frame in alice.frames()] == []


async def test_a_loop_that_is_too_slow_loses_the_oldest(member: Member) -> None:
    config = changed(receiver={"queue_size": 3})
    async with member("alice") as alice, member("bob", config=config) as bob:
        frames = bob.frames()
        for seed in range(10):
            await alice.send_pose(landmarks(seed))
            await alice.sender.flush()
        await eventually(lambda: frames.dropped == 7)
        assert [(await next_frame(frames)).seq for _ in range(3)] == [7, 8, 9]


async def test_a_slow_member_loses_frames_and_the_others_none(
    server: posewire.Server, member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    """A member that reads nothing: the server keeps the newest of each stream for it, and little else."""
    big = {"pose_landmarks": landmarks(0, 33), "face_landmarks": landmarks(1, 478)}
    config = changed(sender={"protocol_version": "v2"})  # large frames fill a socket's buffers
    async with member("alice", config=config) as alice, member("bob") as bob, FaultProxy(server.port) as proxy:
        async with member("slow", url=proxy.url) as slow:
            frames = bob.frames()
            proxy.freeze()
            for _ in range(2000):
                await alice.send_pose(big)
                await next_frame(frames)
                if server.stats().drops.get("replaced"):
                    break
            assert server.stats().drops["replaced"] >= 1
            (connection,) = [c for c in server._reception.connections.values() if c.user_id == "slow"]
            assert isinstance(connection, Connection)
            assert connection.waiting == 1
            # Events are not dropped; whoever reads none of a great many is cut.
            for _ in range(2 * CONFIG.server.recipient_limit // 30_000):
                await alice.send_event("note", bytes(30_000))
                if server.stats().drops.get("cut_too_slow"):
                    break
            assert server.stats().drops["cut_too_slow"] == 1
            await eventually(lambda: "slow" not in {c.user_id for c in server._reception.connections.values()})
            proxy.cut()
            proxy.thaw()
            await eventually(lambda: slow.socket.connected)


async def test_a_session_survives_many_cuts(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("bob") as bob, member("alice", url=proxy.url) as alice:
        frames = bob.frames()
        for cut in range(1, 6):
            proxy.cut()
            await eventually(lambda cut=cut: alice.socket.status.reconnect_count >= cut)  # type: ignore[misc]
            await eventually(lambda: alice.socket.connected)
            await alice.send_pose(landmarks(cut))
            frame = await next_frame(frames)
            assert (points(frame) == landmarks(cut)).all()
        assert alice.socket.status.reconnect_count == 5
        await eventually(lambda: server.stats().connections == 2)


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "POSEWIRE_STATE_DIR": str(folder)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_process_drains_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "posewire", "serve", "--port", "0",
        stderr=asyncio.subprocess.PIPE, env=environment(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(30):
        line = (await process.stderr.readline()).decode()
        url = line.removeprefix("Listening on ").split(". ")[0]
        secret = (tmp_path / "secret").read_text()
        authority = posewire.server.TokenAuthority(secret.encode(), lifetime=60)
        once = changed(socket={"reconnect_attempts": 0})
        byes: list[posewire.Event] = []
        with pytest.raises(posewire.ConnectionError, match="the server said goodbye: the server is shutting down"):
            async with posewire.connect(url, token=authority.issue("alice"), room="studio", config=once) as session:
                session.on("bye", byes.append)
                process.send_signal(number)
                await session.wait_ended()
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == (130 if number is signal.SIGINT else 0)
    assert "Traceback" not in rest


async def test_logging_says_who_comes_and_goes(
    server: posewire.Server, member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="posewire"):
        async with member("alice"):
            pass
        await eventually(lambda: server.stats().connections == 0)
    said = [(record.message, getattr(record, "user", None)) for record in caplog.records]
    assert ("room joined", "alice") in said
    assert ("disconnected", "alice") in said
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_figures_are_kept_of_a_bounded_number_of_streams(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "_MAX_STATS", 2)
    async with member("alice") as alice, member("bob") as bob:
        for name in ("a", "b", "c"):
            await alice.send_pose(landmarks(), stream=name)
            await alice.sender.flush()
        await eventually(lambda: [one.stream for one in bob.receiver.stats()] == ["b", "c"])


async def test_a_part_that_breaks_ends_the_session_with_its_own_error(member: Member) -> None:
    """A bug of ours, not an error of the network: it comes out as it is, never in a group."""
    with pytest.raises(ZeroDivisionError):
        async with member("alice") as alice:

            async def broken() -> None:
                raise ZeroDivisionError

            alice.rooms.sync_room_state = lambda room_id: broken()  # type: ignore[method-assign]
            alice.rooms._mirror.stale.set()
            with pytest.raises(ZeroDivisionError):
                await alice.wait_ended()
            with pytest.raises(ZeroDivisionError):
                await alice.send_pose(landmarks())
            raise ZeroDivisionError


def test_settings_must_be_settings() -> None:
    with pytest.raises(posewire.ConfigurationError, match=r"expected a posewire\.Config"):
        posewire.connect("http://localhost:1", token="x", config={})  # type: ignore[arg-type]


async def test_a_handler_may_end_its_own_session(member: Member) -> None:
    """Waiting for the end there would wait for the handler itself."""
    async with member("alice") as alice, member("bob") as bob:

        @bob.on("close")
        async def close(event: posewire.Event) -> None:
            await bob.aclose()
            await asyncio.sleep(3600)

        await alice.send_event("close")
        async with asyncio.timeout(10):
            await bob.wait_ended()
        with pytest.raises(posewire.ConnectionError, match="the session is closed"):
            await bob.send_pose(landmarks())


async def test_a_handler_may_end_its_own_socket(server: posewire.Server) -> None:
    config = changed(socket={"url": server.url})
    socket = posewire.SocketManager(config, token=server.issue_token("alice"))
    closed = asyncio.Event()

    @socket.on("connect")
    async def close(event: posewire.Event) -> None:
        try:
            await socket.disconnect()
        finally:
            closed.set()

    await socket.connect()
    async with asyncio.timeout(10):
        await closed.wait()
    await eventually(lambda: server.stats().connections == 0)


@pytest.mark.parametrize("name", ["a\nb", "a\n", "\x1b[2J", "tab\t", "\x7f", "\x9b31m"])
async def test_names_that_a_terminal_would_obey_are_refused(server: posewire.Server, member: Member, name: str) -> None:
    with pytest.raises(posewire.DataValidationError, match="token"):
        server.issue_token(name)
    async with member("alice") as alice:
        with pytest.raises(posewire.RoomError, match="bad room name"):
            await alice.rooms.create_room(name)
        with pytest.raises(posewire.InvalidDataError, match="stream"):
            await alice.send_pose(landmarks(), stream=name)
        with pytest.raises(posewire.DataValidationError, match=r"stream\.open"):
            await alice.rooms.open_stream("pose", name)


async def test_sessions_that_overlap_are_let_go_in_any_order(server: posewire.Server, member: Member) -> None:
    """One came before the other left, over and over: none of them may keep those before it alive."""
    gone: list[weakref.ref[posewire.Session]] = []
    stay: contextlib.AsyncExitStack | None = None
    for number in range(10):
        stack = contextlib.AsyncExitStack()
        session = await stack.enter_async_context(member(f"guest{number}"))
        if stay is not None:
            await stay.aclose()
        stay = stack
        gone.append(weakref.ref(session))
        assert current.session() is session
        del session
    assert stay is not None
    await stay.aclose()
    del stay, stack
    with pytest.raises(posewire.ConnectionError, match="no session here"):
        current.session()
    gc.collect()
    # The interpreter keeps the last few cancellations, and what they passed through.
    assert [each() for each in gone[:-4]] == [None] * 6
