"""Protocol Buffers in MediaPipe's layout. Encoding starts from the finished message, as MediaPipe hands it out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from benchmarks.formats.format import CHANNELS, Format, Frame, Layout, Parts, absent, is_absent

_PACKAGE: Final = "benchmarks"
_PART_NUMBERS: Final = {
    "pose_landmarks": 1,
    "face_landmarks": 2,
    "left_hand_landmarks": 3,
    "right_hand_landmarks": 4,
}


class Protobuf(Format[Any, bytes]):
    """A ``NormalizedLandmarkList`` of each part that was found, in one message."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._new = _message_class()

    def prepare(self, frame: Frame) -> Any:
        message = self._new()
        for name, part in frame.parts.items():
            if is_absent(part):
                continue
            marks = getattr(message, name).landmark
            for row in part.tolist():
                marks.add(**dict(zip(CHANNELS, row, strict=True)))
        return message

    def encode(self, source: Any) -> bytes:
        coded: bytes = source.SerializeToString()
        return coded

    def decode(self, coded: bytes) -> Parts:
        message = self._new.FromString(coded)
        return {
            name: np.array(
                [(mark.x, mark.y, mark.z, mark.visibility) for mark in getattr(message, name).landmark],
                dtype=np.float32,
            )
            if message.HasField(name)
            else absent(count)
            for name, count in self.layout.items()
        }


def _message_class() -> Any:
    """Return the class of messages, as protoc would make it of ``mediapipe/framework/formats/landmark.proto``.

    That is proto2: a field that is set travels, 0 too.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="benchmarks/frame.proto", package=_PACKAGE, syntax="proto2")
    landmark = file.message_type.add(name="NormalizedLandmark")
    for number, name in enumerate(CHANNELS, start=1):
        landmark.field.add(name=name, number=number, type=field.TYPE_FLOAT, label=field.LABEL_OPTIONAL)
    file.message_type.add(name="NormalizedLandmarkList").field.add(
        name="landmark",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.NormalizedLandmark",
        label=field.LABEL_REPEATED,
    )
    frame = file.message_type.add(name="Frame")
    for name, number in _PART_NUMBERS.items():
        frame.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".{_PACKAGE}.NormalizedLandmarkList",
            label=field.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Frame"))
