"""Asks for what is missing to read a stream: its newest picture, or a new keyframe."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Final

from posewire import clock
from posewire.errors import PosewireError
from posewire.protocol import FrameType, Header, control
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

_ASK_AGAIN: Final = 0.25
"""Seconds until a keyframe that did not come is asked for again."""
_ASK_AT_ONCE: Final = 0.05
"""The same when there was one."""
_MAX_STREAMS: Final = 1024


class Keyframes:
    """Questions to the server, one after the other, and not the same one all the time.

    Args:
        socket: The connection.
        show: Called with the packets of a picture.
    """

    def __init__(self, socket: SocketManager, show: Callable[[list[bytes]], None]) -> None:
        self.questions: deque[control.RequestKeyframe | control.FetchPicture] = deque()
        """Those that are not asked yet."""
        self._socket = socket
        self._show = show
        self._asked: dict[tuple[int, int], tuple[float, int]] = {}
        """When a keyframe of a stream was asked for last, and the newest frame since that could not be read and may be
        referred to."""
        self.fetching: set[tuple[int, int]] = set()
        """Streams whose picture is on its way: what cannot be read meanwhile may be in it."""
        self._missed: dict[tuple[int, int], Callable[[], None]] = {}
        """Of these streams, what reads the newest frame that came meanwhile."""
        self._asking = asyncio.Event()

    async def run(self) -> None:
        """Ask; for ever."""
        while True:
            await self._asking.wait()
            self._asking.clear()
            while self.questions:
                question = self.questions.popleft()
                try:
                    if isinstance(question, control.FetchPicture):
                        self._show(await self._socket.request(question, list[bytes]))
                    else:
                        await self._socket.request(question, bool)
                except PosewireError as exc:
                    # The next frame that cannot be read asks again.
                    logger.debug("not asked for: %s", exc)
                finally:
                    stream = (question.member, question.stream)
                    self.fetching.discard(stream)
                if (read := self._missed.pop(stream, None)) is not None:
                    read()

    def fetch(self, member: int, stream: int) -> None:
        """Get the newest picture of a stream that we did not follow so far."""
        self.fetching.add((member, stream))
        self._put(control.FetchPicture(member=member, stream=stream))

    def wait_for_picture(self, header: Header, read: Callable[[], None]) -> bool:
        """Call ``read`` once the stream's picture is there; False when none is on its way. Only the newest waits."""
        stream = (header.member, header.stream)
        if stream not in self.fetching:
            return False
        self._missed[stream] = read
        return True

    def ask(self, header: Header) -> None:
        """Ask for a keyframe: the frame with this header refers to one that did not come."""
        now = clock.monotonic()
        stream = (header.member, header.stream)
        then, seq = self._asked.get(stream, (-math.inf, -1))
        # A reference newer than all we know of: the keyframe was sent, and it is lost too.
        known = header.seq - header.ref <= seq
        if now - then < (_ASK_AGAIN if known else _ASK_AT_ONCE):
            if known and header.frame_type is FrameType.ANCHOR:
                self._asked[stream] = (then, max(seq, header.seq))
            return
        if len(self._asked) >= _MAX_STREAMS:
            self._asked.clear()  # costs a question too many
        self._asked[stream] = (now, header.seq)
        self._put(control.RequestKeyframe(member=header.member, stream=header.stream))

    def _put(self, question: control.RequestKeyframe | control.FetchPicture) -> None:
        if len(self.questions) == _MAX_STREAMS:
            dropped = self.questions.popleft()
            self.fetching.discard((dropped.member, dropped.stream))
        self.questions.append(question)
        self._asking.set()
