"""The authority."""

from posewire.server.server import Server, ServerStats, serve
from posewire.server.token_authority import TokenAuthority
from posewire.server.user_store import UserStore

__all__ = ["Server", "ServerStats", "TokenAuthority", "UserStore", "serve"]
