"""Arrays as their bytes."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
import numpy as np

from benchmarks.formats.format import Format, Frame, Layout, Parts

_LEVEL: Final = 6


class MsgpackFloat32(Format[Parts, bytes]):
    """A msgpack map of each part's float32 bytes."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder(dict[str, bytes]).decode

    def prepare(self, frame: Frame) -> Parts:
        return frame.parts

    def encode(self, source: Parts) -> bytes:
        return self._pack({name: part.astype("<f4", copy=False).tobytes() for name, part in source.items()})

    def decode(self, coded: bytes) -> Parts:
        return {
            name: np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(-1, 4)
            for name, data in self._unpack(coded).items()
        }


class Float16Zlib(Format[Parts, bytes]):
    """All parts one after the other as float16, zlib over them."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._ends = np.cumsum(list(layout.values()))[:-1]

    def prepare(self, frame: Frame) -> Parts:
        return frame.parts

    def encode(self, source: Parts) -> bytes:
        return zlib.compress(np.concatenate(list(source.values())).astype("<f2").tobytes(), _LEVEL)

    def decode(self, coded: bytes) -> Parts:
        array = np.frombuffer(zlib.decompress(coded), dtype="<f2").astype(np.float32).reshape(-1, 4)
        return dict(zip(self.layout, np.split(array, self._ends), strict=True))
