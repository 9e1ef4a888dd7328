"""Rooms: the rules, and the client's view."""

from posewire.rooms.room_manager import RoomManager
from posewire.rooms.room_state import RoomState

__all__ = ["RoomManager", "RoomState"]
