"""What waits for a recipient that is too slow for everything."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from posewire.protocol import FrameType, Kind
from posewire.server.fast_path import Outgoing
from posewire.server.mail import Mail
from posewire.server.picture import KEPT_REFERENCES, path_to

_MOST_AUDIO: Final = 256
_MOST_AUDIO_BYTES: Final = 256 << 10
MOST_FRAME_BYTES: Final = 512 << 10
"""Of all frames that wait for one recipient. Over it the stream that takes most is let go until its next keyframe; a
frame that is larger by itself does not wait at all."""
_SOUND_FOR_POSES: Final = 2
"""Bytes of sound that go for each of a pose that waits: where not even all the sound gets through, poses still do."""
_LONGEST_PATH: Final = 8
"""Anchors that may wait, each needing the one before; with more, all of it is let go, and a keyframe is asked for."""


class _Slot:
    """The poses of one stream that wait: the references the newest frame needs and this recipient has not, one leaf."""

    def __init__(self, recent: deque[int]) -> None:
        self.recent = recent
        """References that were passed on to everyone else; the relay goes on adding to it."""
        self.has: deque[int] = deque(recent, maxlen=KEPT_REFERENCES)
        """Those that were written to this recipient."""
        self.path: list[Mail] = []
        self.leaf: Mail | None = None

    def __len__(self) -> int:
        return len(self.path) + (self.leaf is not None)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(mail.size for mail in self.path) + (self.leaf.size if self.leaf is not None else 0)

    def let_go(self) -> None:
        """Let go of all that waits; only a keyframe can be read after it."""
        self.has.clear()
        self.path, self.leaf = [], None

    def put(self, mail: Mail) -> str | None:
        """Take a frame in; returns why it is of no use, if it is not. What it makes useless goes."""
        if mail.frame_type is FrameType.KEY:
            self.has.clear()
            self.path, self.leaf = [], None
        elif mail.reference not in self.has:
            path = path_to(mail.reference, self.path)
            if not path:
                return "missing_reference"
            if mail.frame_type is FrameType.ANCHOR:
                self.path, self.leaf = path, None
        elif mail.frame_type is FrameType.ANCHOR:
            # It refers to something this recipient has, so it needs nothing of what waits.
            self.path, self.leaf = [], None
        if mail.frame_type is FrameType.LEAF:
            self.leaf = mail
            return None
        self.path.append(mail)
        if len(self.path) > _LONGEST_PATH:
            self.let_go()
            return "too_far_behind"
        return None

    @property
    def first(self) -> Mail:
        """What goes first; there must be something."""
        mail = self.path[0] if self.path else self.leaf
        assert mail is not None
        return mail

    def next(self) -> Mail:
        """Remove and return what goes first."""
        if self.path:
            mail = self.path.pop(0)
            self.has.append(mail.seq)
            return mail
        assert self.leaf is not None
        mail, self.leaf = self.leaf, None
        return mail


class Mailbox:
    """Control and events in order, audio in order within its age, of each stream of poses the newest that can be read.

    Bounded in bytes, whatever waits: `MOST_FRAME_BYTES` of frames; control is the caller's to bound. Pure: the caller
    says what time it is, and takes what goes next.

    Args:
        drops: Counts what is let go, by reason: ``replaced``, ``expired``, ``missing_reference``, ``too_far_behind``,
            ``too_large``.
        audio_max_age: Seconds from capture until sound is not worth sending any more.
    """

    def __init__(self, drops: Counter[str], *, audio_max_age: float) -> None:
        self.control_bytes = 0
        """Bytes of control messages and events that wait; nothing of them is ever dropped."""
        self._drops = drops
        self._audio_max_age = audio_max_age
        self._control: deque[Outgoing] = deque()
        self._audio: deque[Mail] = deque()
        self._audio_bytes = self._pose_bytes = 0
        self._sound_since_pose = 0
        self._slots: dict[int, _Slot] = {}

    def __len__(self) -> int:
        return len(self._control) + len(self._audio) + sum(map(len, self._slots.values()))

    @property
    def frame_bytes(self) -> int:
        """Bytes of poses and sound that wait."""
        return self._audio_bytes + self._pose_bytes

    def tell(self, outgoing: Outgoing) -> None:
        """Take a control message or an event in."""
        self._control.append(outgoing)
        self.control_bytes += len(outgoing.wire)

    def put(self, mail: Mail, recent: deque[int]) -> bool:
        """Take a frame in; False when it is of no use to this recipient.

        Args:
            mail: The frame.
            recent: References of its stream before it, which a recipient that missed nothing has. Kept.
        """
        if mail.size > MOST_FRAME_BYTES:
            self._drops["too_large"] += 1
            if mail.frame_type is FrameType.LEAF or mail.kind is not Kind.POSE:
                return True  # nothing refers to it
            self._let_go(self._slots.setdefault(mail.key, _Slot(recent)))
            return False
        if mail.kind is Kind.AUDIO:
            self._audio.append(mail)
            self._audio_bytes += mail.size
            while len(self._audio) > _MOST_AUDIO or (self._audio_bytes > _MOST_AUDIO_BYTES and len(self._audio) > 1):
                self._next_audio()
                self._drops["expired"] += 1
            self._make_room()
            return True
        slot = self._slots.get(mail.key)
        if slot is None:
            slot = self._slots[mail.key] = _Slot(recent)
        waiting, size = len(slot), slot.size
        refused = slot.put(mail)
        self._pose_bytes += slot.size - size
        if refused is not None:
            self._drops[refused] += 1
        replaced = waiting + 1 - len(slot) - (refused is not None)
        if replaced > 0:
            self._drops["replaced"] += replaced
        self._make_room()
        return refused is None and len(slot) > 0

    def peek(self, server_now: float) -> Mail | Outgoing | None:
        """Return what goes first, and leave it; None when nothing does. ``server_now``: seconds since 1970."""
        if self._control:
            return self._control[0]
        while self._audio and server_now - self._audio[0].captured > self._audio_max_age:
            self._next_audio()
            self._drops["expired"] += 1
        pose = next((slot.first for slot in self._slots.values() if len(slot)), None)
        if self._audio and (pose is None or self._sound_since_pose < _SOUND_FOR_POSES * pose.size):
            return self._audio[0]
        return pose

    def next(self, server_now: float) -> Mail | Outgoing | None:
        """Remove and return what goes first; see `peek`."""
        first = self.peek(server_now)
        if first is None:
            return None
        if isinstance(first, Outgoing):
            self.control_bytes -= len(first.wire)
            return self._control.popleft()
        if first.kind is Kind.AUDIO:
            self._sound_since_pose += first.size
            return self._next_audio()
        self._sound_since_pose = 0
        self._pose_bytes -= first.size
        # To the end, so that streams take turns.
        slot = self._slots[first.key] = self._slots.pop(first.key)
        return slot.next()

    def settle(self) -> bool:
        """Return whether this recipient is as good as one that missed nothing, so that it needs no mailbox."""
        for key, slot in list(self._slots.items()):
            if not len(slot) and all(seq in slot.has for seq in slot.recent):
                del self._slots[key]
        return not (self._slots or self._control or self._audio)

    def forget(self, key: int) -> None:
        """Let go of a stream that is no more."""
        if (slot := self._slots.pop(key, None)) is not None:
            self._pose_bytes -= slot.size

    def forget_frames(self) -> None:
        """Let go of all poses and all sound."""
        self._slots.clear()
        self._audio.clear()
        self._audio_bytes = self._pose_bytes = 0

    def forget_poses(self) -> None:
        """Let go of all poses."""
        self._slots.clear()
        self._pose_bytes = 0

    def _make_room(self) -> None:
        while self.frame_bytes > MOST_FRAME_BYTES:
            largest = max(self._slots.values(), key=lambda slot: slot.size, default=None)
            if largest is None or not len(largest):
                return  # only sound waits, and that has a bound of its own
            self._drops["too_far_behind"] += len(largest)
            self._let_go(largest)

    def _let_go(self, slot: _Slot) -> None:
        self._pose_bytes -= slot.size
        slot.let_go()

    def _next_audio(self) -> Mail:
        mail = self._audio.popleft()
        self._audio_bytes -= mail.size
        return mail
