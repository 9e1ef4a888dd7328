"""From what was handed in to the packet that goes out."""

from __future__ import annotations

import logging
from typing import Any, Final

from posewire import clock
from posewire.errors import ConnectionError, DataValidationError
from posewire.flow import QueueItem
from posewire.protocol import CodedPose, FrameType, Kind, PoseData, control
from posewire.rooms import RoomManager
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

_UNKNOWN_BYTES: Final = 256
"""What the first frame of a stream is expected to be."""


class FrameWriter:
    """Knows the numbers of our streams in the room we are in, and writes their packets.

    Args:
        socket: The connection.
        rooms: Opens streams.
    """

    def __init__(self, socket: SocketManager, rooms: RoomManager) -> None:
        self._socket = socket
        self._rooms = rooms
        self._streams: dict[tuple[Kind, str], int] = {}
        self._sizes: dict[tuple[Kind, str], int] = {}
        self._epoch = -1
        socket.on_server_event(control.KEYFRAME, self._keyframe_wanted)

    def is_open(self, item: QueueItem) -> bool:
        """Return whether the stream of a frame has its number."""
        if self._epoch != self._socket.epoch:
            self._streams.clear()
            self._sizes.clear()
            self._epoch = self._socket.epoch
        return (item.kind, item.stream) in self._streams

    def number_of(self, item: QueueItem) -> int | None:
        """Return the number of the stream of a frame; None while it has none."""
        return self._streams[item.kind, item.stream] if self.is_open(item) else None

    async def open(self, item: QueueItem) -> None:
        """Get a number for the stream of a frame. Waits for the server; cancelling is safe.

        Raises:
            PosewireError: It refuses: too many streams, not allowed, in no room; or the connection went away.
        """
        epoch = self._socket.epoch
        number = await self._rooms.open_stream("pose" if item.kind is Kind.POSE else "audio", item.stream)
        if epoch != self._socket.epoch:
            raise ConnectionError("the room changed while a stream was being opened")
        self.is_open(item)  # forgets the numbers of a room that we have left
        self._streams[item.kind, item.stream] = number

    def number(self, kind: Kind, stream: str) -> int | None:
        """Return the number of one of our streams; None while it is not open."""
        return self._streams.get((kind, stream))

    def expected_size(self, item: QueueItem) -> int:
        """Return the bytes that the packet of a frame will have, about: as many as the one before it."""
        return self._sizes.get((item.kind, item.stream), _UNKNOWN_BYTES)

    def write(self, item: QueueItem, data: Any) -> bytes:
        """Return the packet of a frame whose stream is open; it is the stream's next.

        Raises:
            ProtocolError: The stream has no number left, or version 1 has no key to sign with.
        """
        socket, protocol = self._socket, self._socket.protocol
        number = self._streams[item.kind, item.stream]
        if isinstance(data, PoseData):
            version = protocol.body_version
            seq = socket.writer.next_seq(number)
            coded = protocol.encode_pose(data, now=socket.clock.to_server(clock.now()), stream=number, seq=seq)
        else:
            version, coded = 2, CodedPose(FrameType.KEY, 0, protocol.encode_audio(data))
        packet = socket.writer.write(
            item.kind,
            item.delivery,
            number,
            version=version,
            captured_us=socket.captured_us(item.timestamp),
            body=coded.body,
            frame_type=coded.frame_type,
            ref=coded.ref,
        )
        self._sizes[item.kind, item.stream] = len(packet)
        return packet

    def _keyframe_wanted(self, data: Any) -> None:
        try:
            wanted = control.from_plain(data, control.KeyframeWanted, what="keyframe")
        except DataValidationError as exc:
            logger.warning("request for a keyframe not understood: %s", exc)
            return
        self._socket.protocol.request_keyframe(wanted.stream)
