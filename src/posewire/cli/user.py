"""`posewire user`: who may log in."""

from __future__ import annotations

import asyncio
import sys

import click

from posewire.cli.local_state import users_file
from posewire.cli.options import settings
from posewire.server import UserStore


@click.group()
def user() -> None:
    """Manage who may log in with a name and a password."""


@user.command(epilog="Example:  posewire user add alice")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
def add(name: str, password_stdin: bool) -> None:
    """Let NAME log in; the password is asked twice."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    path = users_file(settings())
    asyncio.run(_add(str(path), name, password))
    click.echo(f"Added {name} to {path}.")


async def _add(path: str, name: str, password: str) -> None:
    await UserStore(path).add(name, password)
