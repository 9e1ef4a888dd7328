"""What must be true after a schedule, whatever was in it. Pure: judges a history.

**Events across a lost connection.** A session that was *resumed* was never away: it is judged as one that was always
there, so every event whose `send_event` returned has come to it exactly once and in order. One that could not be
resumed is told so (``resumed`` is false, with a reason), and between its last certain moment in the room and its coming
back nothing is owed to it but this: no event twice, none out of order, and no hole: if event n of a sender came before
it lost the connection, so did every earlier one that was sent after it had joined.

**Events across a kill of the server.** The server keeps nothing on disk. `send_event` returned means: the server's
process had it and handed it to every member's queue. What was in those queues is gone with the process, and the sender
was told of no error, for there was none then. So of events that returned before a kill the same is asked as of a
session that was not resumed: at most once, in order, no hole. That everybody is told ``resumed = False`` then is
the strictest that is true without a disk; a session that says ``resumed`` after one owes everything, and is found out.

**Events whose send raised** may have come or not, at most once.

**Coming back in time.** A session that is back, at the same process of the server, before the grace time is over that
began with the last sign of life of its old connection, must have been resumed: the server notices the loss after that,
so it cannot have given the seat up. A slow machine makes neither side of this wrong. The end of its token does end a
session that cannot be reached for a newer one, so this is not asked of those whose tokens end within a schedule.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

from benchmarks.chaos.history import History, Sent, Stay


def judge(history: History, *, grace: float, must_resume: bool = True) -> list[str]:
    """Return what is wrong, a line each.

    Args:
        history: What happened, and where everybody is now.
        grace: Real seconds for which the server holds a seat.
        must_resume: Whether the server could keep all that a member misses.
    """
    return [
        *_no_event_twice(history),
        *_comebacks(history, grace if must_resume else 0.0),
        *_ends(history),
        *pending(history),
        *history.wrong,
    ]


def pending(history: History) -> list[str]:
    """Return what is not yet as it must be in the end: it may still be on its way."""
    return [*_no_event_missing(history), *_places(history), *_rooms_agree(history)]


def _no_event_twice(history: History) -> Iterator[str]:
    sent = {(event.sender, event.number): event for event in history.sent}
    rooms = {(stay.session, stay.room) for stay in history.stays}
    newest: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, str, int]] = set()
    for event in history.received:
        what = f"event {event.number} of {event.sender} at {event.receiver}"
        if (original := sent.get((event.sender, event.number))) is None or original.room != event.room:
            yield f"forged: {what} was never sent so"
        if (event.receiver, event.room) not in rooms:
            yield f"leaked: {what} is of room {event.room}, in which {event.receiver} never was"
        key = (event.receiver, event.sender, event.number)
        if key in seen:
            yield f"doubled: {what}"
        elif newest.get(key[:2], -1) > event.number:
            yield f"out of order: {what} came after {newest[key[:2]]}"
        seen.add(key)
        newest[key[:2]] = max(event.number, newest.get(key[:2], -1))


def _no_event_missing(history: History) -> Iterator[str]:
    came = {(event.receiver, event.sender, event.number) for event in history.received}
    by_sender = collections.defaultdict(list)
    for event in history.sent:
        if event.outcome == "returned":
            by_sender[event.sender, event.room].append(event)
    for stay in history.stays:
        for (sender, room), events in by_sender.items():
            if room != stay.room or sender == stay.session:
                continue
            owed = [event for event in events if event.began > stay.began]
            last = _last_in(history, stay, sender)
            for event in owed:
                if (stay.ended is None or event.number < last) and (stay.session, sender, event.number) not in came:
                    yield f"lost: event {event.number} of {sender} at {stay.session}: {_why_owed(event, stay, last)}"


def _last_in(history: History, stay: Stay, sender: str) -> int:
    """Return the newest event of a sender that came while the stay was certain."""
    until = stay.ended if stay.ended is not None else 0
    numbers = [
        event.number
        for event in history.received
        if event.receiver == stay.session
        and event.sender == sender
        and event.room == stay.room
        and stay.began < event.at < until
    ]
    return max(numbers, default=-1)


def _why_owed(event: Sent, stay: Stay, last: int) -> str:
    if stay.ended is None:
        return f"sent at {event.began}, {stay.session} was in {stay.room} from {stay.began} to the end"
    return f"a hole: {last} came on the same connection, before {stay.ended}"


def _comebacks(history: History, grace: float) -> Iterator[str]:
    for back in history.comebacks:
        if back.resumed:
            continue
        if not back.reason:
            yield f"no reason: {back.session} was not resumed and not told why"
        # The answer to its move was lost: the server cannot know which of two seats it means.
        lost_answer = back.moving and back.reason == "the session has another seat than it knows of"
        if back.generations == 0 and not back.token_ended and not lost_answer and back.seconds < grace:
            yield f"not resumed: {back.session} after {back.seconds:.3f} s of a grace of {grace:.3f} s: {back.reason!r}"


def _ends(history: History) -> Iterator[str]:
    for end in history.ends:
        what = f"{end.session} ended with {end.error}: {end.detail}"
        if not end.named:
            yield f"a bug: {what}"
        elif end.error and end.error not in history.excuses.get(end.session, ()):
            yield f"without a cause: {what}"


def _places(history: History) -> Iterator[str]:
    for view in history.views:
        if not view.connected:
            yield f"not back: {view.session} is not connected"
        elif view.expected is not None and view.room != view.expected:
            yield f"elsewhere: {view.session} is in {view.room}, not in {view.expected}"


def _rooms_agree(history: History) -> Iterator[str]:
    seated = collections.defaultdict(set)
    for view in history.views:
        if view.room is None or not view.connected:
            continue
        user = view.session.partition(".")[0]
        seated[view.room].add(user)
        if (theirs := history.rooms.get(view.room)) is None:
            yield f"no such room: {view.session} is in {view.room}, which the server does not have"
        elif view.mirror != theirs:
            yield f"rooms differ: {view.session} in {view.room}: {_difference(view.mirror or {}, theirs)}"
        elif user not in _present(theirs):
            yield f"no seat: {view.session} is not among those present in {view.room}"
    for room, snapshot in history.rooms.items():
        if ghosts := _present(snapshot) - seated[room]:
            yield f"ghosts: {', '.join(sorted(ghosts))} present in {room}, and not there"


def _present(snapshot: dict[str, Any]) -> set[str]:
    return {member["id"] for member in snapshot["members"] if member.get("present", True)}


def _difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    return "; ".join(
        f"{name}: {ours.get(name)!r}, the server {theirs.get(name)!r}"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    )
