"""`posewire token`: a way in."""

from __future__ import annotations

import click

from posewire.cli.local_state import with_local_secret
from posewire.cli.options import settings
from posewire.protocol.room_view import Role
from posewire.server import TokenAuthority


@click.command(epilog="Example:  posewire token alice --room studio --ttl 3600")
@click.argument("user")
@click.option("--room", help="The only room the token is good for; default: any.")
@click.option("--role", type=click.Choice(["host", "member"]), default="member", show_default=True)
@click.option("--ttl", type=click.FloatRange(1), help="Seconds it is good for; default: security.token_expiry.")
@click.option("--no-publish", is_flag=True, help="Its holder may not send.")
@click.option("--no-subscribe", is_flag=True, help="Its holder may not receive.")
@click.option("--moderate", is_flag=True, help="Its holder may kick, ban and mute.")
def token(
    user: str, room: str | None, role: Role, ttl: float | None, no_publish: bool, no_subscribe: bool, moderate: bool
) -> None:
    """Print a token for USER, signed with the configured key or this machine's own secret."""
    authority = TokenAuthority.from_config(with_local_secret(settings()).security)
    click.echo(
        authority.issue(
            user,
            room_id=room,
            role=role,
            publish=not no_publish,
            subscribe=not no_subscribe,
            moderate=moderate,
            ttl=ttl,
        )
    )
