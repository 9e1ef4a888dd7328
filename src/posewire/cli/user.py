"""`posewire user`: who may log in."""

from __future__ import annotations

import asyncio
import sys
import time

import click
import msgspec

from posewire.cli.local_state import users_file
from posewire.cli.options import settings
from posewire.errors import DataValidationError
from posewire.server import UserStore


@click.group()
def user() -> None:
    """Manage who may log in with a name and a password. A server that runs on this machine notices at once."""


_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)


@user.command(epilog="Example:  posewire user add alice")
@click.argument("name")
@_password_stdin
def add(name: str, password_stdin: bool) -> None:
    """Let NAME log in; the password is asked twice."""
    password = _password(password_stdin)
    path = users_file(settings())
    asyncio.run(UserStore(path).add(name, password))
    click.echo(f"Added {name} to {path}.")


@user.command(epilog="Example:  posewire user passwd alice")
@click.argument("name")
@_password_stdin
def passwd(name: str, password_stdin: bool) -> None:
    """Change the password of NAME; its sessions end, and its tokens are void."""
    password = _password(password_stdin)
    path = users_file(settings())
    asyncio.run(UserStore(path).set_password(name, password))
    click.echo(f"Changed the password of {name} in {path}.")


@user.command(epilog="Example:  posewire user remove alice")
@click.argument("name")
def remove(name: str) -> None:
    """Remove NAME; its sessions end, and its tokens are void."""
    path = users_file(settings())
    if not asyncio.run(UserStore(path).remove(name)):
        raise DataValidationError("user", repr(name), f"not in {path}")
    click.echo(f"Removed {name} from {path}.")


@user.command("list", epilog="Example:  posewire user list --json")
@click.option("--json", "as_json", is_flag=True, help="Print name, added and changed (seconds since 1970) as JSON.")
def list_users(as_json: bool) -> None:
    """List who may log in, and since when."""
    users = asyncio.run(UserStore(users_file(settings())).users())
    if as_json:
        click.echo(msgspec.json.encode(users).decode())
        return
    width = max((len(each.name) for each in users), default=0)
    for each in users:
        since = time.strftime("%Y-%m-%d", time.localtime(each.added))
        click.echo(f"{each.name:{width}}  since {since}")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
