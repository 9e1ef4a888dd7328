"""From capture loops to the connection."""

from posewire.sender.media_sender import MediaSender
from posewire.sender.pose_sender import PoseSender
from posewire.sender.send_settings import SendSettings
from posewire.sender.sender_status import SenderStatus
from posewire.sender.unified_sender import MAX_QUALITY_LEVEL, UnifiedSender

__all__ = ["MAX_QUALITY_LEVEL", "MediaSender", "PoseSender", "SendSettings", "SenderStatus", "UnifiedSender"]
