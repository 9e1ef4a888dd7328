"""What waits for a slow recipient, and the newest picture: every frame that is taken can be read."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import Delivery, FrameType, Header, Kind
from posewire.server.fast_path import Outgoing, outgoing_frame
from posewire.server.mail import Mail
from posewire.server.mailbox import MOST_FRAME_BYTES, Mailbox
from posewire.server.picture import KEPT_REFERENCES, Picture

K, A, L = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF


def mail(
    frame_type: FrameType, seq: int, reference: int | None = None, *, stream: int = 1, body: bytes = b"body"
) -> Mail:
    ref = 0 if reference is None else seq - reference
    header = Header(3, Kind.POSE, Delivery.LATEST, frame_type, stream, 7, seq, ref, 0)
    packet = header.pack() + body
    return Mail(header, packet, outgoing_frame(packet))


def sound(captured: float) -> Mail:
    header = Header(2, Kind.AUDIO, Delivery.ORDERED, K, 2, 7, 0, 0, round(captured * 1e6))
    return Mail(header, header.pack(), outgoing_frame(header.pack()))


def box() -> Mailbox:
    return Mailbox(Counter(), audio_max_age=1.0)


def taken(mailbox: Mailbox, server_now: float = 0.0) -> list[int | bytes]:
    got: list[int | bytes] = []
    while (each := mailbox.next(server_now)) is not None:
        got.append(each.seq if isinstance(each, Mail) else each.wire)
    return got


def layered(count: int, *, layers: bool) -> list[Mail]:
    """A stream as the encoder makes it: a keyframe, then an anchor every fourth frame, with leaves between."""
    frames = [mail(K, 0)]
    newest = base = 0
    odd = False
    for seq in range(1, count):
        if seq % 4:
            frames.append(mail(L, seq, newest))
            continue
        odd = not odd
        frames.append(mail(A, seq, base if layers else newest))
        newest = seq
        base = base if odd and layers else seq
    return frames


def test_a_leaf_replaces_a_leaf_and_an_anchor_the_leaves_before_it() -> None:
    mailbox = box()
    recent = deque([0])
    for frame in layered(8, layers=False)[1:]:
        assert mailbox.put(frame, recent)
    assert len(mailbox) == 2
    assert taken(mailbox) == [4, 7]
    assert mailbox._drops == {"replaced": 5}


def test_a_keyframe_replaces_everything_of_its_stream_and_of_no_other() -> None:
    mailbox = box()
    for frame in layered(10, layers=False)[1:]:
        mailbox.put(frame, deque([0]))
    mailbox.put(mail(L, 5, 4, stream=3), deque([4]))
    mailbox.put(mail(K, 10), deque([0, 4, 8]))
    assert sorted(map(str, taken(mailbox))) == ["10", "5"]


def test_of_layered_anchors_every_other_one_can_be_done_without() -> None:
    mailbox = box()
    for frame in layered(34, layers=True)[1:]:
        mailbox.put(frame, deque([0]))
    assert taken(mailbox) == [8, 16, 24, 32, 33]
    mailbox = box()
    for frame in layered(34, layers=False)[1:]:
        mailbox.put(frame, deque([0]))
    assert taken(mailbox) == [4, 8, 12, 16, 20, 24, 28, 32, 33]


def test_what_refers_to_something_it_never_got_is_refused() -> None:
    mailbox = box()
    assert not mailbox.put(mail(L, 9, 8), deque([0, 4]))
    assert not mailbox.put(mail(A, 12, 8), deque([0, 4]))
    assert mailbox._drops == {"missing_reference": 2}
    assert mailbox.put(mail(K, 16), deque([0, 4]))


def test_a_path_that_is_too_long_is_let_go_until_the_next_keyframe() -> None:
    mailbox = box()
    frames = [frame for frame in layered(44, layers=False) if frame.frame_type is A]
    for frame in frames[:8]:
        assert mailbox.put(frame, deque([0]))
    assert not mailbox.put(frames[8], deque([0]))
    assert len(mailbox) == 0
    assert not mailbox.put(frames[9], deque([0]))
    assert mailbox._drops["too_far_behind"] == 1
    assert mailbox.put(mail(K, 44), deque([0]))
    assert taken(mailbox) == [44]


def test_control_comes_first_then_sound_then_poses_by_turns() -> None:
    mailbox = box()
    for stream in (1, 3):
        mailbox.put(mail(K, 0, stream=stream), deque())
        mailbox.put(mail(L, 1, 0, stream=stream), deque())
    mailbox.put(sound(5.0), deque())
    mailbox.tell(Outgoing(b"first"))
    mailbox.tell(Outgoing(b"second"))
    assert mailbox.control_bytes == len(Outgoing(b"first").wire) + len(Outgoing(b"second").wire)
    assert taken(mailbox, 5.0) == [Outgoing(b"first").wire, Outgoing(b"second").wire, 0, 0, 0, 1, 1]
    assert mailbox.control_bytes == 0


def test_sound_is_not_sent_once_it_is_too_old_and_there_is_never_much_of_it() -> None:
    mailbox = box()
    mailbox.put(sound(5.0), deque())
    mailbox.put(sound(5.9), deque())
    assert len(taken(mailbox, 6.5)) == 1
    assert mailbox._drops == {"expired": 1}
    for _ in range(1000):
        mailbox.put(sound(6.0), deque())
    assert len(mailbox) == 256


def test_it_is_settled_once_the_recipient_is_as_good_as_any_other() -> None:
    mailbox = box()
    recent = deque([0], maxlen=KEPT_REFERENCES)
    mailbox.put(mail(A, 4, 0), recent)
    recent.append(4)
    assert not mailbox.settle()
    taken(mailbox)
    assert mailbox.settle()
    mailbox.put(mail(A, 8, 0), recent)
    recent.append(8)
    mailbox.put(mail(A, 16, 0), recent)
    recent.append(16)
    assert taken(mailbox) == [16]
    assert not mailbox.settle(), "it has no 8, and the next frame may refer to it"
    mailbox.forget(7 << 8 | 1)
    assert mailbox.settle()


def test_a_packet_is_kept_once_and_comes_back_as_it_was() -> None:
    for body in (b"", b"x", bytes(90), bytes(300), bytes(70_000)):
        header = Header(3, Kind.POSE, Delivery.LATEST, K, 1, 7, 0, 0, 0)
        packet = header.pack() + body
        each = Mail(header, packet, outgoing_frame(packet))
        assert each.packet == packet
        assert each.size == len(packet)
        assert not any(getattr(each, name) is packet for name in Mail.__slots__)


def test_of_sound_that_does_not_fit_a_pose_has_its_turn() -> None:
    mailbox = box()
    mailbox.put(mail(K, 0, body=bytes(100)), deque())
    for _ in range(20):
        mailbox.put(sound(5.0), deque())
    size = sound(5.0).size
    got = [each for each in (mailbox.next(5.0) for _ in range(20)) if isinstance(each, Mail)]
    before = next(index for index, each in enumerate(got) if each.kind is Kind.POSE)
    assert before == -(-2 * mail(K, 0, body=bytes(100)).size // size)


def test_what_is_seen_next_is_what_goes_next() -> None:
    mailbox = box()
    mailbox.tell(Outgoing(b"note"))
    mailbox.put(sound(5.0), deque())
    mailbox.put(sound(9.0), deque())
    mailbox.put(mail(K, 0), deque())
    mailbox.put(mail(K, 0, stream=3), deque())
    seen = []
    while (first := mailbox.peek(9.0)) is not None:
        assert mailbox.next(9.0) is first
        seen.append(first)
    assert len(seen) == 4
    assert mailbox.next(9.0) is None
    assert mailbox._drops == {"expired": 1}


def test_however_many_streams_there_are_a_bound_of_bytes_waits_and_the_largest_go() -> None:
    mailbox = box()
    body = bytes(100_000)
    assert mailbox.put(mail(K, 0, stream=99), deque())
    for stream in range(1, 65):
        for seq in range(4):
            frame = mail(A if seq else K, seq, seq - 1 if seq else None, stream=stream, body=body)
            mailbox.put(frame, deque())
            assert mailbox.frame_bytes <= MOST_FRAME_BYTES
    assert mailbox.frame_bytes == sum(slot.size for slot in mailbox._slots.values())
    assert len(mailbox) <= 6
    assert mailbox._drops["too_far_behind"] > 50
    assert mailbox._slots[7 << 8 | 99].leaf is None
    assert mail(K, 0, stream=99).seq in [each.seq for each in mailbox._slots[7 << 8 | 99].path], "small ones stay"


def test_a_stream_that_was_let_go_needs_a_keyframe() -> None:
    mailbox = box()
    body = bytes(300_000)
    assert mailbox.put(mail(K, 0, body=body), deque([0]))
    assert not mailbox.put(mail(A, 4, 0, body=body), deque([0])), "both are too much"
    assert mailbox.frame_bytes == 0
    assert not mailbox.put(mail(L, 5, 4), deque([0, 4]))
    assert mailbox._drops == {"too_far_behind": 2, "missing_reference": 1}
    assert mailbox.put(mail(K, 8), deque([0, 4]))
    assert taken(mailbox) == [8]


def test_a_frame_that_is_larger_than_the_bound_does_not_wait() -> None:
    mailbox = box()
    huge = bytes(MOST_FRAME_BYTES)
    recent = deque([0])
    assert mailbox.put(mail(L, 1, 0, body=huge), recent), "nothing refers to it"
    assert not mailbox.put(mail(A, 4, 0, body=huge), recent)
    assert not mailbox.put(mail(L, 5, 4), recent)
    assert len(mailbox) == 0
    assert mailbox._drops == {"too_large": 2, "missing_reference": 1}
    header = Header(2, Kind.AUDIO, Delivery.ORDERED, K, 2, 7, 0, 0, 0)
    assert mailbox.put(Mail(header, header.pack() + huge, Outgoing(b"")), deque())
    assert len(mailbox) == 0


def test_poses_make_room_for_sound() -> None:
    mailbox = box()
    for stream in range(5):
        mailbox.put(mail(K, 0, stream=stream + 10, body=bytes(100_000)), deque())
    header = Header(2, Kind.AUDIO, Delivery.ORDERED, K, 2, 7, 0, 0, 5_000_000)
    chunk = Mail(header, header.pack() + bytes(60_000), Outgoing(b""))
    for _ in range(4):
        assert mailbox.put(chunk, deque())
    assert mailbox.frame_bytes <= MOST_FRAME_BYTES
    assert len(mailbox._audio) == 4
    assert mailbox._drops["too_far_behind"] == 3
    mailbox.forget_frames()
    assert mailbox.frame_bytes == 0


@given(st.data(), st.booleans())
def test_whatever_comes_and_goes_every_frame_that_is_taken_can_be_read(data: st.DataObject, layers: bool) -> None:
    """The recipient decodes what it gets with the references that a decoder keeps; the last it gets is the newest."""
    mailbox = box()
    recent: deque[int] = deque(maxlen=KEPT_REFERENCES)
    known: deque[int] = deque(maxlen=KEPT_REFERENCES)
    newest = -1
    base = anchor = 0
    odd = False
    for seq in range(data.draw(st.integers(1, 60))):
        kind = data.draw(st.sampled_from([K, A, A, L, L, L])) if seq else K
        if kind is K:
            frame, base, anchor, odd = mail(K, seq), seq, seq, False
        elif kind is A:
            odd = not odd
            frame = mail(A, seq, base if layers else anchor)
            anchor, base = seq, (base if odd and layers else seq)
        else:
            frame = mail(L, seq, anchor)
        assert mailbox.put(frame, recent), "it never misses anything, however slow it is"
        if kind is K:
            recent.clear()
        if kind is not L:
            recent.append(seq)
        for _ in range(data.draw(st.integers(0, 2))):
            got = mailbox.next(0.0)
            if got is None:
                assert newest == seq, "when nothing waits, the newest was taken"
                break
            assert isinstance(got, Mail)
            assert got.seq > newest
            newest = got.seq
            assert got.frame_type is K or got.reference in known
            if got.frame_type is K:
                known.clear()
            if got.frame_type is not L:
                known.append(got.seq)


@given(st.lists(st.sampled_from([K, A, L]), max_size=40), st.booleans())
def test_a_picture_is_whole_and_as_new_as_can_be(kinds: list[FrameType], layers: bool) -> None:
    picture = Picture()
    anchor: int | None = None
    newest = None
    base, odd = 0, False
    for seq, kind in enumerate(kinds):
        if kind is K:
            anchor, base, odd = seq, seq, False
            frame = mail(K, seq)
        elif anchor is None:
            frame = mail(kind, seq, seq - 1)  # refers to what the server never saw
        elif kind is A:
            odd = not odd
            frame = mail(A, seq, base if layers else anchor)
            anchor, base = seq, (base if odd and layers else seq)
        else:
            frame = mail(L, seq, anchor)
        picture.take(frame)
        newest = None if anchor is None else seq
    frames = picture.frames()
    assert [frame.seq for frame in frames][-1:] == ([] if newest is None else [newest])
    for before, frame in zip([None, *frames], frames, strict=False):
        assert frame.frame_type is K if before is None else frame.reference == before.seq


def test_of_a_stream_without_keyframes_there_is_no_picture_rather_than_an_endless_one() -> None:
    picture = Picture()
    for frame in layered(4 * 140, layers=False):
        picture.take(frame)
    assert picture.frames() == []
    picture.take(mail(K, 1000))
    assert [frame.seq for frame in picture.frames()] == [1000]
