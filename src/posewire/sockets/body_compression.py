"""Which bodies of v1 and v2 are compressed, changed while the connection is in use."""

from __future__ import annotations

from posewire.config import Config
from posewire.errors import ConfigurationError
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import PoseProtocol
from posewire.values import is_whole, plain


class BodyCompression:
    """The part of `SocketManager` that is about compression."""

    config: Config
    protocol: PoseProtocol
    _threshold: int | None = None
    """What was set; None for that of the settings."""

    @property
    def compression_enabled(self) -> bool:
        """Whether bodies over the threshold are compressed."""
        return self.protocol.compression_threshold is not None

    @property
    def compression_threshold(self) -> int:
        """Bytes; a body at or below it is not compressed."""
        return self.config.sender.compression_threshold if self._threshold is None else self._threshold

    def enable_compression(self, enabled: bool = True) -> None:
        """Compress bodies of v1 and v2, sound and poses, that are over the threshold, or none; from the next one on.

        Version 3 has a way of its own that this does not touch.

        Raises:
            ConfigurationError: Neither True nor False; nothing changes.
        """
        enabled = plain(enabled)
        if not isinstance(enabled, bool):
            raise ConfigurationError("compression_enabled", enabled, "expected True or False")
        self.protocol.compression_threshold = self.compression_threshold if enabled else None

    def set_compression_threshold(self, threshold: int) -> None:
        """Leave bodies of at most so many bytes as they are, from the next one on; whether any is compressed stays.

        Raises:
            ConfigurationError: No whole number from 0 to the largest packet; the old one stays.
        """
        threshold = plain(threshold)
        if not is_whole(threshold) or not 0 <= threshold <= MAX_PACKET_BYTES:
            raise ConfigurationError(
                "compression_threshold", threshold, f"expected a whole number of bytes from 0 to {MAX_PACKET_BYTES}"
            )
        enabled, self._threshold = self.compression_enabled, threshold
        self.enable_compression(enabled)
