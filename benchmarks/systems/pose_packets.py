"""What systems that carry bytes carry: a pose as the packet Posewire sends it in body v2, float32, without a seal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.systems.system import Deliver
from posewire.protocol import HEADER_BYTES, Delivery, Kind, PacketWriter, PoseProtocol, to_pose_data, unpack_header
from posewire.protocol.pose_data import Landmarks

_STREAM: Final = 1


class PosePackets:
    """Checks and encodes a pose, and decodes and checks it again, with `posewire.protocol`, as a session does."""

    def __init__(self) -> None:
        self._protocol = PoseProtocol(version="v2")
        self._writer = PacketWriter()
        self._length = 0

    def pack(self, landmarks: Landmarks) -> bytes:
        """Return the packet of the next pose."""
        now = time.time()
        body = self._protocol.encode_pose(to_pose_data(landmarks), now=now).body
        return self._writer.write(
            Kind.POSE, Delivery.LATEST, _STREAM, version=2, captured_us=round(now * 1e6), body=body
        )

    def wrap(self, body: bytes, at: float) -> bytes:
        """Return a packet as long as that of a pose around the beginning of another body; `capacity` floods with it."""
        if not self._length:
            self._length = len(self.pack(np.zeros((33, 4), dtype=np.float32))) - HEADER_BYTES
        body = body.ljust(self._length, b"\0")
        captured_us = round(at * 1e6)
        return self._writer.write(Kind.POSE, Delivery.LATEST, _STREAM, version=2, captured_us=captured_us, body=body)

    def into(self, deliver: Deliver) -> Callable[[bytes], None]:
        """Return what takes packets, decodes them and hands the poses to ``deliver``."""
        protocol = self._protocol

        def take(packet: bytes) -> None:
            header = unpack_header(packet)
            pose = protocol.decode_pose(header, packet, timestamp=header.captured_us / 1e6)
            if pose.pose_landmarks is not None:
                deliver(pose.pose_landmarks)

        return take
