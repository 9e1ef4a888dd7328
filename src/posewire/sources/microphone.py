"""Sound from a microphone."""

from __future__ import annotations

import asyncio
import collections
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from posewire import clock
from posewire.errors import ConfigurationError
from posewire.protocol import AudioChunk

_MOST_WAITING: Final = 50
"""Pieces that may wait for a slow reader, a second; then the oldest goes."""
_LONGEST_LATENCY: Final = 1.0
"""Seconds; a device that says more than this of itself is not believed."""


class Microphone:
    """An async iterator of sound as it is heard: ``async with Microphone() as sound: async for chunk in sound``.

    PortAudio calls from a thread of its own; what it brings is copied and handed to the event loop, the newest kept
    when the reader is slow (`dropped` counts the others). Needs the extra ``audio``. Cancelling a wait loses nothing.
    It ends when the device does.

    Args:
        sample_rate: Samples a second.
        channels: 1 to 8.
        device: Name or number as sounddevice has it; None for the system's default.
        chunk: Seconds of a piece.

    Raises:
        ConfigurationError: On entering: sounddevice or PortAudio is missing, or the device cannot be opened.
    """

    def __init__(
        self,
        sample_rate: int = 48_000,
        channels: int = 1,
        *,
        device: str | int | None = None,
        chunk: float = 0.02,
    ) -> None:
        self.dropped = 0
        """Pieces the reader was too slow for."""
        self.overflows = 0
        """Times the device lost sound because nobody took it."""
        self._rate = sample_rate
        self._channels = channels
        self._device = device
        self._block = round(chunk * sample_rate)
        self._stream: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Filled by PortAudio's thread: bounded even while the loop is held up.
        self._waiting: collections.deque[tuple[Any, float]] = collections.deque(maxlen=_MOST_WAITING)
        self._came = asyncio.Event()
        self._waking = False
        self._ended = False

    async def __aenter__(self) -> Self:
        """Open the device, in a thread: that can take a second."""
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._waiting.clear()  # of when it was open before
        opening = self._loop.create_task(asyncio.to_thread(self._open), name="posewire.microphone")
        try:
            self._stream = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread cannot be cancelled: what it opens is closed when it is done.
            opening.add_done_callback(_close_quietly)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        self._ended = True
        self._came.set()
        if stream is not None:
            await asyncio.to_thread(stream.close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        # No await after this line: a piece leaves only by being returned.
        piece, captured = self._waiting.popleft()
        return AudioChunk(piece, self._rate, captured)

    def _open(self) -> Any:
        try:
            import sounddevice
        except ImportError:
            raise ConfigurationError(
                "microphone", self._device, "sounddevice is not installed: pip install 'posewire[audio]'"
            ) from None
        except OSError as exc:  # the Python part is there, the library it wraps is not
            raise ConfigurationError(
                "microphone", self._device, f"{exc}: install PortAudio (Debian: libportaudio2)"
            ) from exc
        try:
            stream = sounddevice.InputStream(
                samplerate=self._rate,
                channels=self._channels,
                device=self._device,
                blocksize=self._block,
                dtype="int16",
                callback=self._heard,
                finished_callback=self._finished,
            )
            stream.start()
        except (sounddevice.PortAudioError, ValueError) as exc:
            problem = f"cannot be opened ({self._rate} Hz, {self._channels} channels): {exc}"
            raise ConfigurationError("microphone", self._device or "default", problem) from exc
        return stream

    def _heard(self, data: Any, frames: int, times: Any, status: Any) -> None:
        """Called by PortAudio's thread, which must not be held up: copy, and go."""
        latency = times.currentTime - times.inputBufferAdcTime
        if not 0 <= latency <= _LONGEST_LATENCY or not times.inputBufferAdcTime:
            latency = frames / self._rate  # some hosts say nothing: at least the piece itself is in the past
        if self._ended:
            return
        self.overflows += bool(status)
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append((np.array(data, dtype=np.int16), clock.now() - latency))
        self._wake()

    def _finished(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waking or self._loop is None:
            return
        self._waking = True  # before the call: what comes from now on is seen by it
        try:
            self._loop.call_soon_threadsafe(self._woken)
        except RuntimeError:
            self._ended = True  # the loop is closed, nobody listens

    def _woken(self) -> None:
        self._waking = False
        self._came.set()


def _close_quietly(opening: asyncio.Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
