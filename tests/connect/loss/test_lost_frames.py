"""Frames of body version 3 that do not come, over a real server: what is shown is right, and the rest heals soon."""

from __future__ import annotations

import asyncio
import itertools
import random

import numpy as np
import pytest

import posewire
from posewire import PoseData
from posewire.protocol import FrameType, Header, Kind
from tests.connect.conftest import CONFIG, changed, eventually, landmarks, next_frame
from tests.connect.loss.lossy_link import KEYS, Linked, moving, never, numbered
from tests.half_step import assert_within

# One frame is lost ---------------------------------------------------------------------------------------------------


async def test_nothing_lost(linked: Linked) -> None:
    async with linked() as link:
        assert await link.send(66) == "KLLLALLLA" + "LLLALLLA" * 6 + "LLLALLL" + "KL", "every 2 s a keyframe"
        assert (link.asked, link.told, link.unread) == (0, 0, 0)


@pytest.mark.parametrize("lost", [1, 2, 3, 5, 7])
async def test_a_leaf_is_missed_by_nobody(linked: Linked, lost: int) -> None:
    async with linked() as link:
        link.lose = numbered(lost)
        expected = "KLLLALLLALLL"
        assert await link.send(12) == expected[:lost] + "l" + expected[lost + 1 :]
        assert (link.asked, link.told, link.unread) == (0, 0, 0)


async def test_all_leaves_are_missed_by_nobody(linked: Linked) -> None:
    async with linked() as link:
        link.lose = lambda header: header.frame_type is FrameType.LEAF
        assert await link.send(20) == "Klll" + "Alll" * 4
        assert (link.asked, link.unread) == (0, 0)


@KEYS
@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (4, "KLLLa?KLLLALLLA"),  # though the last keyframe is not 0.2 s ago: nobody asked for that one
        (8, "KLLLALLLa?KLLLALLLA"),
        (12, "KLLLALLLALLLa?KLLLALLLA"),
    ],
)
async def test_an_anchor_is_healed_by_a_keyframe(linked: Linked, key: bytes | None, lost: int, expected: str) -> None:
    async with linked(key=key) as link:
        link.lose = numbered(lost)
        assert await link.send(len(expected)) == expected
        assert (link.asked, link.told, link.unread) == (1, 1, 1)


@KEYS
async def test_the_first_keyframe_is_lost(linked: Linked, key: bytes | None) -> None:
    async with linked(key=key) as link:
        link.lose = numbered(0)
        assert await link.send(12) == "k?KLLLALLLAL"
        assert (link.asked, link.told, link.unread) == (1, 1, 1)


async def test_the_keyframe_that_was_asked_for_is_lost_too(linked: Linked) -> None:
    async with linked() as link:
        link.lose = numbered(8, 10)
        assert await link.send(24) == "KLLLALLLa?k??????KLLLALL", "0.2 s after the other that was asked for"
        assert (link.asked, link.told, link.unread) == (2, 2, 7), "at 9, and at 11, which refers to 10"


async def test_a_keyframe_of_the_schedule_is_lost(linked: Linked) -> None:
    async with linked() as link:
        link.lose = numbered(64)
        sent = await link.send(80)
        assert sent[60:] == "ALLLk?KLLLALLLALLLAL"
        assert (link.asked, link.unread) == (1, 1)


async def test_what_waits_for_a_keyframe_is_received_all_the_same(linked: Linked) -> None:
    """A packet that cannot be shown is no lost packet: the figures of the stream count it."""
    async with linked() as link:
        link.lose = numbered(4)
        await link.send(8)
        (figures,) = link.watcher.receiver.stats()
        assert (figures.frames, figures.lost, link.unread) == (7, 1, 1)


# Many are lost -------------------------------------------------------------------------------------------------------


def gaps(sent: str) -> list[str]:
    """Return the runs of frames of which nothing was shown."""
    return "".join(" " if letter.isupper() else letter for letter in sent).split()


@KEYS
@pytest.mark.parametrize("seed", range(3))
async def test_three_frames_in_ten_are_lost(linked: Linked, seed: int, key: bytes | None) -> None:
    rng = random.Random(seed)
    async with linked(key=key) as link:
        link.lose = lambda header: rng.random() < 0.3
        sent = await link.send(300)
        assert 0.2 < sum(map(str.islower, sent)) / 300 < 0.4
        assert (sent.count("?"), link.asked) == (link.unread, link.told)
        # The first frame that comes and cannot be read brings a keyframe: 7 frames after the last at the earliest, and
        # the anchor that is missed is 4 frames after it. When that keyframe is lost, the next is 7 frames later.
        for gap in gaps(sent):
            first, *others = [part.count("?") for part in gap.split("k")]
            assert first <= 2, sent
            assert max(others, default=0) <= 6, sent
        assert sum(map(str.isupper, sent)) > 120
        link.lose = never
        assert (await link.send(7))[-1].isupper()


async def test_in_real_time_and_as_fast_as_it_goes() -> None:
    """Nobody waits for anybody, and the clocks go on."""
    rng = random.Random(5)
    config = changed(receiver={"queue_size": 1000})
    async with posewire.serve(config=CONFIG) as server:
        tokens = [server.issue_token(name) for name in ("alice", "bob")]
        async with (
            posewire.connect(server.url, token=tokens[0], room="studio", config=config) as alice,
            posewire.connect(server.url, token=tokens[1], room="studio", config=config) as bob,
        ):
            frames = bob.frames()
            take = bob.socket._inbound.packet_handlers[Kind.POSE]
            seen = lost = 0

            def door(header: Header, packet: bytes) -> None:
                nonlocal seen, lost
                seen += 1
                if seen <= 300 and rng.random() < 0.3:
                    lost += 1
                else:
                    take(header, packet)

            bob.socket.on_packet(Kind.POSE, door)
            poses = list(itertools.islice(moving(), 300))
            for pose in poses:
                await alice.send_pose(pose)
                await alice.sender.flush()
            await eventually(lambda: seen == 300)
            shown = 300 - lost - bob.receiver.drops["missing_reference"]
            assert shown > 0
            for _ in range(shown):
                frame = await next_frame(frames)
                assert frame.pose is not None
                assert_within(frame.pose, poses[frame.seq])
            assert frames.dropped == 0
            # It heals while frames come.
            after = moving(1)
            sent: dict[int, PoseData] = {}
            refused = -1
            async with asyncio.timeout(10):
                while refused != bob.receiver.drops["missing_reference"]:
                    refused = bob.receiver.drops["missing_reference"]
                    pose = sent[alice.socket.writer.next_seq(1)] = next(after)
                    await alice.send_pose(pose)
                    await eventually(lambda: seen == 300 + len(sent))
            frame = await next_frame(frames)
            assert frame.pose is not None
            assert_within(frame.pose, sent[frame.seq])


# Versions ------------------------------------------------------------------------------------------------------------


async def test_versions_may_change_from_frame_to_frame(linked: Linked) -> None:
    async with linked() as link:
        sent = ""
        for version in ("v3", "v2", "v1", "v3", "v1", "v2", "v3", "v3", "v2"):
            link.publisher.pose.set_protocol_version(version)
            sent += await link.send(3)
        assert sent == "KLLKKKKKKLALKKKKKKLLALLLKKK"
        assert link.watcher.receiver.drops == {}
        assert {header.version for header in link.headers} == {1, 2, 3}


async def test_what_another_version_brings_is_no_reference(linked: Linked) -> None:
    async with linked() as link:
        assert await link.send(4) == "KLLL"
        link.lose = numbered(4, 5)
        link.publisher.pose.set_protocol_version("v3")
        assert await link.send(1) == "a"
        link.publisher.pose.set_protocol_version("v2")
        assert await link.send(3) == "kKK", "the frames of version 2 need nothing"
        assert link.asked == 0
        link.publisher.pose.set_protocol_version("v3")
        assert await link.send(3) == "?KL"
        assert link.asked == 1


# Settings ------------------------------------------------------------------------------------------------------------


async def test_intervals_reach_the_wire(linked: Linked) -> None:
    config = changed(sender={"anchor_interval": 2, "keyframe_interval": 250})
    async with linked(config=config) as link:
        assert await link.send(20) == "KLALALALKLALALALKLAL"
    config = changed(sender={"anchor_interval": 1, "keyframe_interval": 3_600_000})
    async with linked(config=config) as link:
        assert await link.send(100) == "K" + "A" * 99


async def test_precision_reaches_the_wire(linked: Linked) -> None:
    sizes = []
    for bits in ((3, 2, 1), (11, 9, 5), (18, 16, 14)):
        names = ("precision_xy", "precision_z", "precision_visibility")
        config = changed(sender=dict(zip(names, bits, strict=True)))
        steps = 0.5 ** np.array((bits[0], *bits))
        async with linked(config=config) as link:
            link.half_steps = steps / 2
            assert await link.send(10) == "KLLLALLLAL"
            (figures,) = link.watcher.receiver.stats()
            sizes.append(figures.bytes_per_frame)
            assert link.frames is not None
            # On the steps, and not only near.
            await link.publisher.send_pose(landmarks())
            frame = await next_frame(link.frames)
            assert frame.pose is not None
            assert frame.pose.pose_landmarks is not None
            assert (frame.pose.pose_landmarks / steps % 1 == 0).all()
    assert sizes == sorted(sizes)
    assert sizes[0] < 70 < sizes[2]
