"""Opus through PyAV's libopus: one packet in or out at a time. Needs the extra `audio`."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from posewire.errors import ConfigurationError, ProtocolError
from posewire.protocol.opus_packet import OPUS_FRAME, OPUS_RATE

if TYPE_CHECKING:
    import av

Application = Literal["voice", "music"]
_APPLICATIONS: Final = {"voice": "voip", "music": "audio"}
_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_BASE: Final = Fraction(1, OPUS_RATE)


def load_av() -> Any:
    """Return the module `av`.

    Raises:
        ConfigurationError: It is not installed, or its libraries cannot be loaded; it names the extra.
    """
    try:
        import av
    except ImportError as exc:
        problem = f"PyAV cannot be imported ({exc}): pip install 'posewire[audio]'"
        raise ConfigurationError("media.codec", "opus", problem) from None
    return av


class OpusEncoder:
    """An encoder of frames of 20 ms at 48 kHz. Its bit rate is what it was made with: libavcodec sets it only then.

    Args:
        channels: 1 or 2.
        bit_rate: Bits a second, on average.
        application: What it is tuned for.
        complexity: 0 to 10 of libopus: time against quality.

    Raises:
        ConfigurationError: PyAV is not installed.
    """

    def __init__(
        self, channels: int, bit_rate: int, *, application: Application = "voice", complexity: int = 10
    ) -> None:
        self.bit_rate = bit_rate
        self._av = load_av()
        self._layout = _LAYOUTS[channels]
        self._samples = 0
        context: av.AudioCodecContext = self._av.CodecContext.create("libopus", "w")
        context.sample_rate = OPUS_RATE
        context.layout = self._layout
        context.format = "flt"
        context.bit_rate = bit_rate
        context.time_base = _BASE
        context.thread_count = 1
        # In-band FEC stays off: libavcodec's decoder has no way to ask for it, so it would cost bits for nothing.
        context.options = {
            "application": _APPLICATIONS[application],
            "frame_duration": "20",
            "vbr": "constrained",
            "compression_level": str(complexity),
        }
        self._context = context

    def encode(self, samples: npt.NDArray[np.float32]) -> bytes:
        """Return the packet of ``samples``, ``[960, channels]`` in -1..1."""
        frame = self._av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=self._layout)
        frame.sample_rate = OPUS_RATE
        frame.pts, frame.time_base = self._samples, _BASE
        self._samples += OPUS_FRAME
        (packet,) = self._context.encode(frame)
        return bytes(packet)


class OpusDecoder:
    """A decoder of the packets of one stream, which come in order; it knows what it decoded before.

    Args:
        channels: 1 or 2; packets of the other number are mixed.

    Raises:
        ConfigurationError: PyAV is not installed.
    """

    def __init__(self, channels: int) -> None:
        self._av = load_av()
        self._channels = channels
        context: av.AudioCodecContext = self._av.CodecContext.create("libopus", "r")
        context.sample_rate = OPUS_RATE
        context.layout = _LAYOUTS[channels]
        context.format = "s16"
        context.thread_count = 1
        self._context = context

    def decode(self, data: bytes) -> npt.NDArray[np.int16]:
        """Return the samples of a packet, ``[n, channels]``.

        Raises:
            ProtocolError: It is no packet of Opus.
        """
        try:
            frames = self._context.decode(self._av.Packet(data))
        except self._av.FFmpegError as exc:
            raise ProtocolError("2", f"undecodable Opus of {len(data)} bytes: {exc}") from exc
        if not frames:
            raise ProtocolError("2", f"no sound in Opus of {len(data)} bytes")
        samples = np.concatenate([frame.to_ndarray().reshape(-1, self._channels) for frame in frames])
        return np.asarray(samples, dtype=np.int16)

    def conceal(self, like: bytes) -> npt.NDArray[np.int16]:
        """Return samples in place of a packet that did not come, as long as the packet ``like``; fades out by itself.

        libopus makes them (RFC 6716, section 4.4). It is asked to by a packet that is nothing but the first byte: a
        frame of no length says that it was lost (section 3.2.1).
        """
        # The lowest two bits: one frame. So of a packet with several it is as long as one of them.
        return self.decode(bytes((like[0] & 0xFC,)))
