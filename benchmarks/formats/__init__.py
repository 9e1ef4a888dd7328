"""The formats under test, by name. A new one is one more class here and one more line below."""

from __future__ import annotations

from typing import Final

from benchmarks.formats.arrays import Float16Zlib, MsgpackFloat32
from benchmarks.formats.dicts import Cbor, Json, MsgpackDicts
from benchmarks.formats.format import AnyFormat
from benchmarks.formats.posewire import PosewireV1, PosewireV2, PosewireV3
from benchmarks.formats.protobuf import Protobuf
from benchmarks.formats.specification import Specification

FORMATS: Final[dict[str, type[AnyFormat]]] = {
    "json": Json,
    "specification": Specification,
    "msgpack-dicts": MsgpackDicts,
    "msgpack-float32": MsgpackFloat32,
    "cbor": Cbor,
    "protobuf": Protobuf,
    "float16-zlib": Float16Zlib,
    "posewire-v1": PosewireV1,
    "posewire-v2": PosewireV2,
    "posewire-v3": PosewireV3,
}

__all__ = ["FORMATS", "AnyFormat"]
