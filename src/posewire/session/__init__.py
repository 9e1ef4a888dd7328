"""The parts, wired."""

from posewire.session.current import connect, get_performance_metrics, join_room, send_pose_data
from posewire.session.session import Session

__all__ = ["Session", "connect", "get_performance_metrics", "join_room", "send_pose_data"]
