"""Sealed rooms over a real server: who reads what, who is refused, and that no key seals two packets alike."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import AudioChunk, ConfigurationError, Event, PoseData, SecurityError, clock
from posewire.protocol import HEADER_BYTES, Header, PoseProtocol, Seal, SealKey, control, unpack_header
from posewire.protocol.control import JoinedRoom
from posewire.protocol.room_view import Change, Joined, Left, RoomSnapshot, RoomUpdate, StreamOpened
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy
from tests.connect.loss.lossy_link import knows
from tests.connect.stock import Plain

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
PASSPHRASE = "correct horse battery"

Sealing = Callable[..., posewire.Session]


@pytest.fixture
def sealing(server: posewire.Server) -> Sealing:
    """Return a function that makes a session with a room key."""

    def make(
        name: str,
        key: bytes | str | None = KEY,
        *,
        room: str | None = "studio",
        url: str | None = None,
        config: posewire.Config = CONFIG,
    ) -> posewire.Session:
        token = server.issue_token(name)
        return posewire.connect(url or server.url, token=token, room=room, room_key=key, config=config)

    return make


Sealed = tuple[bytes, int, int, int]
"""Key, member, stream, seq: what must never be there twice."""


@contextlib.contextmanager
def every_nonce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[Sealed]]:
    """Note whatever is sealed by anyone in this process."""
    nonces: Counter[Sealed] = Counter()
    seal = SealKey.seal

    def noted(self: SealKey, header: Header, body: bytes) -> bytes:
        packet = seal(self, header, body)
        nonces[self._key, header.member, header.stream, header.seq] += 1
        return packet

    with monkeypatch.context() as patch:
        patch.setattr(SealKey, "seal", noted)
        yield nonces
    assert max(nonces.values(), default=1) == 1


# Who reads what ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, PASSPHRASE], ids=["bytes", "passphrase"])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_members_with_the_key_understand_each_other(sealing: Sealing, version: str, key: bytes | str) -> None:
    config = changed(sender={"protocol_version": version})
    heard: list[Event] = []
    async with sealing("alice", key, config=config) as alice, sealing("bob", key) as bob:
        bob.on("gesture", heard.append)
        poses, sounds = bob.frames(), bob.frames("audio")
        await alice.send_pose(landmarks())
        await alice.send_audio(np.arange(480, dtype=np.int16))
        await alice.send_event("gesture", {"name": "wave"})
        assert (points(await next_frame(poses)) == landmarks()).all()
        sound = (await next_frame(sounds)).audio
        assert sound is not None
        assert (sound.samples[:, 0] == np.arange(480)).all()
        await eventually(lambda: bool(heard))
        assert (heard[0].user_id, heard[0].data) == ("alice", {"name": "wave"})
        assert bob.receiver.drops == {}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_the_server_and_a_member_without_the_key_see_no_body(
    server: posewire.Server, sealing: Sealing, version: str
) -> None:
    pose = landmarks()
    keyframe = PoseProtocol().encode_pose(PoseData(pose), now=0.0).body
    config = changed(sender={"protocol_version": version, "compression_enabled": False})
    async with sealing("alice", config=config) as alice, Plain() as tap:
        await tap.enter(server, "tap")
        await alice.send_pose(pose, stream="pose")
        await alice.send_audio(AudioChunk(np.arange(480, dtype=np.int16), 48_000))
        await alice.send_event("gesture", {"words": "nobody else's business"})
        await eventually(lambda: len(tap.packets) == 3)
    for packet in tap.packets:
        header = unpack_header(packet)
        assert header.seal is Seal.AEAD
        for secret in (
            pose[0].tobytes(),
            keyframe[-16:],
            b"pose_landmarks",
            b"business",
            b"gesture",
            np.arange(8, dtype="<i2").tobytes(),
        ):
            assert secret not in packet


@pytest.mark.parametrize(("key", "reason"), [(OTHER_KEY, "wrong_key"), (PASSPHRASE, "wrong_key"), (None, "no_key")])
async def test_another_key_or_none_gets_nothing_and_is_told(
    sealing: Sealing, key: bytes | str | None, reason: str
) -> None:
    heard: list[Event] = []
    async with sealing("alice") as alice, sealing("bob", key) as bob:
        for session in (alice, bob):
            session.on("gesture", heard.append)
            session.frames()
        await alice.send_pose(landmarks())
        await alice.send_audio(np.zeros(480, dtype=np.int16))
        await alice.send_event("gesture")
        await eventually(lambda: bob.receiver.drops == {reason: 3})
        await bob.send_pose(landmarks())
        await bob.send_event("gesture")
        await eventually(lambda: alice.receiver.drops.total() == 2)
        assert alice.receiver.drops == {"unsealed" if key is None else "wrong_key": 2}
        assert bob.receiver.stats() == alice.receiver.stats() == [], "what is refused is not counted as received"
    assert heard == []


async def test_whoever_comes_late_understands_at_once(sealing: Sealing) -> None:
    async with sealing("alice") as alice:
        for seed in range(5):
            await alice.send_pose(landmarks(seed))
            await alice.sender.flush()
        async with sealing("bob") as bob:
            frames = bob.frames()
            await eventually(lambda: alice.rooms.current_room("bob") == "studio")
            await alice.send_pose(landmarks(5))
            frame = await next_frame(frames)
            assert (points(frame) == landmarks(5)).all()
            assert (frame.seq, bob.receiver.drops) == (5, {})


async def test_without_a_key_there_is_a_mac(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob, Plain() as tap:
        joined = await tap.enter(server, "tap")
        frames = bob.frames()
        await alice.send_pose(landmarks())
        await alice.send_event("wave")
        await next_frame(frames)
        await eventually(lambda: len(tap.packets) == 2)
        assert {unpack_header(packet).seal for packet in tap.packets} == {Seal.MAC}
        alice.pose.set_protocol_version("v1")
        await alice.send_pose(landmarks())
        await next_frame(frames)
        await eventually(lambda: len(tap.packets) == 3)
        assert unpack_header(tap.packets[2]).seal is Seal.NONE
        salts = {one["id"]: one["salt"] for one in joined["snapshot"]["members"]}
        assert len(salts["alice"]) == 16
        assert salts["tap"] == b""
        assert {one["key_id"] for one in joined["snapshot"]["members"]} == {b""}
        assert bob.receiver.drops == {}


def tapped(session: posewire.Session) -> tuple[list[bytes], Callable[[bytes], None]]:
    """Return the packets a session gets from now on, and the function that takes them from the connection."""
    packets: list[bytes] = []
    take = session.socket._inbound.frame
    lane = session.socket._pool.lane
    assert lane is not None
    assert lane._sio is not None

    def tap(packet: bytes) -> None:
        packets.append(packet)
        take(packet)

    lane._sio.eio.on_frame = tap
    return packets, take


# Attackers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, None], ids=["aead", "mac"])
async def test_a_member_cannot_replay_or_alter_what_another_said(
    server: posewire.Server, sealing: Sealing, key: bytes | None
) -> None:
    async with sealing("alice", key) as alice, sealing("bob", key) as bob, Plain() as mallory:
        me = await mallory.enter(server, "mallory")
        await mallory.sio.call("stream.open", {"kind": "pose", "name": "camera"})
        frames = bob.frames()
        await alice.send_pose(landmarks())
        await next_frame(frames)
        await eventually(lambda: bool(mallory.packets))
        captured = mallory.packets[0]
        ok, error = await mallory.sio.call("frame", captured)
        assert (ok, error["type"]) == (False, "RoomError"), "the server knows whose number that is"
        own = captured[:3] + me["number"].to_bytes(2, "little") + captured[5:]
        for packet in (own, own[:-1] + b"x", own[:HEADER_BYTES]):
            ok, _ = await mallory.sio.call("frame", packet)
            assert ok
        await bob.rooms.list_rooms()
        # It told nobody its key: it has none.
        assert bob.receiver.drops == ({"wrong_key": 3} if key else {"altered": 3})
        plain = own[:1] + bytes([own[1] & 63]) + (own[2:] if key else own[2:-8])
        await mallory.sio.call("frame", plain)
        await bob.rooms.list_rooms()
        assert bob.receiver.drops.total() == (4 if key else 3), "a stock client may speak where there is no key"
        assert bob.receiver.drops["unsealed"] == (1 if key else 0)


@pytest.mark.parametrize("key", [KEY, None], ids=["aead", "mac"])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_a_server_or_a_wire_that_replays_alters_or_strips(
    sealing: Sealing, key: bytes | None, version: str
) -> None:
    """Every way to treat a packet between two members, at the receiver's own connection."""
    config = changed(sender={"protocol_version": version})
    heard: list[Event] = []
    async with sealing("alice", key, config=config) as alice, sealing("bob", key) as bob:
        got, take = tapped(bob)
        bob.on("wave", heard.append)
        frames = bob.frames()
        await alice.send_pose(landmarks())
        await next_frame(frames)
        await alice.send_event("wave")
        await eventually(lambda: len(got) == 2 and len(heard) == 1)
        pose, event = got
        for packet in (pose, event, pose):
            take(packet)
        assert bob.receiver.drops == {"replayed": 3}
        later = (pose[:5] + b"\x09" + pose[6:], event[:5] + b"\x09" + event[6:])
        bob.receiver.drops.clear()
        for packet in later:
            take(packet)
        if version == "v1" and key is None:
            assert bob.receiver.drops == {"replayed": 1, "altered": 1}, "one signed time, one message"
        else:
            assert bob.receiver.drops == {"altered": 2}
        bob.receiver.drops.clear()
        take(later[1][:1] + bytes([later[1][1] & 63]) + later[1][2:])
        assert bob.receiver.drops == {"unsealed": 1}
        assert len(heard) == 1
        await alice.send_pose(landmarks(1))
        assert (points(await next_frame(frames)) == landmarks(1)).all()


async def test_a_server_that_lets_a_member_leave_and_come_back_cannot_replay_it(sealing: Sealing) -> None:
    async with sealing("alice") as alice, sealing("bob") as bob:
        frames = bob.frames()
        await alice.send_event("wave")
        await alice.send_pose(landmarks())
        await next_frame(frames)
        state = bob.rooms.state
        assert state is not None
        ghost = state.members["alice"]
        packets, take = tapped(bob)
        await alice.send_pose(landmarks(1))
        await next_frame(frames)
        stream = next(iter(state.streams.values()))
        changes: list[Change] = [
            Left(user_id="alice", reason="left"),
            Joined(member=ghost),
            StreamOpened(stream=stream),
        ]
        for change in changes:
            update = RoomUpdate(room="studio", version=state.version + 1, change=change)
            bob.socket._inbound.event(control.ROOM, control.to_plain(update))
        take(packets[0])
        assert bob.receiver.drops == {"replayed": 1}


@pytest.mark.parametrize("key", [KEY, None], ids=["aead", "mac"])
async def test_a_receiver_that_was_away_takes_nothing_twice(
    server: posewire.Server, sealing: Sealing, key: bytes | None
) -> None:
    async with FaultProxy(server.port) as proxy, sealing("alice", key) as alice:
        async with sealing("bob", key, url=proxy.url) as bob:
            packets, take = tapped(bob)
            frames = bob.frames()
            await alice.send_pose(landmarks())
            await next_frame(frames)
            proxy.cut()
            await eventually(lambda: bob.socket.status.reconnect_count == 1)
            take(packets[0])
            assert bob.receiver.drops == {"replayed": 1}
            await knows(alice, bob)  # and sends a keyframe to whom it does not know yet
            await alice.send_pose(landmarks(1))
            assert (points(await next_frame(frames)) == landmarks(1)).all()


@pytest.mark.parametrize("key", [KEY, None], ids=["aead", "mac"])
async def test_a_visit_to_another_room_forgets_nothing(sealing: Sealing, key: bytes | None) -> None:
    async with sealing("alice", key) as alice, sealing("bob", key) as bob:
        room = bob.rooms.current_room()
        assert room is not None
        packets, take = tapped(bob)
        frames = bob.frames()
        await alice.send_pose(landmarks())
        await next_frame(frames)
        await bob.rooms.join_room("elsewhere", create=True)
        await bob.rooms.join_room(room)
        take(packets[0])
        assert bob.receiver.drops == {"replayed": 1}


async def test_v1_that_is_old_is_refused(sealing: Sealing) -> None:
    config = changed(sender={"protocol_version": "v1"}, security={"max_message_age": 1000})
    async with sealing("alice", None, config=config) as alice, sealing("bob", None, config=config) as bob:
        frames = bob.frames()
        with pytest.raises(posewire.InvalidDataError, match="signed within 1 s of capture"):
            await alice.send_pose(landmarks(), timestamp=clock.now() - 2)
        # The server's clock is what is signed, not the sender's own.
        server = alice.socket.clock
        server.correct(0.0, server.offset - 2, 0.0, 0.0, step=True)
        await alice.send_pose(landmarks())
        await eventually(lambda: bob.receiver.drops == {"stale": 1})
        server.correct(0.0, server.offset + 2, 0.0, 0.0, step=True)
        await alice.send_pose(landmarks(1))
        assert (points(await next_frame(frames)) == landmarks(1)).all()


# No nonce twice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, None], ids=["aead", "mac"])
async def test_no_nonce_twice_over_joins_switches_and_reconnects(
    server: posewire.Server, sealing: Sealing, key: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with every_nonce(monkeypatch) as nonces:
        async with FaultProxy(server.port) as proxy, sealing("bob", key) as bob:
            async with sealing("alice", key, url=proxy.url) as alice:
                frames = bob.frames()

                async def speak() -> None:
                    for seed in range(3):
                        await alice.send_pose(landmarks(seed))
                        await alice.send_pose(landmarks(seed), stream="other")
                        await alice.send_audio(np.zeros(10, dtype=np.int16))
                        await alice.send_event("wave")
                        await alice.sender.flush()

                async def cut() -> None:
                    before = alice.socket.status.reconnect_count
                    proxy.cut()
                    await eventually(lambda: alice.socket.status.reconnect_count > before)
                    await alice.socket.writable()

                async def join(room: str) -> None:
                    await alice.rooms.join_room(room, create=True)

                async def leave() -> None:
                    await alice.rooms.leave_room("studio")
                    await join("studio")

                steps: list[Callable[[], Awaitable[None]]] = [
                    lambda: join("studio"),  # it is there already
                    lambda: join("stage"),
                    lambda: join("studio"),
                    leave,
                    cut,
                    lambda: join("studio"),
                    cut,
                    leave,
                ]
                await speak()
                for step in steps:
                    await step()
                    await speak()
                assert len(nonces) == 12 * (len(steps) + 1)
                await eventually(lambda: bob.receiver.drops == {})
                await alice.send_pose(landmarks(9), stream="last")
                async with asyncio.timeout(10):
                    async for frame in frames:
                        if frame.stream == "last":
                            break
        # A key is of one stay: two steps joined the same seat again, and two came back to theirs after a cut.
        assert len({key for key, *_ in nonces}) == len(steps) + 1 - 4


@pytest.mark.parametrize("seed", range(4))
async def test_no_nonce_twice_in_any_order(
    server: posewire.Server, sealing: Sealing, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joins that overlap, switches, leaving, lost connections and lost answers, while others are sending."""
    rng = random.Random(seed)
    with every_nonce(monkeypatch) as nonces:
        async with FaultProxy(server.port) as proxy, sealing("alice", url=proxy.url) as alice:
            request = alice.socket.request

            async def speak() -> None:
                while True:
                    with contextlib.suppress(posewire.PosewireError):
                        await alice.send_pose(landmarks())
                        await alice.send_event("wave")
                    await asyncio.sleep(0)

            async def lose_an_answer() -> None:
                Joins(alice, lambda joined: posewire.ConnectionError("lost"))
                try:
                    await alice.rooms.join_room(rng.choice(("studio", "stage")), create=True)
                finally:
                    alice.socket.request = request  # type: ignore[method-assign]

            async def step() -> None:
                match rng.randrange(6):
                    case 0:
                        await alice.rooms.leave_room("studio")
                    case 1:
                        proxy.cut()
                    case 2:
                        await lose_an_answer()
                    case 3:
                        await asyncio.gather(*(alice.rooms.join_room("studio", create=True) for _ in range(3)))
                    case _:
                        await alice.rooms.join_room(rng.choice(("studio", "stage")), create=True)

            async with asyncio.TaskGroup() as group:
                talking = group.create_task(speak(), name="speak")
                for _ in range(40):
                    with contextlib.suppress(posewire.PosewireError):
                        await step()
                    await asyncio.sleep(rng.choice((0, 0.001, 0.03)))
                    await alice.socket.writable()
                talking.cancel()
        assert len({key for key, *_ in nonces}) > 5
        assert len(nonces) > 40


async def test_joining_again_goes_on_counting(sealing: Sealing) -> None:
    async with sealing("alice") as alice, sealing("bob") as bob:
        frames = bob.frames()
        await alice.send_pose(landmarks())
        await next_frame(frames)
        epoch = alice.socket.epoch
        await asyncio.gather(*(alice.rooms.join_room("studio") for _ in range(5)))
        assert alice.socket.epoch == epoch
        await alice.send_pose(landmarks(1))
        assert (await next_frame(frames)).seq == 1


class Joins:
    """Stands between a session and its server and rewrites the answers to ``room.join``."""

    def __init__(self, session: posewire.Session, rewrite: Callable[[JoinedRoom], JoinedRoom | Exception]) -> None:
        self._request = session.socket.request
        self._rewrite = rewrite
        session.socket.request = self  # type: ignore[method-assign]

    async def __call__(self, message: msgspec.Struct, answer: type[Any]) -> Any:
        result = await self._request(message, answer)
        if isinstance(result, JoinedRoom):
            result = self._rewrite(result)
            if isinstance(result, Exception):
                raise result
        return result


def with_salt(joined: JoinedRoom, salt: bytes, *, number: int | None = None) -> JoinedRoom:
    number = joined.number if number is None else number
    members = [
        msgspec.structs.replace(one, salt=salt, number=number) if one.number == joined.number else one
        for one in joined.snapshot.members
    ]
    snapshot: RoomSnapshot = msgspec.structs.replace(joined.snapshot, members=members)
    return msgspec.structs.replace(joined, snapshot=snapshot, number=number)


async def test_a_server_cannot_make_us_seal_anew_under_an_old_salt(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with every_nonce(monkeypatch):
        async with sealing("alice") as alice:
            await alice.send_event("wave")
            old = alice.rooms._seals.salt
            number = alice.socket.writer.member
            for rewrite in (
                lambda joined: with_salt(joined, old),
                lambda joined: with_salt(joined, old, number=number),
                lambda joined: with_salt(joined, bytes(16)),
                lambda joined: with_salt(joined, b""),
            ):
                request = alice.socket.request
                await alice.rooms.leave_room("studio")
                Joins(alice, rewrite)
                with pytest.raises(SecurityError, match="foreign salt"):
                    await alice.rooms.join_room("studio", create=True)
                alice.socket.request = request  # type: ignore[method-assign]
                await alice.rooms.join_room("studio", create=True)
                await alice.send_event("wave")
            Joins(alice, lambda joined: with_salt(joined, alice.rooms._seals.salt, number=9))
            with pytest.raises(SecurityError, match="reused salt"):
                await alice.rooms.join_room("studio")
            alice.socket.request = request  # type: ignore[method-assign]
            await alice.send_event("wave")


async def test_an_answer_that_was_lost_costs_nothing(sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server seated us, we never heard: the next answer says the salt that we proposed the first time."""
    with every_nonce(monkeypatch):
        async with sealing("alice", room=None) as alice, sealing("bob") as bob:
            request = alice.socket.request
            for room in ("studio", "stage", "studio"):
                Joins(alice, lambda joined: posewire.ConnectionError("lost"))
                with pytest.raises(posewire.ConnectionError, match="lost"):
                    await alice.rooms.join_room(room, create=True)
                alice.socket.request = request  # type: ignore[method-assign]
            await alice.rooms.join_room("studio")
            frames = bob.frames()
            await alice.send_pose(landmarks())
            await next_frame(frames)
            assert bob.receiver.drops == {}


async def test_a_server_that_puts_us_into_another_room(sealing: Sealing) -> None:
    async with sealing("alice") as alice:
        other = lambda joined: msgspec.structs.replace(  # noqa: E731
            joined, snapshot=msgspec.structs.replace(joined.snapshot, room="elsewhere")
        )
        Joins(alice, other)
        with pytest.raises(SecurityError, match="asked for 'studio', got 'elsewhere'"):
            await alice.rooms.join_room("studio")


async def test_a_server_that_knows_no_salts(member: Member, sealing: Sealing) -> None:
    """Without a key one goes on unsealed; with one not at all."""
    async with member("alice", None) as alice, member("bob", None) as bob, sealing("carol", room=None) as carol:
        strip = lambda joined: msgspec.structs.replace(  # noqa: E731
            joined,
            snapshot=msgspec.structs.replace(
                joined.snapshot, members=[msgspec.structs.replace(one, salt=b"") for one in joined.snapshot.members]
            ),
        )
        for session in (alice, bob):
            Joins(session, strip)
            await session.rooms.join_room("studio", create=True)
        frames = alice.frames()
        assert alice.rooms.state is not None
        await eventually(lambda: alice.rooms.state is not None and "bob" in alice.rooms.state.members)
        bare = msgspec.structs.replace(alice.rooms.state.members["bob"], salt=b"")
        alice.rooms.state.members["bob"] = alice.rooms.state._by_number[bare.number] = bare
        await bob.send_pose(landmarks())
        assert (await next_frame(frames)).user_id == "bob"
        Joins(carol, strip)
        with pytest.raises(SecurityError, match="did not keep ours"):
            await carol.rooms.join_room("studio")


# The way in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"hushhushhush", "12 bytes; expected at least 16"),
        ("hushhush", "8 characters; expected at least 12"),
        (5, "expected bytes or a passphrase, got int"),
    ],
)
def test_a_bad_key_is_said_and_not_shown(key: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        posewire.connect("http://localhost:1", token="x", room_key=key, config=CONFIG)
    assert "hush" not in str(caught.value)


async def test_a_room_key_makes_plain_text_links_safe() -> None:
    config = changed(socket={"connect_timeout": 50})
    with pytest.raises(SecurityError, match="give a room_key"):
        async with posewire.connect("http://10.255.255.1:1", token="x", config=config):
            pass
    with pytest.raises(posewire.ConnectionError):
        async with posewire.connect("http://10.255.255.1:1", token="x", room_key=KEY, config=config):
            pass


async def test_a_key_is_nowhere_to_be_read(sealing: Sealing, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        async with sealing("alice", PASSPHRASE) as alice:
            await alice.send_event("wave")
            shown = f"{alice!r} {alice.rooms!r} {vars(alice)} {vars(alice.rooms)} {alice.config}"
    assert PASSPHRASE not in shown + caplog.text
