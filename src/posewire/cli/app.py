"""The command `posewire`, and how it ends."""

from __future__ import annotations

import os
import sys

import click

from posewire.cli.bench import bench
from posewire.cli.demo import demo
from posewire.cli.report import report
from posewire.cli.revoke import revoke
from posewire.cli.send import send
from posewire.cli.serve import serve
from posewire.cli.token import token
from posewire.cli.user import user
from posewire.cli.watch import watch
from posewire.errors import PosewireError
from posewire.version import __version__

INTERRUPTED = 130
BROKEN_PIPE = 141


@click.group(epilog="Example:  posewire demo")
@click.version_option(__version__, prog_name="posewire")
def cli() -> None:
    """Human motion and voice between people, in real time."""


for command in (demo, serve, send, watch, token, user, revoke, bench, report):
    cli.add_command(command)


def run_cli() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 called wrongly, else as the shell expects of a signal."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)
    except PosewireError as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone, `head` for one; closing stdout at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
