"""Hard limits of the wire, checked before anything is decoded or allocated.

They bound what a stranger's bytes can cost; settings may lower what is accepted, never raise it past these.
"""

from typing import Final

MAX_PACKET_BYTES: Final = 1 << 20
"""One packet, header and body. The WebSocket is closed with code 1009 on a larger message."""

MAX_INFLATED_BYTES: Final = 1 << 20
"""A body after decompression; a small packet must not become a large allocation."""

MAX_LANDMARKS: Final = 2048
"""Landmarks of one part of a pose. MediaPipe's largest, the face, has 478."""

MAX_NAME_CHARS: Final = 128
"""User, room, stream, event and skeleton names."""

MAX_AUDIO_SAMPLES: Final = 200_000
"""Samples (over all channels) of one audio chunk: two seconds of stereo at 48 kHz."""

MAX_STREAMS: Final = 64
"""Streams one member may have open."""

MAX_EVENT_BYTES: Final = 64 << 10
"""The encoded data of one application event."""
