"""Compression, changed while the connection is in use."""

from __future__ import annotations

from typing import Any

import pytest

from posewire import ConfigurationError
from tests.connect.conftest import Member, changed
from tests.connect.test_pose_sender import size_of

FLAT = {"pose_landmarks": [[0.5, 0.5, 0.5, 1.0]] * 33}
"""530 bytes, or a tenth of it."""
SLOPE = {"pose_landmarks": [[(n * n % 29) / 64, (n % 5) / 4, (n * 7 % 13) / 16, 1.0] for n in range(33)]}
"""What zlib finds more in, the longer it looks."""


async def test_enable_compression_and_set_compression_threshold(member: Member) -> None:
    config = changed(sender={"protocol_version": "v2", "compression_threshold": 200})
    async with member("alice", config=config) as alice:
        socket = alice.socket
        assert (socket.compression_enabled, socket.compression_threshold) == (True, 200)
        small = await size_of(alice, FLAT)
        assert small < 200
        socket.set_compression_threshold(1000)
        assert socket.compression_threshold == 1000
        assert await size_of(alice, FLAT) > 530
        socket.set_compression_threshold(300)
        assert await size_of(alice, FLAT) == small
        socket.enable_compression(False)
        assert socket.compression_enabled is False
        assert await size_of(alice, FLAT) > 530
        socket.set_compression_threshold(100)
        assert await size_of(alice, FLAT) > 530, "a threshold turns nothing on"
        socket.enable_compression()
        assert (socket.compression_enabled, socket.compression_threshold) == (True, 100)
        assert await size_of(alice, FLAT) == small


async def test_the_level_of_the_settings_is_the_one_bodies_are_compressed_with(member: Member) -> None:
    sizes = []
    for level in (0, 1, 9):
        config = changed(sender={"protocol_version": "v2"}, security={"compression_level": level})
        async with member("alice", config=config) as alice:
            assert alice.socket.protocol.compression_level == level
            alice.socket.set_compression_threshold(0)
            sizes.append(await size_of(alice, SLOPE))
    assert sizes[0] > 530, "none at all"
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("threshold", [-1, 1 << 21, 10.5, True, "1 KB", None])
async def test_a_bad_threshold_leaves_the_old_one(member: Member, threshold: Any) -> None:
    async with member("alice", None) as alice:
        with pytest.raises(ConfigurationError, match="compression_threshold"):
            alice.socket.set_compression_threshold(threshold)
        with pytest.raises(ConfigurationError, match="compression_enabled"):
            alice.socket.enable_compression("yes")  # type: ignore[arg-type]
        assert (alice.socket.compression_enabled, alice.socket.compression_threshold) == (True, 1024)
