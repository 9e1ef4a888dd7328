"""Control messages, through msgpack and back."""

from __future__ import annotations

import itertools
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import DataValidationError
from posewire.limits import MAX_NAME_CHARS
from posewire.protocol import control, room_view
from posewire.protocol.control import (
    Bye,
    Heartbeat,
    JoinedRoom,
    JoinRoom,
    KeyframeWanted,
    OpenStream,
    RequestKeyframe,
    Welcome,
    from_plain,
    to_plain,
)
from posewire.protocol.room_view import (
    Change,
    Closed,
    Dropped,
    GrantsChanged,
    HostChanged,
    Joined,
    Left,
    LockChanged,
    Rekeyed,
    Returned,
    RoomMember,
    RoomSnapshot,
    RoomStatus,
    RoomUpdate,
    StatusChanged,
    Stream,
    StreamOpened,
)
from tests.unit.strategies import names, plain, structs

MESSAGES: list[type[msgspec.Struct]] = [
    value
    for value in {**vars(room_view), **vars(control)}.values()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
]
ALL = pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
MEMBER = RoomMember(id="alice", number=1, join_time=1.0, last_active=2.0, role="host")


def over_the_wire(message: Any) -> Any:
    """Through the `msgpack` package, as an unmodified python-socketio client would."""
    return msgpack.unpackb(msgpack.packb(to_plain(message)))


def messages(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    if kind is control.BanMember:  # 0 s are no ban
        seconds = st.floats(0, 1e9, exclude_min=True)
        return st.builds(control.BanMember, room=names, user=names, seconds=seconds, reason=st.just("") | names)
    if kind is control.Rekey:  # no member that seals goes on without
        sizes = {name: st.binary(min_size=size, max_size=size) for name, size in (("salt", 16), ("key_id", 8))}
        return st.builds(control.Rekey, room=names, **sizes)
    return structs(kind)


def test_all_messages_are_here() -> None:
    assert {Bye, Joined, Left, HostChanged, StreamOpened, RoomUpdate, RoomSnapshot, JoinedRoom} <= set(MESSAGES)
    assert set(control.REQUESTS.values()) <= set(MESSAGES)


@ALL
@settings(max_examples=25)
@given(data=st.data())
def test_round_trip(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    found = from_plain(over_the_wire(message), kind, what="message")
    assert found == message
    assert type(found) is kind


@settings(max_examples=50)
@given(structs(RoomUpdate))
def test_the_change_of_an_update_keeps_its_type(update: RoomUpdate) -> None:
    found = from_plain(over_the_wire(update), RoomUpdate, what="update")
    assert type(found.change) is type(update.change)
    assert from_plain(over_the_wire(update.change), Change, what="change") == update.change  # type: ignore[arg-type]


@ALL
@settings(max_examples=25)
@given(
    data=plain
    | st.dictionaries(
        st.sampled_from(("room", "user_id", "kind", "name", "type", "version", "member", "stream")), plain
    )
)
def test_anything_else_is_refused_in_one_way(kind: type[msgspec.Struct], data: Any) -> None:
    try:
        found = from_plain(data, kind, what="request")
    except DataValidationError:
        return
    assert isinstance(found, kind)


@ALL
def test_fields_may_be_added(kind: type[msgspec.Struct]) -> None:
    # What a newer peer says beside what we know is passed over.
    plain_form = to_plain(SAMPLES[kind])
    later = [*plain_form, 1] if isinstance(plain_form, list) else {**plain_form, "added_later": [1]}
    assert from_plain(later, kind, what="message") == SAMPLES[kind]


STREAM = Stream(user_id="alice", member=1, number=1, kind="pose", name="pose")
SNAPSHOT = RoomSnapshot(
    room="r", version=2, created_time=1.0, last_active=2.0, capacity=4, members=[MEMBER], streams=[STREAM]
)
SAMPLES: dict[type[msgspec.Struct], msgspec.Struct] = {
    message.__class__: message
    for message in (
        MEMBER,
        RoomStatus(room_id="r", member_count=1, created_time=1.0, last_active=2.0),
        STREAM,
        Joined(member=MEMBER),
        Left(user_id="alice", reason="left"),
        HostChanged(user_id="alice"),
        StreamOpened(stream=STREAM),
        Dropped(user_id="alice"),
        Returned(user_id="alice"),
        GrantsChanged(user_id="alice", publish=False, subscribe=True, moderate=False),
        StatusChanged(user_id="alice", status="away"),
        Rekeyed(user_id="alice", salt=bytes(16), key_id=bytes(8)),
        LockChanged(locked=True),
        Closed(reason="nobody did anything"),
        RoomUpdate(room="r", version=2, change=Joined(member=MEMBER)),
        SNAPSHOT,
        Bye(reason="done"),
        control.Confirm(received=3),
        control.Hello(),
        Welcome(user_id="alice", room=None, role="member", publish=True, subscribe=True, server="0.1"),
        Heartbeat(),
        control.CreateRoom(room="r"),
        JoinRoom(room="r"),
        JoinedRoom(number=1, key=b"\x00\xff", snapshot=SNAPSHOT),
        control.LeaveRoom(room="r"),
        control.ListRooms(),
        control.RoomInfo(room="r"),
        control.RoomMembers(room="r"),
        control.SyncRoom(room="r", version=3),
        control.SyncedRoom(changes=[Dropped(user_id="alice"), StreamOpened(stream=STREAM)]),
        control.RefreshToken(token="a.b.c"),
        control.OpenLane(),
        control.LaneTicket(ticket="x" * 43, seconds=30.0),
        control.KickMember(room="r", user="eve", reason="noise", ban=60.0),
        control.BanMember(room="r", user="eve", seconds=60.0),
        control.UnbanMember(room="r", user="eve"),
        control.Rekey(room="r", salt=bytes(16), key_id=bytes(8)),
        control.LockRoom(room="r", locked=True),
        control.SetRole(room="r", user="bob", role="host"),
        control.SetGrants(room="r", user="bob", publish=False),
        control.SetStatus(room="r", user="bob", status="away"),
        OpenStream(kind="audio", name="voice"),
        RequestKeyframe(member=1, stream=1),
        KeyframeWanted(stream=1),
        control.FetchPicture(member=1, stream=1),
        control.StreamReport(stream=1, member=2, seq=3),
        control.ReceiverReport(streams=[control.StreamReport(stream=1)]),
        control.SenderReport(receivers=2, behind=1, streams=[control.StreamReport(stream=1)]),
        control.Ack(total=1000, held_us=10_000),
    )
}


def test_there_is_a_sample_of_each() -> None:
    assert set(SAMPLES) == set(MESSAGES)


def test_bytes_stay_bytes() -> None:
    plain_form = to_plain(SAMPLES[JoinedRoom])
    assert plain_form["key"] == b"\x00\xff"
    assert plain_form["snapshot"]["members"][0]["id"] == "alice"


def test_what_is_left_out_has_its_default() -> None:
    assert from_plain({"room": "r"}, JoinRoom, what="join") == JoinRoom(room="r", role="member", create=False)
    assert from_plain({"reason": "x"}, Bye, what="bye").retry is True


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        ({}, JoinRoom, "missing required field `room`"),
        ({"room": 5}, JoinRoom, r"Expected `str`, got `int` - at `\$.room`"),
        ({"room": ""}, JoinRoom, "length >= 1"),
        ({"room": "x" * (MAX_NAME_CHARS + 1)}, JoinRoom, f"length <= {MAX_NAME_CHARS}"),
        ({"room": "r", "role": "king"}, JoinRoom, "Invalid enum value 'king'"),
        ({"room": "r", "create": "yes"}, JoinRoom, "Expected `bool`"),
        ({"room": "r", "salt": bytes(15)}, JoinRoom, "`salt` of 0 or 16 bytes"),
        ({"room": "r", "salt": bytes(17)}, JoinRoom, "length <= 16"),
        ({"room": "r", "key_id": bytes(7)}, JoinRoom, "`key_id` of 0 or 8"),
        ({"room": "r", "salt": bytes(15), "key_id": bytes(8)}, control.Rekey, "length >= 16"),
        ({"room": "r", "salt": bytes(16), "key_id": b""}, control.Rekey, "length >= 8"),
        ({"kind": "video", "name": "x"}, OpenStream, "Invalid enum value 'video'"),
        ({"member": 1}, RequestKeyframe, "missing required field `stream`"),
        ({"stream": 1}, RequestKeyframe, "missing required field `member`"),
        ({"member": -1, "stream": 1}, RequestKeyframe, r"Expected `int` >= 0 - at `\$.member`"),
        ({"member": 0x1_0000, "stream": 1}, RequestKeyframe, r"Expected `int` <= 65535 - at `\$.member`"),
        ({"member": 1, "stream": -1}, RequestKeyframe, r"Expected `int` >= 0 - at `\$.stream`"),
        ({"member": 1, "stream": 256}, RequestKeyframe, r"Expected `int` <= 255 - at `\$.stream`"),
        ({"member": 1, "stream": 1.5}, RequestKeyframe, "Expected `int`, got `float`"),
        ({"member": 1, "stream": True}, RequestKeyframe, "Expected `int`, got `bool`"),
        ({}, KeyframeWanted, "missing required field `stream`"),
        ({"stream": "pose"}, KeyframeWanted, "Expected `int`, got `str`"),
        ({"resume": "x" * 65}, control.Hello, "length <= 64"),
        ({"received": -1}, control.Hello, r"Expected `int` >= 0 - at `\$.received`"),
        ({"received": (1 << 53) + 1}, control.Confirm, "Expected `int` <= 9007199254740992"),
        ({"token": "x" * 8193}, control.RefreshToken, "length <= 8192"),
        ({"room": "r", "user": "eve", "ban": -1.0}, control.KickMember, r"Expected `float` >= 0.0 - at `\$.ban`"),
        ({"room": "r", "user": "eve", "ban": float("nan")}, control.KickMember, r"at `\$.ban`"),
        ({"room": "r", "user": "eve", "ban": float("inf")}, control.KickMember, r"at `\$.ban`"),
        ({"room": "r", "user": "", "seconds": 1.0}, control.BanMember, "length >= 1"),
        ({"room": "r", "user": "eve", "seconds": 0}, control.BanMember, r"at `\$.seconds`"),
        ({"room": "r", "user": "eve", "seconds": float("nan")}, control.BanMember, r"at `\$.seconds`"),
        ({"room": "r", "user": "eve", "seconds": 2e9}, control.BanMember, r"Expected `float` <= 1000000000.0"),
        ({"room": "r", "user": "eve", "publish": 1}, control.SetGrants, "Expected `bool | null`, got `int`"),
        ({"room": "r", "user": "eve", "status": "a\nb"}, control.SetStatus, "Expected `str` matching regex"),
        ({"room": "r", "user": "eve", "reason": "\x1b[2J"}, control.KickMember, "Expected `str` matching regex"),
        (None, Heartbeat, "Expected `object`, got `null`"),
        ([], Heartbeat, "Expected `object`, got `array`"),
        ({"room": "r", "version": 1, "change": {"type": "exploded"}}, RoomUpdate, "Invalid value 'exploded'"),
    ],
)
def test_a_refusal_says_where_and_what(data: Any, kind: type[Any], words: str) -> None:
    with pytest.raises(DataValidationError, match=words) as caught:
        from_plain(data, kind, what="request")
    assert caught.value.field == "request"


def test_a_refusal_quotes_briefly() -> None:
    with pytest.raises(DataValidationError) as caught:
        from_plain({"room": "x" * 1_000_000}, JoinRoom, what="request")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("member", "stream"), [(0, 0), (0xFFFF, 0xFF)])
def test_every_number_of_a_header_can_be_asked_for(member: int, stream: int) -> None:
    plain_form = {"member": member, "stream": stream}
    question = from_plain(plain_form, RequestKeyframe, what="request")
    assert question == RequestKeyframe(member=member, stream=stream)
    assert (to_plain(question), control.REQUEST_NAMES[type(question)]) == (plain_form, "stream.keyframe")


@pytest.mark.parametrize("size", [1, MAX_NAME_CHARS])
def test_names_of_every_length(size: int) -> None:
    assert from_plain({"room": "é" * size}, JoinRoom, what="join").room == "é" * size


def test_requests_are_named_both_ways() -> None:
    assert {name: kind for kind, name in control.REQUEST_NAMES.items()} == control.REQUESTS
    assert len(set(control.REQUESTS.values())) == len(control.REQUESTS)
    events = {control.FRAME, control.ROOM, control.BYE, control.KEYFRAME, control.REPORT, control.CONFIRM, control.ACK}
    assert not events & set(control.REQUESTS)


def test_every_change_has_its_own_tag() -> None:
    kinds = Change.__args__
    tags = [to_plain(SAMPLES[kind])["type"] for kind in kinds]
    assert len(set(tags)) == len(kinds)
    for (tag, kind), other in itertools.product(zip(tags, kinds, strict=True), kinds):
        fields = {**to_plain(SAMPLES[other]), **to_plain(SAMPLES[kind]), "type": tag}
        read: Any = from_plain(fields, Change, what="change")  # type: ignore[arg-type]
        assert type(read) is kind
