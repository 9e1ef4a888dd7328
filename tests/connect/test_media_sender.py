"""A media sender takes, thins, mutes and stamps what it is handed."""

from __future__ import annotations

import numpy as np
import pytest

import posewire
from posewire import AudioChunk, InvalidDataError, MediaData, SendOutcome, clock
from tests.connect.conftest import Member, changed, eventually, landmarks, next_frame, points

SECOND = AudioChunk(np.zeros(48_000, np.int16), 48_000)


async def test_send_pose_frame_merges_the_parts(member: Member) -> None:
    face, hands = landmarks(1, 478), np.stack((landmarks(2, 21), landmarks(3, 21)))
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        now = clock.now()
        assert await alice.media.send_pose_frame(landmarks(), face, hands, timestamp=now - 1) is True
        frame = await next_frame(frames)
        assert frame.pose is not None
        assert (points(frame) == landmarks()).all()
        assert frame.pose.face_landmarks is not None
        assert (frame.pose.face_landmarks == face).all()
        assert frame.pose.hand_landmarks is not None
        assert (frame.pose.hand_landmarks == hands).all()
        assert frame.timestamp == pytest.approx(now - 1, abs=0.1)
        with pytest.raises(posewire.DataValidationError, match="face_landmarks"):
            await alice.media.send_pose_frame(landmarks(), "a face")


async def test_send_audio_frame(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames("audio")
        now = clock.now()
        assert await alice.media.send_audio_frame(b"\1\0\2\0", timestamp=now - 1) is True
        frame = await next_frame(frames)
        assert frame.audio is not None
        assert frame.audio.samples[:, 0].tolist() == [1, 2]
        assert frame.audio.sample_rate == 48_000
        assert frame.timestamp == pytest.approx(now - 1, abs=0.1)
        with pytest.raises(posewire.DataValidationError, match="audio"):
            await alice.media.send_audio_frame("sound")
        for bad in (-1.0, float("nan"), "now", 1e13):
            with pytest.raises(InvalidDataError, match="timestamp"):
                await alice.media.send_audio_frame(b"\0\0", timestamp=bad)  # type: ignore[arg-type]


async def test_priority_of_sound(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames("audio")
        alice.sender.pause()
        for priority in (1, 9, 5):
            assert await alice.media.send_audio_frame(bytes([priority, 0]), priority)
        alice.sender.resume()
        got = [(await next_frame(frames)).audio for _ in range(3)]
        assert [chunk.samples[0, 0] for chunk in got if chunk is not None] == [9, 5, 1]


async def test_send_media(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        poses, sounds = bob.frames(), bob.frames("audio")
        media = MediaData(data=landmarks(4), timestamp=clock.now() - 2, frame_id=1)
        assert await alice.media.send_media(media, stream="left") is SendOutcome.ACCEPTED
        frame = await next_frame(poses)
        assert (frame.stream, (points(frame) == landmarks(4)).all()) == ("left", True)
        assert frame.timestamp == pytest.approx(media.timestamp, abs=0.1)
        await alice.media.send_media(MediaData(data=b"\5\0", data_type="audio"))
        assert (await next_frame(sounds)).audio is not None
        for bad in (MediaData(data=b"", data_type="smell"), MediaData(data=3), "frame"):
            with pytest.raises(posewire.DataValidationError):
                await alice.media.send_media(bad)  # type: ignore[arg-type]


async def test_pause_stop_and_start(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames("audio")
        states = [alice.media.state]
        alice.sender.pause()
        assert await alice.send_audio(b"\1\0")
        alice.media.pause()
        states.append(alice.media.state)
        assert not await alice.send_audio(b"\2\0"), "muted"
        assert not await alice.media.send_pose_frame(landmarks())
        assert alice.sender.status().drops == {"paused": 2}
        assert alice.sender.status().waiting == 1, "what was taken is still sent"
        assert await alice.send_pose(landmarks(), stream="other")
        alice.media.stop()
        states.append(alice.media.state)
        assert not await alice.send_audio(b"\3\0")
        assert alice.sender.status().drops == {"paused": 3, "cleared": 1}
        assert alice.sender.status().waiting == 1, "the stream of somebody else"
        alice.media.start()
        states.append(alice.media.state)
        assert states == ["started", "paused", "stopped", "started"]
        assert await alice.send_audio(b"\4\0")
        alice.sender.resume()
        chunk = (await next_frame(frames)).audio
        assert chunk is not None
        assert chunk.samples[0, 0] == 4
        assert alice.media.get_stats()["refused"] == 3


async def test_target_fps(member: Member) -> None:
    async with member("alice") as alice:
        alice.media.set_target_fps(10)
        taken = [await alice.media.send_pose_frame(landmarks(), timestamp=1000 + index / 30) for index in range(30)]
        assert 10 <= sum(taken) <= 11
        assert await alice.media.send_audio_frame(b"\0\0", timestamp=1000.0), "sound is not thinned"
        with pytest.raises(InvalidDataError, match="target fps"):
            alice.media.set_target_fps(0)
        assert not await alice.media.send_pose_frame(landmarks(), timestamp=1001 - 1 / 30)
        alice.media.set_target_fps(None)
        assert await alice.media.send_pose_frame(landmarks(), timestamp=1001.0)


async def test_bandwidth_limit(member: Member) -> None:
    async with member("alice") as alice:
        alice.media.set_bandwidth_limit(5000)
        assert alice.sender.status().bandwidth_limit == 5000
        with pytest.raises(InvalidDataError, match="bandwidth limit"):
            alice.media.set_bandwidth_limit(0)
        assert alice.sender.status().bandwidth_limit == 5000


async def test_audio_delay_and_sync_offset(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames("audio")
        start = clock.now() - 10
        assert alice.media.sync_offset == 0.0
        await alice.media.send_audio_frame(SECOND, timestamp=start)
        assert alice.media.sync_offset == 0.0, "no pose yet"
        await alice.media.send_pose_frame(landmarks(), timestamp=start)
        assert alice.media.sync_offset == pytest.approx(1.0)
        assert (await next_frame(frames)).timestamp == pytest.approx(start, abs=0.1)
        alice.media.set_audio_delay(750)
        await alice.media.send_audio_frame(SECOND, timestamp=start + 2)
        assert alice.media.sync_offset == pytest.approx(2.25)
        assert alice.media.get_stats()["sync_offset"] == alice.media.sync_offset
        assert (await next_frame(frames)).timestamp == pytest.approx(start + 1.25, abs=0.1)
        for bad in (-1, 10_001, float("nan"), "late", True):
            with pytest.raises(InvalidDataError, match="audio delay"):
                alice.media.set_audio_delay(bad)  # type: ignore[arg-type]
        await alice.media.send_audio_frame(SECOND, timestamp=start + 4)
        assert (await next_frame(frames)).timestamp == pytest.approx(start + 3.25, abs=0.1)


async def test_stats(member: Member) -> None:
    config = changed(sender={"queue_size": 1})
    async with member("alice", config=config) as alice:
        empty = {"fps": 0.0, "latency": 0.0, "success_rate": 1.0, "sync_offset": 0.0, "sent": 0.0, "refused": 0.0}
        assert alice.media.get_stats() == empty
        alice.sender.pause()
        assert await alice.media.send_audio_frame(b"\0\0", priority=9)
        started = clock.monotonic()
        await eventually(lambda: clock.monotonic() > started + 0.02)
        assert not await alice.media.send_audio_frame(b"\0\0", priority=1)
        alice.sender.resume()
        await alice.sender.flush()
        stats = alice.media.get_stats()
        assert (stats["sent"], stats["refused"], stats["success_rate"]) == (1.0, 1.0, 0.5)
        assert stats["success_rate"] == alice.media.success_rate
        assert 0 < stats["fps"] < 2 / 0.02
        assert 0 < alice.media.fps <= stats["fps"], "up to now, so it falls"
        assert stats["latency"] == alice.media.latency >= 0.02


async def test_fps_is_that_of_a_sliding_window(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice:
        now = 100.0
        monkeypatch.setattr("posewire.sender.media_sender.clock.monotonic", lambda: now)
        for index in range(300):
            now += 1.0 if index < 200 else 0.05
            await alice.media.send_audio_frame(b"\0\0", timestamp=1000.0)
        assert alice.media.fps == pytest.approx(20)
        now += 99 * 0.05
        assert alice.media.fps == pytest.approx(10)
