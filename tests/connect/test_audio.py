"""Sound over a real connection: by Opus, over links that lose packets or become narrow, into files."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmarks.audio_quality import delay_of, segmental_snr

import posewire
from posewire import AudioChunk, ConfigurationError, DataValidationError, InvalidDataError, SendOutcome
from posewire.cli.sound import sound_beside, sound_of
from posewire.cli.sound_recorder import SoundRecorder
from posewire.protocol import Header, Kind
from posewire.sources import WavFile
from tests.connect.conftest import Member, changed, eventually, knows, landmarks, next_frame
from tests.connect.slow_proxy import SlowProxy
from tests.sound import cut, joined, sine, speech
from tests.unit.sources.test_microphone import Device

LONG = {"sender": {"audio_max_age": 60_000}, "receiver": {"queue_size": 1000}}
"""Nothing is dropped by those who are not looked at: tests say in no time what takes seconds to say."""
PCM = changed(**LONG)
OPUS = changed(media={"codec": "opus"}, **LONG)
ONCE = changed(media={"codec": "opus", "redundancy": "never"}, **LONG)
TWICE = changed(media={"codec": "opus", "redundancy": "always"}, **LONG)


async def heard(frames: posewire.Subscription, until: float) -> list[AudioChunk]:
    """Return what comes until sound of that time is there."""
    pieces: list[AudioChunk] = []
    while not pieces or pieces[-1].timestamp + pieces[-1].duration < until:
        frame = await next_frame(frames)
        assert frame.audio is not None
        assert frame.timestamp == pytest.approx(frame.audio.timestamp, abs=1e-5)
        pieces.append(frame.audio)
    return pieces


async def say(session: posewire.Session, sound: AudioChunk, *, start: float, size: int = 320) -> None:
    for chunk, at in cut(sound, size, start):
        assert await session.send_audio(chunk, timestamp=at)


def lossy(session: posewire.Session, lose: Callable[[int], bool]) -> list[int]:
    """Lose packets of sound in front of a session's receiver; returns a list that fills with their numbers."""
    lost: list[int] = []
    take = session.socket._inbound.packet_handlers[Kind.AUDIO]

    def door(header: Header, packet: bytes) -> None:
        if lose(header.seq):
            lost.append(header.seq)
        else:
            take(header, packet)

    session.socket.on_packet(Kind.AUDIO, door)
    return lost


async def test_speech_by_opus_is_heard_where_it_was_said_in_a_tenth_of_the_bytes(member: Member) -> None:
    sound, start = speech(3.0), posewire.clock.now() - 3.0
    async with member("alice", config=ONCE) as alice, member("bob", config=PCM) as bob:
        await eventually(lambda: knows(bob, "alice", "bob"))
        frames = bob.frames("audio")
        await say(alice, sound, start=start)
        pieces = await heard(frames, start + 2.95)
        assert not any(piece.concealed for piece in pieces)
        assert {(piece.sample_rate, piece.channels) for piece in pieces} == {(48_000, 1)}
        (figures,) = bob.receiver.stats()
        assert figures.bytes_per_frame * 50 < 0.3 * 2 * 16_000, "headers and all, beside int16 at 16 kHz"
        assert alice.media.audio_bit_rate == 32_000
    original, other = sound.samples[:, 0] / 32768, joined(pieces)[::3]
    delay = delay_of(original, other, most=800)
    assert pieces[0].timestamp + delay / 16_000 == pytest.approx(start, abs=0.002)
    length = min(len(original), len(other) - delay) // 960 * 960
    assert segmental_snr(original[:length], other[delay : delay + length]) > 6


@pytest.mark.parametrize("percent", [1, 10])
@pytest.mark.parametrize("config", [PCM, ONCE, TWICE], ids=["pcm", "opus", "twice"])
async def test_gaps_are_filled_over_a_link_that_loses_packets(
    member: Member, percent: int, config: posewire.Config
) -> None:
    sound, start = speech(3.0), posewire.clock.now() - 3.0
    chosen = set(random.Random(percent).sample(range(1, 145), max(1, 145 * percent // 100)))
    async with member("alice", config=config) as alice, member("bob", config=PCM) as bob:
        await eventually(lambda: knows(bob, "alice", "bob"))
        frames = bob.frames("audio")
        lost = lossy(bob, lambda seq: seq in chosen)
        await say(alice, sound, start=start)
        pieces = await heard(frames, start + 2.95)
        assert set(lost) == chosen
        # There is no hole: every piece begins where the one before it ends.
        ends = [piece.timestamp + piece.duration for piece in pieces]
        assert [piece.timestamp for piece in pieces[1:]] == pytest.approx(ends[:-1], abs=0.001)
        made_up = sum(piece.duration for piece in pieces if piece.concealed)
        if config is TWICE:
            runs = sum(seq + 1 in lost for seq in lost)
            assert made_up == pytest.approx(0.02 * runs, abs=1e-6), "all but what was lost twice in a row"
            assert bob.receiver.audio.recovered == len(lost) - runs
        else:
            assert made_up == pytest.approx(0.02 * len(lost), abs=0.001)
        assert bob.receiver.audio.concealed == sum(piece.concealed for piece in pieces)


async def test_a_link_that_becomes_narrow_takes_the_bit_rate_down_and_back(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posewire.flow.audio_rate._UP_SECONDS", 0.05)
    noise = np.random.default_rng(0).normal(0, 0.1, (960, 1)).astype(np.float32)
    sound = AudioChunk(noise, 48_000)
    async with member("alice", config=OPUS) as alice, member("bob", config=PCM) as bob:

        async def size_at(bit_rate: int) -> float:
            """Return the mean size of packets once they are coded with so many bits."""
            async with asyncio.timeout(30):
                while alice.media.audio_bit_rate != bit_rate:
                    await alice.send_audio(sound)
                    await asyncio.sleep(0.01)
                alice.sender.set_bandwidth_limit(None)
                await alice.sender.flush()
                for each in (alice, bob):
                    await each.rooms.list_rooms()  # what was sent before is there by now
                async with contextlib.aclosing(bob.frames("audio")) as frames:
                    for _ in range(30):
                        await alice.send_audio(sound)
                    sizes = [(await next_frame(frames)).size for _ in range(30)]
            return float(np.mean(sizes[-10:]))

        best = await size_at(32_000)
        alice.sender.set_bandwidth_limit(5_000)
        worst = await size_at(12_000)
        assert worst < 0.75 * best
        assert await size_at(32_000) == pytest.approx(best, rel=0.15)


async def test_behind_a_slow_link_sound_goes_on_with_fewer_bits(server: posewire.Server, member: Member) -> None:
    """The rate controller sees the link, nobody tells it."""
    rng = np.random.default_rng(0)
    noise = AudioChunk(rng.normal(0, 0.1, (960, 1)).astype(np.float32), 48_000)
    async with SlowProxy(server.port, None) as proxy:
        async with member("alice", url=proxy.url, config=changed(media={"codec": "opus"})) as alice:
            async with member("bob") as bob, asyncio.timeout(40):
                sounds = bob.frames("audio")
                await alice.send_audio(noise)
                assert alice.media.audio_bit_rate == 32_000
                proxy.rate = 64_000
                seed = 0
                while alice.media.audio_bit_rate is None or alice.media.audio_bit_rate > 16_000:
                    seed += 1
                    await alice.send_audio(noise)
                    await alice.send_pose({"pose_landmarks": landmarks(seed), "face_landmarks": landmarks(seed, 478)})
                    await asyncio.sleep(0.02)
                assert (await next_frame(sounds)).audio is not None


async def test_loss_that_receivers_report_brings_the_copy(member: Member) -> None:
    tone = AudioChunk(sine(300, 0.02), 48_000)
    async with member("alice", config=OPUS) as alice, member("bob") as bob:
        await eventually(lambda: knows(bob, "alice", "bob"))
        frames = bob.frames("audio")
        lost = lossy(bob, lambda seq: seq % 10 == 9)
        async with asyncio.timeout(30):
            while not bob.receiver.audio.recovered:
                await alice.send_audio(tone)
                await asyncio.sleep(0.005)
        assert lost
        await frames.aclose()


async def test_how_loud_everybody_is(member: Member) -> None:
    loud, quiet = AudioChunk(sine(300, 0.5), 48_000), AudioChunk(sine(300, 0.5, amplitude=0.001), 48_000)
    async with member("alice", config=OPUS) as alice, member("carol") as carol, member("bob") as bob:
        await eventually(lambda: knows(bob, "alice", "bob", "carol"))
        frames = bob.frames("audio")
        assert alice.media.level.rms == -120
        await say(alice, loud, start=posewire.clock.now(), size=960)
        await say(carol, quiet, start=posewire.clock.now(), size=960)
        levels = bob.receiver.audio.levels
        await eventually(lambda: set(levels(now=posewire.clock.monotonic())) == {"alice", "carol"})
        for _ in range(50):
            await next_frame(frames)
        # Peaks fall by 20 dB a second, however busy the machine is.
        assert alice.media.level.peak > carol.media.level.peak + 20
        heard_levels = levels(now=posewire.clock.monotonic())
        assert heard_levels["alice"].peak > heard_levels["carol"].peak + 20


async def test_what_cannot_be_coded(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice", config=OPUS) as alice:
        with pytest.raises(DataValidationError, match="Invalid channels: 3"):
            await alice.send_audio(np.zeros((960, 3), np.int16))
        for bad in (float("nan"), -1.0, True, "now"):
            with pytest.raises(InvalidDataError, match="timestamp"):
                await alice.send_audio(np.zeros(960, np.int16), timestamp=bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidDataError, match="stream"):
            await alice.send_audio(np.zeros(960, np.int16), stream=[])  # type: ignore[arg-type]
        assert await alice.send_audio(np.zeros(10, np.int16)) is SendOutcome.ACCEPTED, "it waits for the rest"
        assert await alice.media.send_audio_frame(b"\0\0" * 4800)
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(ConfigurationError, match=r"posewire\[audio\]"):
            await alice.send_audio(np.zeros(960, np.int16), stream="other")


async def test_the_microphone_beside_the_poses(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a `sounddevice` that is made up: there is no sound device where the tests run."""
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    async with member("alice") as alice, member("bob") as bob:
        await eventually(lambda: knows(bob, "alice", "bob"))
        frames = bob.frames("audio")
        sound = await sound_of("mic")
        assert device.closed == 1, "there is one; nobody is listened to yet"
        async with sound_beside(alice, sound, loop=True, seconds=None):
            await eventually(lambda: device.started == 2)
            assert (device.arguments["samplerate"], device.arguments["channels"]) == (48_000, 1)
            device.say(1234)
            heard_frame = await next_frame(frames)
            assert heard_frame.audio is not None
            assert (heard_frame.audio.samples == 1234).all()
        assert device.closed == 2


async def test_streams_that_are_coded_are_bounded(member: Member) -> None:
    async with member("alice", config=OPUS) as alice:
        for number in range(70):
            await alice.send_audio(np.zeros(10, np.int16), stream=f"s{number}")
        assert len(alice.media._audio._streams) == 64


async def test_everyones_sound_in_files(member: Member, tmp_path: Path) -> None:
    sound, start = speech(1.0), posewire.clock.now() - 1.0
    recorder = SoundRecorder(tmp_path / "out.wav")
    async with member("alice", config=OPUS) as alice, member("carol") as carol, member("bob") as bob:
        await eventually(lambda: knows(bob, "alice", "bob", "carol"))
        recording = asyncio.create_task(recorder.run(bob.frames("audio")))
        lossy(bob, lambda seq: seq in (10, 11, 30))
        await say(alice, sound, start=start)
        await say(carol, sound, start=start)

        def length(name: str) -> float:
            return max((WavFile(file).duration for file in recorder.files if file.name == name), default=0.0)

        await eventually(lambda: length("out-alice.wav") > 0.97 and length("out-carol.wav") > 0.999)
        # Ctrl-C: what is there is whole.
        recording.cancel()
        await asyncio.wait([recording])
        recorder.close()
    files = {file.name: WavFile(file) for file in recorder.files}
    assert set(files) == {"out-alice.wav", "out-carol.wav"}
    assert files["out-alice.wav"].sample_rate == 48_000
    assert files["out-carol.wav"].duration == pytest.approx(1.0, abs=0.001)
    kept = files["out-carol.wav"].read(0, 16_000)
    same = (kept == sound.samples).all(axis=1)
    assert not same[10 * 320 : 12 * 320].all(), "made up"
    assert same[: 10 * 320].all()
    assert same[12 * 320 : 30 * 320].all()
    assert same[31 * 320 :].all()
