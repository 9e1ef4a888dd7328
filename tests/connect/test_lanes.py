"""Several connections of one session: what goes where, who may open one, and what it costs to lose one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

import posewire
from posewire import AuthError, DataValidationError, PosewireError, ResourceLimitError
from posewire.lifetime import cancel_and_wait
from posewire.protocol import Delivery, FrameType, Header, Kind, control, unpack_header
from posewire.protocol.pose_data import Landmarks
from posewire.server import side_lanes as side_lanes_module
from posewire.sockets import Lane
from tests.connect.conftest import changed, eventually, heard, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy

KEY = b"k" * 32
CONFIG = changed(socket={"min_pool_size": 2})
PCM = np.zeros(480, np.int16)


def open_session(
    server: posewire.Server, name: str, url: str | None = None, config: posewire.Config = CONFIG, **options: Any
) -> posewire.Session:
    options = {"token": server.issue_token(name), "room": "studio", "config": config, **options}
    return posewire.connect(url or server.url, **options)


async def all_lanes(*sessions: posewire.Session, count: int = 2) -> None:
    """Wait until every session has its lanes."""
    await eventually(lambda: all(session.socket.pool_status().active == count for session in sessions))


def noted(relay: Any) -> tuple[Counter[str], Counter[str]]:
    """Return what comes up from now on: on sessions' own connections, and on their lanes."""
    ways: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    pass_on, side_frame, take_event = relay._pass_on, relay.side_frame, relay._take_event
    aside = False

    def from_the_side(lane: Any, packet: bytes) -> None:
        nonlocal aside
        aside = True
        side_frame(lane, packet)
        aside = False

    def passed_on(header: Header, *args: Any) -> None:
        ways[aside][header.kind.name] += 1
        pass_on(header, *args)

    def event(header: Header, *args: Any) -> Any:
        ways[aside]["EVENT"] += 1
        return take_event(header, *args)

    relay._pass_on, relay.side_frame, relay._take_event = passed_on, from_the_side, event
    return ways


def coming(session: posewire.Session) -> tuple[Counter[str], Counter[str]]:
    """Return what comes down from now on, likewise."""
    ways: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    pool = session.socket._pool
    assert pool.lane is not None
    for way, lane in zip(ways, (pool.lane, session.socket.side.lanes[0]), strict=True):
        assert lane._sio is not None
        take = lane._sio.eio.on_frame

        def note(packet: bytes, way: Counter[str] = way, take: Any = take) -> None:
            way[unpack_header(packet).kind.name] += 1
            take(packet)

        lane._sio.eio.on_frame = note
    return ways


# What goes where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room_key", [None, KEY])
async def test_poses_go_another_way_than_all_else(server: posewire.Server, room_key: bytes | None) -> None:
    relay = server._reception.relay
    up = noted(relay)
    async with (
        open_session(server, "alice", room_key=room_key) as alice,
        open_session(server, "bob", room_key=room_key) as bob,
    ):
        await all_lanes(alice, bob)
        down, got = coming(bob), heard(bob, "n")
        poses, sounds = bob.frames(), bob.frames("audio")
        for seed in range(10):
            await alice.send_pose(landmarks(seed))
            await alice.send_audio(PCM)
            await alice.send_event("n", seed)
            frame = await next_frame(poses)
            assert (frame.seq, (points(frame) == landmarks(seed)).all()) == (seed, True)
            assert (await next_frame(sounds)).seq == seed
        await eventually(lambda: [event.data for event in got] == list(range(10)))
        assert up == (Counter(AUDIO=10, EVENT=10), Counter(POSE=10))
        assert down == (Counter(AUDIO=10, EVENT=10), Counter(POSE=10))
        assert not bob.socket.drops.total()
        assert not relay.drops
        (primary, side) = alice.socket.pool_status().lanes
        assert primary.primary
        assert not side.primary
        assert side.bytes_sent > 0
        await eventually(lambda: alice.socket.pool_status().lanes[1].round_trip > 0)
        assert alice.socket.pool_status().utilization == 1.0


async def test_a_session_has_one_connection_unless_it_asks_for_more(server: posewire.Server) -> None:
    async with open_session(server, "alice", config=changed()) as alice:
        await alice.send_pose(landmarks())
        assert alice.socket.pool_status().active == 1
        assert alice.socket.pose_lane is alice.socket.lane
        assert not len(server._reception.lanes)


async def test_streams_are_shared_out_and_stay_where_they_are(server: posewire.Server) -> None:
    config = changed(socket={"min_pool_size": 4, "max_pool_size": 4})
    async with open_session(server, "alice", config=config) as alice, open_session(server, "bob") as bob:
        await all_lanes(alice, count=4)
        frames = bob.frames()
        for seed in range(4):
            for stream in "abcdef":
                await alice.send_pose(landmarks(seed), stream)
                await next_frame(frames)
        pins = alice.socket.side._pins
        assert Counter(id(pin.lane) for pin in pins.values()) == {id(lane): 2 for lane in alice.socket.side.lanes}


@contextlib.asynccontextmanager
async def shown(frames: posewire.Subscription) -> AsyncIterator[list[posewire.Frame]]:
    """Give a list that fills with what comes."""
    came: list[posewire.Frame] = []

    async def read() -> None:
        async for frame in frames:
            came.append(frame)  # noqa: PERF401  # it is looked at meanwhile

    task = asyncio.create_task(read(), name="test.read")
    yield came
    await cancel_and_wait(task)


async def until_shown(session: posewire.Session, came: list[posewire.Frame], pose: Landmarks) -> None:
    """Send a pose, as a capture loop does, until it is there: frames that are lost make the next ones unreadable."""
    async with asyncio.timeout(10):
        while not came or not (points(came[-1]) == pose).all():
            await session.send_pose(pose)
            await asyncio.sleep(0.005)


async def test_a_lane_that_stands_still_does_not_hold_up_sound(server: posewire.Server) -> None:
    """What TCP does when a packet is lost: all behind it waits. Up, then down."""
    async with (
        FaultProxy(server.port) as up,
        FaultProxy(server.port) as down,
        open_session(server, "alice", up.url) as alice,
        open_session(server, "bob", down.url) as bob,
        shown(bob.frames()) as came,
    ):
        await all_lanes(alice, bob)
        sounds = bob.frames("audio")
        await until_shown(alice, came, landmarks(0))
        for proxy in (up, down):
            proxy.gates[1].clear()
            first = alice.socket.writer.next_seq(1)
            async with asyncio.timeout(10):
                while proxy is up and not alice.sender.status().waiting:
                    await alice.send_pose(landmarks(1))  # until the lane takes no more
            for seed in range(20):
                # Of higher priority, and it waits all the same.
                await alice.send_pose(landmarks(seed), priority=9)
                await alice.send_audio(PCM)
                await next_frame(sounds)
            assert came[-1].seq < first, "no pose came through"
            proxy.gates[1].set()
            await until_shown(alice, came, landmarks(99))


# Losing one -----------------------------------------------------------------------------------------------------------


async def test_losing_a_lane_costs_nothing_reliable(server: posewire.Server) -> None:
    async with (
        open_session(server, "alice") as alice,
        open_session(server, "bob") as bob,
        shown(bob.frames()) as came,
    ):
        got, reconnects = heard(bob, "n"), heard(alice, "reconnect")
        for step in range(30):
            if step % 6 == 3:
                await all_lanes(alice, bob)
                for session in (alice, bob):
                    transport = session.socket.side.lanes[0]._transport
                    assert transport is not None
                    transport.abort()
            await alice.send_event("n", step)
            await alice.send_pose(landmarks(step))
        await until_shown(alice, came, landmarks(99))
        seqs = [frame.seq for frame in came]
        assert seqs == sorted(set(seqs)), "never an older one"
        await eventually(lambda: [event.data for event in got] == list(range(30)))
        assert not reconnects
        await all_lanes(alice, bob)
        assert alice.socket.pool_status().failed >= 5
        await eventually(lambda: len(server._reception.lanes) == 2)


async def test_after_a_loss_a_stream_goes_on_with_a_keyframe(server: posewire.Server) -> None:
    relay = server._reception.relay
    passed: list[Header] = []
    pass_on = relay._pass_on
    relay._pass_on = lambda header, *args: (passed.append(header), pass_on(header, *args))  # type: ignore[assignment, func-returns-value]
    async with open_session(server, "alice") as alice:
        await all_lanes(alice)
        for seed in range(3):
            await alice.send_pose(landmarks(seed))
            await eventually(lambda: len(passed) == seed + 1)  # noqa: B023
        assert [header.frame_type for header in passed[1:]] == [FrameType.LEAF] * 2
        lane = alice.socket.side.lanes[0]
        lane.cut("lost")
        await eventually(lambda: lane not in alice.socket.side.lanes)
        await alice.send_pose(landmarks(3))
        await eventually(lambda: len(passed) == 4)
        assert passed[3].frame_type is FrameType.KEY


async def test_in_another_room_streams_begin_anew(server: posewire.Server) -> None:
    async with open_session(server, "alice") as alice:
        await all_lanes(alice)
        await alice.send_pose(landmarks())
        await eventually(lambda: bool(alice.socket.side._pins))
        await alice.rooms.join_room("stage", create=True)
        assert not alice.socket.side._pins


async def test_a_lane_that_answers_no_heartbeat_is_replaced(server: posewire.Server) -> None:
    config = changed(
        socket={"min_pool_size": 2, "max_pool_size": 2, "connection_timeout": 500, "request_timeout": 1000},
    )
    async with (
        FaultProxy(server.port) as proxy,
        open_session(server, "alice", proxy.url, config) as alice,
        open_session(server, "bob") as bob,
        shown(bob.frames()) as came,
    ):
        await all_lanes(alice)
        lane = alice.socket.side.lanes[0]
        await until_shown(alice, came, landmarks(0))
        proxy.gates[1].clear()
        await alice.send_pose(landmarks(1))
        await eventually(lane.closed.is_set)
        await until_shown(alice, came, landmarks(2))
        await all_lanes(alice)
        assert alice.socket.pool_status().failed >= 1


async def test_lanes_end_with_the_connection_they_belong_to_and_come_back_with_it(server: posewire.Server) -> None:
    async with (
        FaultProxy(server.port) as proxy,
        open_session(server, "alice", proxy.url) as alice,
        open_session(server, "bob") as bob,
    ):
        await all_lanes(alice)
        frames, reconnects, before = bob.frames(), heard(alice, "reconnect"), alice.socket.side.lanes[0]
        await alice.send_pose(landmarks(0))
        await next_frame(frames)
        primary = alice.socket.lane
        assert primary is not None
        assert primary._transport is not None
        primary._transport.abort()
        await eventually(lambda: bool(reconnects))
        assert reconnects[0].data["resumed"]
        await eventually(before.closed.is_set)
        await all_lanes(alice)
        await eventually(lambda: len(server._reception.lanes) == 2)
        await alice.send_pose(landmarks(1))
        assert (points(await next_frame(frames)) == landmarks(1)).all()


async def test_the_end_of_a_session_ends_its_lanes(server: posewire.Server) -> None:
    async with open_session(server, "alice") as alice:
        await all_lanes(alice)
        lanes = list(alice.socket.side.lanes)
    assert all(lane.closed.is_set() for lane in lanes)
    await eventually(lambda: not len(server._reception.lanes))
    assert not server._reception.lanes._tickets
    assert not server._reception.lanes._ticket_of


async def test_a_server_without_room_for_a_lane_leaves_the_session_with_one() -> None:
    one = changed(socket={"max_connections": 1})
    async with posewire.serve(config=one) as server, open_session(server, "alice") as alice:
        await eventually(lambda: alice.socket.pool_status().failed > 0)
        assert alice.socket.pool_status().active == 1
        assert await alice.send_pose(landmarks())


async def test_a_server_that_is_full_has_no_room_for_a_lane_either() -> None:
    two = changed(server={"max_connections": 2})
    async with posewire.serve(config=two) as server, open_session(server, "alice") as alice:
        await all_lanes(alice)
        with pytest.raises(ResourceLimitError, match="2 connections are open"):
            async with open_session(server, "bob", config=changed()):
                pass


async def test_when_nothing_is_heard_of_the_primary_lane_the_others_end_with_it(server: posewire.Server) -> None:
    config = changed(socket={"min_pool_size": 2, "heartbeat_interval": 100, "request_timeout": 500})
    async with FaultProxy(server.port) as proxy, open_session(server, "alice", proxy.url, config) as alice:
        await all_lanes(alice)
        reconnects, lane = heard(alice, "reconnect"), alice.socket.side.lanes[0]
        proxy.gates[0].clear()
        await eventually(lambda: bool(reconnects))
        assert lane.close_reason == "the session's connection was lost"
        await all_lanes(alice)


# Who may open one -----------------------------------------------------------------------------------------------------


class Stranger:
    """Opens lanes by hand."""

    def __init__(self, server: posewire.Server) -> None:
        self.server = server
        self.packets: list[bytes] = []

    @contextlib.asynccontextmanager
    async def lane(self, name: str, session_id: str, ticket: str, room: str | None = None) -> Any:
        lane = Lane(self.server.url, CONFIG.socket, on_frame=self.packets.append, on_event=lambda name, data: None)
        try:
            await lane.open(self.server.issue_token(name, room_id=room), session_id, ticket=ticket)
            yield lane
        finally:
            await lane.close(goodbye=False)

    async def refused(self, name: str, session_id: str, ticket: str, room: str | None = None) -> str:
        with pytest.raises(PosewireError) as refusal:
            async with self.lane(name, session_id, ticket, room):
                pass
        return str(refusal.value)


async def ticket_of(session: posewire.Session) -> str:
    return (await session.socket.request(control.OpenLane(), control.LaneTicket)).ticket


async def test_a_ticket_is_good_once_for_one_session(server: posewire.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(server)
    async with (
        open_session(server, "alice", config=changed()) as alice,
        open_session(server, "alice", config=changed(), room=None) as other,
    ):
        mine, others = alice.socket._pool._session_id, other.socket._pool._session_id
        unknown = "the server does not know this ticket"
        assert unknown in await stranger.refused("alice", mine, "A" * 43)
        ticket = await ticket_of(alice)
        async with stranger.lane("alice", mine, ticket):
            assert len(server._reception.lanes) == 1
            assert unknown in await stranger.refused("alice", mine, ticket), "used"
        assert "another session's" in await stranger.refused("mallory", mine, await ticket_of(alice))
        stolen = await ticket_of(alice)
        assert "another session's" in await stranger.refused("alice", others, stolen)
        assert unknown in await stranger.refused("alice", mine, stolen), "whoever showed it"
        assert "is for room 'stage'" in await stranger.refused("alice", mine, await ticket_of(alice), "stage")
        first = await ticket_of(alice)
        await ticket_of(alice)
        assert unknown in await stranger.refused("alice", mine, first), "the next voids the one before"
        monkeypatch.setattr(side_lanes_module, "TICKET_SECONDS", -1.0)
        assert "expired" in await stranger.refused("alice", mine, await ticket_of(alice))
        monkeypatch.undo()
        left = await ticket_of(alice)
    await eventually(lambda: server.stats().connections == 0)
    assert unknown in await stranger.refused("alice", mine, left)
    assert not len(server._reception.lanes)


async def test_no_more_than_fifteen(server: posewire.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_lanes_module, "MOST_SIDE_LANES", 1)
    async with open_session(server, "alice") as alice:
        await all_lanes(alice)
        with pytest.raises(ResourceLimitError, match="1 lanes"):
            await ticket_of(alice)


async def test_a_lane_needs_a_token_too(server: posewire.Server) -> None:
    async with open_session(server, "alice", config=changed()) as alice:
        lane = Lane(server.url, CONFIG.socket, on_frame=lambda packet: None, on_event=lambda name, data: None)
        with pytest.raises(AuthError):
            await lane.open("", alice.socket._pool._session_id, ticket=await ticket_of(alice))


def packet(session: posewire.Session, kind: Kind, stream: int, seq: int, delivery: Delivery) -> bytes:
    version = 3 if kind is Kind.POSE else 2
    header = Header(version, kind, delivery, FrameType.KEY, stream, session.socket.writer.member, seq, 0, 1)
    return header.pack() + b"?"


async def test_on_a_lane_there_are_poses_and_nothing_else(server: posewire.Server) -> None:
    relay = server._reception.relay
    async with (
        open_session(server, "bob") as bob,
        open_session(server, "alice", config=changed()) as alice,
        Stranger(server).lane("alice", alice.socket._pool._session_id, await ticket_of(alice)) as lane,
    ):
        await alice.send_pose(landmarks())
        await eventually(lambda: relay.frames_in == 1)
        await alice.send_audio(PCM)
        await eventually(lambda: relay.frames_in == 2)
        got = heard(bob, "n")
        await lane.request("heartbeat", {})
        for event, data in (("room.leave", {"room": "studio"}), ("hello", {"resume": ""}), ("lane.open", {})):
            with pytest.raises(DataValidationError, match="expected heartbeat"):
                await lane.request(event, data)
        with pytest.raises(AuthError):
            await lane.request("frame", packet(alice, Kind.EVENT, 0, 0, Delivery.RELIABLE))
        lane.write(packet(alice, Kind.EVENT, 0, 0, Delivery.RELIABLE))
        lane.write(packet(alice, Kind.AUDIO, 2, 9, Delivery.ORDERED))
        lane.write(packet(alice, Kind.POSE, 1, 9, Delivery.RELIABLE))
        lane.write(packet(bob, Kind.POSE, 1, 9, Delivery.LATEST))
        await eventually(lambda: relay.drops["refused"] == 4)
        lane.write(packet(alice, Kind.POSE, 1, 0, Delivery.LATEST))
        await eventually(lambda: relay.drops["late"] == 1)
        lane.tell("confirm", {"received": 10**6})
        lane.tell("report", {"streams": []})
        await lane.request("heartbeat", {})
        await alice.send_event("n", 1)
        await eventually(lambda: [event.data for event in got] == [1])
        assert alice.rooms.current_room() == "studio"


async def test_who_is_kicked_is_rid_of_its_lanes(server: posewire.Server) -> None:
    async with (
        open_session(server, "host") as host,
        open_session(server, "alice") as alice,
        Stranger(server).lane("alice", alice.socket._pool._session_id, await ticket_of(alice)) as another,
    ):
        await all_lanes(host, alice)
        lane = alice.socket.side.lanes[0]
        await host.rooms.kick_member("studio", "alice")
        with pytest.raises(AuthError):
            await alice.wait_ended()
        assert lane.closed.is_set()
        await eventually(another.closed.is_set)  # the server has cut it, for its client has not
        await eventually(lambda: len(server._reception.lanes) == 1)


async def test_muted_on_a_lane_too(server: posewire.Server) -> None:
    relay = server._reception.relay
    async with open_session(server, "host") as host, open_session(server, "alice") as alice:
        await all_lanes(host, alice)
        await alice.send_pose(landmarks())
        await eventually(lambda: relay.frames_in == 1)
        await host.rooms.set_member_grants("studio", "alice", publish=False)
        alice.socket.side.lanes[0].write(packet(alice, Kind.POSE, 1, 5, Delivery.LATEST))
        await eventually(lambda: relay.drops["refused"] == 1)
        await host.rooms.set_member_grants("studio", "alice", subscribe=False)
        lane = server._reception.connections[alice.socket.status.connection_id].outlets[1]
        before = lane.frames
        await host.send_pose(landmarks())
        await eventually(lambda: relay.frames_in == 2)
        assert lane.frames == before


async def test_lanes_count_as_connections_of_their_member(server: posewire.Server) -> None:
    async with open_session(server, "alice") as alice:
        await all_lanes(alice)
        assert server._reception.admission._members["alice"].connections == 2
    await eventually(lambda: server._reception.admission._members["alice"].connections == 0)
