"""The microphone, with a `sounddevice` that is made up: there is no sound device where the tests run."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from posewire import clock
from posewire.errors import ConfigurationError
from posewire.sources import Microphone


class PortAudioError(Exception):
    """As sounddevice has it."""


class Device(ModuleType):
    """Stands in for the module; `say` is PortAudio's thread."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.arguments: dict[str, Any] = {}
        self.started = self.closed = 0
        self.failure: Exception | None = None

    def InputStream(self, **arguments: Any) -> Device:  # noqa: N802  # its name
        if self.failure is not None:
            raise self.failure
        self.arguments = arguments
        return self

    def start(self) -> None:
        self.started += 1

    def close(self) -> None:
        self.closed += 1

    def say(self, *values: int, latency: float = 0.05, status: str = "") -> None:
        """Bring pieces, from another thread, as PortAudio does."""

        def speak() -> None:
            for value in values:
                buffer = np.full((self.arguments["blocksize"], self.arguments["channels"]), value, np.int16)
                times = SimpleNamespace(inputBufferAdcTime=500.0 if latency else 0.0, currentTime=500.0 + latency)
                self.arguments["callback"](buffer, len(buffer), times, status)
                buffer[:] = -1  # PortAudio uses it again

        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()

    def end(self) -> None:
        thread = threading.Thread(target=self.arguments["finished_callback"])
        thread.start()
        thread.join()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    module = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


async def test_what_is_heard_comes_as_it_was_with_its_time(device: Device) -> None:
    async with Microphone(16_000, 2, device="hw:1") as sound:
        assert device.arguments["samplerate"] == 16_000
        assert device.arguments["channels"] == 2
        assert device.arguments["blocksize"] == 320
        assert device.arguments["device"] == "hw:1"
        before = clock.now()
        device.say(7, 8)
        first, second = await anext(sound), await anext(sound)
        assert (first.sample_rate, first.channels, len(first.samples)) == (16_000, 2, 320)
        assert (first.samples == 7).all()
        assert (second.samples == 8).all()
        assert before - 0.05 <= first.timestamp <= clock.now() - 0.05
    assert (device.started, device.closed) == (1, 1)


async def test_a_host_that_says_nothing_of_time(device: Device) -> None:
    async with Microphone() as sound:
        for latency in (0.0, -3.0, 1e6):
            before = clock.now()
            device.say(1, latency=latency)
            assert before - 0.02 <= (await anext(sound)).timestamp <= clock.now() - 0.02


async def test_a_waiting_reader_is_woken(device: Device) -> None:
    async with Microphone() as sound:
        reading = asyncio.ensure_future(anext(sound))
        await asyncio.sleep(0)
        device.say(5)
        assert ((await reading).samples == 5).all()


async def test_the_newest_are_kept_for_a_slow_reader(device: Device) -> None:
    async with Microphone() as sound:
        device.say(*range(120))
        values = [int((await anext(sound)).samples[0, 0]) for _ in range(50)]
        assert values == list(range(70, 120))
        assert sound.dropped == 70
        device.say(7, status="input overflow")
        await anext(sound)
        assert sound.overflows == 1


async def test_a_wait_that_is_cancelled_loses_nothing(device: Device) -> None:
    async with Microphone() as sound:
        for steps in range(5):
            reading = asyncio.ensure_future(anext(sound))
            for _ in range(steps):
                await asyncio.sleep(0)
            device.say(steps)
            reading.cancel()
            await asyncio.wait([reading])
            piece = await anext(sound) if reading.cancelled() else reading.result()
            assert int(piece.samples[0, 0]) == steps


async def test_it_ends_with_the_device_after_what_was_heard(device: Device) -> None:
    async with Microphone() as sound:
        device.say(1)
        device.end()
        assert [int(piece.samples[0, 0]) async for piece in sound] == [1]
        device.say(2)
        assert [piece async for piece in sound] == []


async def test_after_the_block_it_is_over(device: Device) -> None:
    async with Microphone() as sound:
        pass
    assert [piece async for piece in sound] == []


@pytest.mark.parametrize(
    "failure", [PortAudioError("Error querying device -1"), ValueError("No input device matching")]
)
async def test_no_device(device: Device, failure: Exception) -> None:
    device.failure = failure
    with pytest.raises(ConfigurationError, match=r"microphone=default.*48000 Hz.*(querying|No input)"):
        async with Microphone():
            pass


async def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'posewire\[audio\]'"):
        async with Microphone():
            pass


async def test_no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(ConfigurationError, match="PortAudio library not found: install PortAudio"):
        async with Microphone():
            pass


async def test_a_device_that_opens_when_nobody_waits_any_more_is_closed(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, go = threading.Event(), threading.Event()

    def slowly() -> None:
        opened.set()
        go.wait(10)

    monkeypatch.setattr(device, "start", slowly)
    entering = asyncio.ensure_future(Microphone().__aenter__())
    await asyncio.to_thread(opened.wait, 10)
    entering.cancel()
    await asyncio.wait([entering])
    assert entering.cancelled()
    go.set()
    async with asyncio.timeout(10):
        while not device.closed:
            await asyncio.sleep(0.001)
