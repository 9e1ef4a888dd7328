"""Bytes and rules, no waiting: poses, bodies, packets, control messages. Only `ProtocolError` comes out of bytes."""

from posewire.protocol.audio_chunk import AudioChunk, to_audio_chunk
from posewire.protocol.audio_level import AudioLevel, LevelMeter
from posewire.protocol.header import HEADER_BYTES, Delivery, FrameType, Header, Kind, Seal, unpack_header
from posewire.protocol.landmarks import to_pose_data
from posewire.protocol.media_protocol import MediaData, MediaProtocol
from posewire.protocol.opener import Opener
from posewire.protocol.opus_packet import OpusPacket
from posewire.protocol.packet_writer import EVENT_STREAM, PacketWriter
from posewire.protocol.pose_codec import ACCELERATED
from posewire.protocol.pose_data import PoseData
from posewire.protocol.pose_decoder import MissingReference, PoseDecoder
from posewire.protocol.pose_encoder import CodedPose, PoseEncoder
from posewire.protocol.pose_protocol import VERSIONS, PoseProtocol
from posewire.protocol.precision import Precision
from posewire.protocol.room_key import RoomKey
from posewire.protocol.seal import SALT_BYTES, RoomSeal, SealKey
from posewire.protocol.socketio_packet import (
    SocketIOPacket,
    unwrap_ack,
    unwrap_frame,
    wrap_ack,
    wrap_answer,
    wrap_frame,
)

__all__ = [
    "ACCELERATED",
    "EVENT_STREAM",
    "HEADER_BYTES",
    "SALT_BYTES",
    "VERSIONS",
    "AudioChunk",
    "AudioLevel",
    "CodedPose",
    "Delivery",
    "FrameType",
    "Header",
    "Kind",
    "LevelMeter",
    "MediaData",
    "MediaProtocol",
    "MissingReference",
    "Opener",
    "OpusPacket",
    "PacketWriter",
    "PoseData",
    "PoseDecoder",
    "PoseEncoder",
    "PoseProtocol",
    "Precision",
    "RoomKey",
    "RoomSeal",
    "Seal",
    "SealKey",
    "SocketIOPacket",
    "to_audio_chunk",
    "to_pose_data",
    "unpack_header",
    "unwrap_ack",
    "unwrap_frame",
    "wrap_ack",
    "wrap_answer",
    "wrap_frame",
]
