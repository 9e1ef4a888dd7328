"""The way to one client: at once while it keeps up, the newest that it can read while it does not."""

from __future__ import annotations

import socket
from collections import deque
from types import SimpleNamespace

import pytest

from posewire.server.fast_path import Outgoing
from posewire.server.mail import Mail
from posewire.server.outlet import Outlet
from tests.unit.server.client import CONFIG, Client, K, L, pose, sound, wires


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    return Client(monkeypatch)


# A client that keeps up ----------------------------------------------------------------------------------------------


def test_a_client_that_keeps_up_gets_everything_at_once_and_in_order(client: Client) -> None:
    sent: list[Mail | Outgoing] = []
    for seq in range(100):
        client.time += 1 / 30
        each = pose(seq, L if seq % 3 else K, None if seq % 3 == 0 else seq - seq % 3)
        note = Outgoing(b"note %d" % seq)
        assert client.post(each, sound(seq, client.time)) == [True, True]
        client.outlet.tell(note)
        sent += [each, sound(seq, client.time), note]
    assert client.written == wires(*sent)
    assert client.outlet.frames == 200
    assert client.outlet.waiting == 0
    assert client.outlet._mailbox is None
    assert client.to_flush == []
    assert not client.drops
    assert not client.flush()


def test_who_is_sent_nothing_but_acknowledgements_costs_no_memory(client: Client) -> None:
    """A publisher whom nobody sends anything: no frame goes to it, which would be the occasion to look."""
    marks = []
    for number in range(2000):
        client.time += 0.02
        assert client.outlet.tell_at_once(Outgoing(b"ack"))
        if number % 2:
            client.outlet.tell(Outgoing(b"note"))
        marks.append(len(client.outlet.backlog._marks))
    assert max(marks) < 20
    assert client.outlet.backlog.clear


# A slow one ----------------------------------------------------------------------------------------------------------


def test_a_slow_client_gets_control_in_order_then_sound_within_its_age_then_the_newest_pose(client: Client) -> None:
    client.stick()
    start = client.time
    notes = [Outgoing(b"note %d" % number) for number in range(20)]
    sounds = [sound(number, start + number / 10) for number in range(20)]
    poses = [pose(seq) for seq in range(2, 22)]
    for note, chunk, each in zip(notes, sounds, poses, strict=True):
        client.outlet.tell(note)
        assert client.post(chunk, each) == [True, True]
        client.time += 0.1
    assert client.written == []
    assert client.to_flush, "the flusher comes back to it"
    client.recover()
    assert not client.flush()
    # 2.05 s after the start, sound of the first 1.15 s is too old.
    assert client.written == wires(*notes, *sounds[12:], pose(2, stream=99), poses[-1])
    assert client.drops == {"expired": 12, "replaced": 19}
    assert client.outlet._mailbox is None
    assert client.outlet.frames == 2 + 8 + 2
    assert client.to_flush == []
    client.written.clear()
    assert client.post(pose(22)) == [True]
    assert client.written == wires(pose(22))


def test_what_even_our_kernel_does_not_take_waits_where_it_can_be_replaced(client: Client) -> None:
    client.buffered = 1
    client.post(pose(0))
    client.outlet.tell(Outgoing(b"note"))
    client.post(pose(1))
    assert client.written == []
    assert client.outlet.waiting == 2
    client.recover()
    client.flush()
    assert client.written == wires(Outgoing(b"note"), pose(1))


def test_on_a_slow_link_about_one_packet_at_a_time_is_under_way(client: Client) -> None:
    client.stick()
    for seq in range(2, 50):
        client.time += 0.1
        client.under_way = 0
        client.post(pose(seq))
        client.flush()
        assert client.under_way <= 2 * len(pose(seq).outgoing.wire)
    assert client.written[-1] == pose(49).outgoing.wire


def test_a_message_that_is_told_at_once_passes_what_waits_and_is_refused_when_nothing_moves(client: Client) -> None:
    client.stick()
    client.outlet.tell(Outgoing(b"waits"))
    assert client.outlet.tell_at_once(Outgoing(b"ack"))
    client.buffered = 64 << 10
    assert client.outlet.tell_at_once(Outgoing(b"ack"))
    client.buffered += 1
    assert not client.outlet.tell_at_once(Outgoing(b"ack"))
    assert client.written == wires(*[Outgoing(b"ack")] * 2)


def test_who_cannot_follow_gets_a_keyframe_asked_for_once_a_second(client: Client) -> None:
    recent = deque([0])
    client.stick()
    for seq in range(10, 75):
        assert client.post(pose(seq, L, 9), recent=recent) == [False]
        client.time += 1 / 32
    assert client.asked == [7 << 8 | 1] * 3
    assert client.drops["missing_reference"] == 65
    client.recover()
    assert client.post(pose(75)) == [True]
    assert client.written[-1] == pose(75).outgoing.wire


def test_what_waits_of_a_stream_that_is_no_more_is_let_go(client: Client) -> None:
    client.outlet.forget(7 << 8 | 1)
    client.stick()
    client.post(pose(0))
    client.outlet.forget(7 << 8 | 1)
    client.outlet.forget(7 << 8 | 99)
    assert client.outlet.waiting == 0
    client.recover()
    assert not client.flush()
    assert client.outlet._mailbox is None
    assert client.written == []


# One that is given up ------------------------------------------------------------------------------------------------


def test_too_many_messages_close_it_and_the_reason_does_not_wait_behind_them(client: Client) -> None:
    client.stick()
    notes: list[Outgoing] = []
    while not client.reasons:
        notes.append(Outgoing(b"%3d" % len(notes) + bytes(60)))
        client.outlet.tell(notes[-1])
        assert len(notes) < 100
    size = sum(len(note.wire) for note in notes)
    assert size - len(notes[-1].wire) <= CONFIG.recipient_limit < size
    assert client.reasons == [f"{size} bytes of messages wait, more than 1024"]
    bye = Outgoing(b"bye")
    client.outlet.last_word(bye)
    assert client.written == wires(bye)
    assert client.outlet.waiting == 0


def test_a_goodbye_to_who_has_no_mail_is_just_written(client: Client) -> None:
    client.outlet.last_word(Outgoing(b"bye"))
    assert client.written == wires(Outgoing(b"bye"))


def test_who_takes_nothing_for_the_timeout_is_given_up(client: Client) -> None:
    client.stick()
    start = client.outlet.backlog.progress_at
    for _ in range(20 * 100):
        if client.reasons:
            break
        client.time += 0.01
        client.flush()
    assert client.reasons == ["took nothing for 14 s"]
    assert 14.0 < client.time - start < 14.05
    assert client.to_flush == []


def test_who_takes_a_little_now_and_then_is_not_given_up(client: Client) -> None:
    client.stick()
    for seq in range(2, 60):
        client.time += 10.0
        client.under_way = 1  # something was taken, and something is under way again
        client.outlet.backlog.wrote(1, client.time)
        client.post(pose(seq))
    assert client.reasons == []


def test_who_stops_to_report_gets_no_more_poses_after_3_s_and_is_given_up_after_the_timeout(client: Client) -> None:
    """Its kernel takes everything; nobody reads it."""
    client.outlet.reported()
    start = client.time
    last = first_refused = 0.0
    for seq in range(20 * 32):
        client.post(pose(seq))
        if client.reasons:
            break
        if client.written and client.written[-1] == pose(seq).outgoing.wire:
            last = client.time
        elif not first_refused:
            first_refused = client.time
        client.time += 1 / 32
    assert last - start == 3.0
    assert first_refused > last
    assert client.reasons == ["read nothing for 14 s"]
    assert 14.0 < client.time - start < 14.1
    assert client.outlet.waiting <= 1


def test_who_reports_again_gets_the_newest_at_once(client: Client) -> None:
    client.outlet.reported()
    for seq in range(10 * 32):
        client.post(pose(seq))
        client.time += 1 / 32
    assert client.outlet.waiting == 1
    client.outlet.reported()
    client.flush()
    assert client.written[-1] == pose(319).outgoing.wire
    assert client.outlet._mailbox is None


def test_a_client_that_never_reports_need_not(client: Client) -> None:
    for seq in range(60):
        client.post(pose(seq))
        client.time += 1.0
    assert len(client.written) == 60


@pytest.mark.parametrize("reported", [True, False], ids=["reports", "nothing it could report"])
def test_a_client_that_is_idle_is_not_taken_for_one_that_does_not_read(client: Client, reported: bool) -> None:
    """Frames at 0.0 s and 0.5 s, nothing for a minute, then again. Not every frame is one that a client reports: it may
    be of a member whose key it has not.
    """
    client.outlet.reported()
    for _ in range(3):
        client.post(pose(0))
        client.time += 0.5
        client.post(pose(1))
        if reported:
            client.time += 1.0
            client.outlet.reported()
        client.time += 60.0
    client.post(pose(2))
    assert client.reasons == []
    assert len(client.written) == 7
    assert client.outlet._mailbox is None


def test_frames_that_come_seldom_do_not_hide_that_nobody_reads(client: Client) -> None:
    """A frame every two seconds is no pause: silence counts from the first of them."""
    client.outlet.reported()
    for seq in range(20):
        client.post(pose(seq))
        client.time += 2.0
    assert client.reasons
    assert len(client.written) == 2


# One that is gone ----------------------------------------------------------------------------------------------------


def test_a_client_that_is_gone_gets_nothing_and_keeps_nothing(client: Client) -> None:
    client.stick()
    client.outlet.tell(Outgoing(b"waits"))
    client.closing = True
    assert client.outlet.closed
    assert client.post(pose(5)) == [False]
    client.outlet.tell(Outgoing(b"note"))
    assert not client.outlet.tell_at_once(Outgoing(b"ack"))
    assert not client.flush()
    assert client.outlet.waiting == 0
    client.outlet.last_word(Outgoing(b"bye"))
    client.outlet.cut()
    assert client.written == []


def test_engine_io_says_it_is_closing(client: Client) -> None:
    client.socket.closing = True
    assert client.post(pose(0)) == [False]
    client.outlet.tell(Outgoing(b"note"))
    assert client.written == []


def test_a_connection_that_was_lost_before_it_was_let_in(client: Client) -> None:
    lost = Outlet(
        client.socket,
        SimpleNamespace(transport=None),  # type: ignore[arg-type]
        flusher=client.flusher,
        drops=client.drops,
        config=CONFIG,
        give_up=client.reasons.append,
        ask_keyframe=client.asked.append,
    )
    assert lost.closed
    lost.tell(Outgoing(b"note"))
    lost.last_word(Outgoing(b"bye"))
    lost.answered()
    lost.cut()
    assert not lost.tell_at_once(Outgoing(b"ack"))
    assert not lost.flush(client.time)
    assert not lost.post(pose(0), deque(), client.time)


def test_who_asks_and_reads_no_answers_is_given_up(client: Client) -> None:
    for _ in range(16):
        client.socket.queue.put_nowait(None)
    client.buffered = 1 << 20
    client.outlet.answered()
    client.socket.queue.put_nowait(None)
    client.buffered = 64 << 10
    client.outlet.answered()
    assert client.reasons == [], "many at once are fine while they go out"
    client.buffered += 1
    client.outlet.answered()
    assert client.reasons == ["reads no answers"]


# What the kernel knows -----------------------------------------------------------------------------------------------


def test_the_least_round_trip_comes_from_the_kernel(client: Client) -> None:
    assert client.outlet._least_round_trip() == 0.0
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as there:
        here, _ = server.accept()
        with here:
            here.sendall(b"ping")
            assert there.recv(4) == b"ping"
            client.outlet._sock = here
            assert 0.0 < client.outlet._least_round_trip() < 1.0
        assert client.outlet._least_round_trip() == 0.0, "it is closed"
    one, other = socket.socketpair()
    with one, other:
        client.outlet._sock = one
        assert client.outlet._least_round_trip() == 0.0, "it is not TCP"
