"""`posewire revoke`: somebody is not let in any more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from posewire.cli.local_state import users_file
from posewire.cli.options import settings
from posewire.errors import DataValidationError
from posewire.server.revocation_list import RevocationList
from posewire.server.state_file import StateFile


@click.command(epilog="Example:  posewire revoke alice --room studio --ban 3600 --reason spam")
@click.argument("name")
@click.option("--room", help="The only room it is about; default: all.")
@click.option("--ban", type=click.FloatRange(0, 1e10), default=0.0, help="Seconds in which no token is good.")
@click.option("--reason", default="", help="What NAME is told.")
@click.option("--lift", is_flag=True, help="Let NAME in again before its ban is over, with a new token.")
def revoke(name: str, room: str | None, ban: float, reason: str, lift: bool) -> None:
    """End the sessions of NAME and make every token void that it has now.

    It holds for the servers that have this users file, whether they run now or later; those that run notice within
    a second.
    """
    if lift and (ban or reason):
        raise click.UsageError("--lift goes with neither --ban nor --reason")
    path = users_file(settings())
    where = "everywhere" if room is None else f"in {room}"
    if lift:
        if not asyncio.run(_lift(path, name, room)):
            raise DataValidationError("user", repr(name), f"not banned {where}, says {path}")
        click.echo(f"{name} may come back {where}, with a new token.")
        return
    asyncio.run(_revoke(path, name, room, ban, reason))
    banned = f", and banned for {ban:g} s" if ban else ""
    click.echo(f"The tokens of {name} are void {where}{banned}.")


async def _revoke(path: Path, name: str, room: str | None, ban: float, reason: str) -> None:
    revocations = RevocationList(StateFile(path))
    now = time.time()
    revocations.add(name, room, before=now, banned_until=now + ban if ban else 0.0, reason=reason)
    await revocations.flush()


async def _lift(path: Path, name: str, room: str | None) -> bool:
    revocations = RevocationList(StateFile(path))
    await revocations.load()
    lifted = revocations.remove(name, room)
    await revocations.flush()
    return lifted
