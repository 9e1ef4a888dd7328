"""Dicts of numbers, as most programs send them. Encoding starts from the finished dict: the best case for them."""

from __future__ import annotations

import json

import msgspec

from benchmarks.formats.format import Dicts, Format, Frame, Layout, Parts, from_dicts


class Json(Format[Dicts, str]):
    """`json.dumps`, the measure of the others, and `json.loads`."""

    def prepare(self, frame: Frame) -> Dicts:
        return frame.dicts

    def encode(self, source: Dicts) -> str:
        return json.dumps(source)

    def decode(self, coded: str) -> Parts:
        return from_dicts(json.loads(coded), self.layout)


class MsgpackDicts(Format[Dicts, bytes]):
    """The same dicts in msgpack, numbers as float64; by msgspec, the fastest there is."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder().decode

    def prepare(self, frame: Frame) -> Dicts:
        return frame.dicts

    def encode(self, source: Dicts) -> bytes:
        return self._pack(source)

    def decode(self, coded: bytes) -> Parts:
        return from_dicts(self._unpack(coded), self.layout)


class Cbor(Format[Dicts, bytes]):
    """The same dicts in CBOR, numbers as float64; by cbor2."""

    def __init__(self, layout: Layout) -> None:
        import cbor2

        super().__init__(layout)
        self._dumps, self._loads = cbor2.dumps, cbor2.loads

    def prepare(self, frame: Frame) -> Dicts:
        return frame.dicts

    def encode(self, source: Dicts) -> bytes:
        coded: bytes = self._dumps(source)
        return coded

    def decode(self, coded: bytes) -> Parts:
        return from_dicts(self._loads(coded), self.layout)
