"""Rooms: the rules, and the client's view."""

from posewire.rooms.packet_opener import Opened
from posewire.rooms.presence import Presence, PresenceFeed
from posewire.rooms.room_manager import RoomManager
from posewire.rooms.room_state import RoomState

__all__ = ["Opened", "Presence", "PresenceFeed", "RoomManager", "RoomState"]
