"""Who gets what came in, and what of it counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from posewire.errors import AuthError, ConnectionError
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from posewire.sockets.event_dispatcher import Event
from posewire.sockets.inbound import Inbound, reason_of
from posewire.sockets.resumption import Resumption


class Rig:
    """An inbound whose handlers note in one list what they get, and in which order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.drops: Counter[str] = Counter()
        self.resumption = Resumption(lambda name, data: None)
        self.inbound = Inbound(self.resumption, self._dispatch, self.drops)

    def _dispatch(self, event: Event) -> None:
        self.log.append(("application", event))


def packet(kind: Kind) -> bytes:
    return Header(3, kind, Delivery.RELIABLE, FrameType.KEY, 0, 1, 5, 0, 0).pack() + b"body"


def test_a_packet_goes_to_the_handler_of_its_kind() -> None:
    rig = Rig()
    rig.inbound.packet_handlers[Kind.AUDIO] = lambda header, packet: rig.log.append((header.kind.name, packet))
    for kind in Kind:
        rig.inbound.frame(packet(kind))
    assert rig.log == [("AUDIO", packet(Kind.AUDIO))]


def test_events_of_others_count_before_they_are_handled() -> None:
    rig = Rig()
    counts = []
    rig.inbound.packet_handlers[Kind.EVENT] = lambda header, packet: counts.append(rig.resumption.received)
    for kind in (Kind.EVENT, Kind.POSE, Kind.AUDIO, Kind.EVENT):
        rig.inbound.frame(packet(kind))
    assert counts == [1, 2]
    assert rig.resumption.received == 2


def test_on_a_side_lane_there_are_poses_only() -> None:
    rig = Rig()
    for kind in Kind:
        rig.inbound.packet_handlers[kind] = lambda header, packet: rig.log.append((header.kind.name, packet))
    for kind in Kind:
        rig.inbound.side_frame(packet(kind))
    rig.inbound.side_frame(b"damaged")
    assert rig.log == [("POSE", packet(Kind.POSE))]
    assert rig.drops["wrong_lane"] == 2
    assert rig.drops.total() == 3
    assert rig.resumption.received == 0, "or what comes by the primary one would be taken for more than it is"


def test_what_nobody_handles_counts_too() -> None:
    """The server counts what it sends, not what becomes of it."""
    rig = Rig()
    rig.inbound.frame(packet(Kind.EVENT))
    rig.inbound.event(control.ROOM, "nonsense")
    assert rig.resumption.received == 2


@pytest.mark.parametrize("damaged", [b"", b"\x00", packet(Kind.EVENT)[:10], b"\xff" * 40])
def test_damage_is_counted_and_goes_nowhere(damaged: bytes) -> None:
    rig = Rig()
    rig.inbound.frame(damaged)
    assert sum(rig.drops.values()) == 1
    assert (rig.log, rig.resumption.received) == ([], 0)
    assert rig.inbound.drops is rig.drops


def test_an_event_goes_to_our_handler_and_then_to_the_applications() -> None:
    rig = Rig()
    rig.inbound.event_handlers["bye"] = lambda data: rig.log.append(("ours", data))
    rig.inbound.event("bye", {"reason": "x"})
    rig.inbound.event("other", 5)
    assert rig.log == [
        ("ours", {"reason": "x"}),
        ("application", Event(name="bye", data={"reason": "x"})),
        ("application", Event(name="other", data=5)),
    ]
    assert rig.resumption.received == 0, "only changes of the room are journalled"


@pytest.mark.parametrize("bye", [{"reason": "full"}, {"reason": "full", "retry": True}])
def test_a_goodbye_for_now(bye: Any) -> None:
    error = reason_of(bye, "alice")
    assert type(error) is ConnectionError
    assert str(error) == "the server said goodbye: full"


def test_a_goodbye_for_good() -> None:
    error = reason_of({"reason": "kicked", "retry": False}, "alice")
    assert isinstance(error, AuthError)
    assert (error.user_id, error.reason) == ("alice", "kicked")


@pytest.mark.parametrize("bye", [None, {}, [], {"reason": 5}, "bye"])
def test_a_goodbye_that_says_nothing(bye: Any) -> None:
    assert str(reason_of(bye, "alice")) == "the server said goodbye: no reason given"
