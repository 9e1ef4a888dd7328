"""Two rooms bridged: whoever moves or speaks in one is seen and heard in the other, as a stream of the bridge.

posewire serve
POSEWIRE_TOKEN=$(posewire token bridge) python examples/bridge_rooms.py studio stage

The token is for no room in particular, so it opens both. Capture times go along: an age is from end to end. What the
bridge sends in a room does not come back to it, so that nothing goes round in circles, as long as there is one bridge.
"""

import asyncio
import hashlib
import os
import sys

import posewire

LONGEST = 128
"""Characters of a stream's name."""


def name_there(user_id: str, stream: str) -> str:
    """Return what a stream is called in the other room; a name that would be too long ends with a hash of the rest."""
    name = f"{user_id}/{stream}"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.blake2s(name.encode(), digest_size=8).hexdigest()
    return f"{name[: LONGEST - len(digest) - 1]}~{digest}"


async def forward(here: posewire.Session, there: posewire.Session, kind: str) -> None:
    """Pass on all poses, or all sound, of one room to the other."""
    async for frame in here.frames(kind):
        stream = name_there(frame.user_id, frame.stream)
        if frame.pose is not None:
            await there.send_pose(frame.pose, stream=stream, timestamp=frame.timestamp)
        elif frame.audio is not None:
            await there.send_audio(frame.audio, stream=stream, timestamp=frame.timestamp)


async def main(one: str, other: str) -> None:
    """Bridge until Ctrl-C."""
    url, token = os.environ.get("POSEWIRE_URL", "http://localhost:5000"), os.environ["POSEWIRE_TOKEN"]
    async with (
        posewire.connect(url, token=token, room=one) as left,
        posewire.connect(url, token=token, room=other) as right,
        asyncio.TaskGroup() as group,
    ):
        for here, there in ((left, right), (right, left)):
            for kind in ("pose", "audio"):
                group.create_task(forward(here, there, kind))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
