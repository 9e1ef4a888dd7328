"""From capture loops to the connection."""

from posewire.sender.media_sender import MediaSender
from posewire.sender.pose_sender import PoseSender
from posewire.sender.unified_sender import SenderStatus, UnifiedSender

__all__ = ["MediaSender", "PoseSender", "SenderStatus", "UnifiedSender"]
