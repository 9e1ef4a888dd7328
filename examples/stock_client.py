"""A stock Socket.IO client: joins a room, says who comes and goes, sends a pose and reads those of version 2.

posewire serve     # and: pip install "python-socketio[asyncio_client]" msgpack
POSEWIRE_TOKEN=$(posewire token stock --room studio) python examples/stock_client.py
POSEWIRE_SENDER_PROTOCOL_VERSION=v2 posewire send synthetic --room studio --name anna     # somebody to see
"""

import asyncio
import os
import struct
import time
from typing import Any

import msgpack
import socketio

HEADER = struct.Struct("<BBBHIHQ")  # docs/wire.md, "Packets"


def write(member: int, stream: int, seq: int, captured: int) -> bytes:
    """Return a pose of three points as a packet: the header; 0 for "not compressed"; [pose, face, hands, skeleton]."""
    arm = struct.pack("<12f", 0.3, 0.5, 0, 1, 0.5, 0.5, 0, 1, 0.7, 0.5 + captured % 1_000_000 / 4e6, 0, 1)
    head = HEADER.pack(0x12, 0, stream, member, seq, 0, captured)
    return head + b"\0" + bytes(msgpack.packb([arm, None, None, "arm3"]))


def read(packet: bytes, now: float) -> str:
    """Return in words what a packet is."""
    version, flags, stream, member, seq, _, captured = HEADER.unpack_from(packet)
    told = f"member {member}, stream {stream}, frame {seq}, {1e3 * now - captured / 1e3:.0f} ms old"
    if version & 15 != 2 or flags & 3 or packet[HEADER.size]:
        return f"{told}: {len(packet)} bytes"
    pose, _, _, skeleton = msgpack.unpackb(packet[HEADER.size + 1 : -8 if flags >> 6 == 1 else None])  # 8 of a MAC
    return f"{told}: {len(pose) // 16} points of {skeleton}, the first at {struct.unpack_from('<3f', pose)}"


async def main(serializer: str = "default") -> None:
    """Send and print until Ctrl-C; ``msgpack`` does as well, in the same room."""
    sio = socketio.AsyncClient(serializer=serializer)

    async def ask(event: str, **fields: Any) -> Any:
        ok, answer = await sio.call(event, fields)
        assert ok, answer
        return answer

    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    await sio.connect(url, auth={"token": os.environ["POSEWIRE_TOKEN"]}, transports=["websocket"])
    offset = await ask("heartbeat") / 1e6 - time.time()  # the server's clock; docs/wire.md tells how to do it well
    sio.on("frame", lambda packet: print(read(packet, time.time() + offset)))
    for event in ("room", "bye"):
        sio.on(event, print)
    seat = await ask("room.join", room="studio", create=True)
    stream = await ask("stream.open", kind="pose", name="arm")
    for seq in range(1 << 32):
        await sio.emit("frame", write(seat["number"], stream, seq, round(1e6 * (time.time() + offset))))
        await asyncio.sleep(1 / 30)


if __name__ == "__main__":
    asyncio.run(main())
