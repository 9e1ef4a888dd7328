"""`posewire serve`: a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal

import click
import msgspec
from rich.console import Console
from rich.logging import RichHandler

from posewire.addresses import is_loopback
from posewire.cli.local_state import users_file, with_local_secret
from posewire.cli.options import settings
from posewire.cli.running import run, running_loop
from posewire.server import Server
from posewire.server import serve as start_server
from posewire.server.web_page import HOW_TO_GET_IT

ROOM = "studio"
"""The room of the link that is printed; any other does as well."""


@click.command(epilog="Example:  posewire serve --port 5000")
@click.option("--host", help="Address to listen on; default: server.host of the settings.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port, 0 for a free one; default: server.port.")
@click.option("--tls-cert", metavar="FILE", help="Listen with TLS: certificate in PEM, and those up to its root.")
@click.option("--tls-key", metavar="FILE", help="The certificate's private key, in PEM.")
@click.option("--verbose", is_flag=True, help="Log who comes and goes.")
def serve(host: str | None, port: int | None, tls_cert: str | None, tls_key: str | None, verbose: bool) -> None:
    """Run a server until Ctrl-C or SIGTERM; members are then told, and what is queued still goes out.

    On loopback it makes a secret of its own, which 'send', 'watch' and 'token' on this machine share. On any other
    address it needs security.secret_key.
    """
    if verbose:
        handler = RichHandler(console=Console(stderr=True), show_path=False)
        handler.setFormatter(_WithExtras())
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    run(_serve(host, port, {"tls_cert": tls_cert, "tls_key": tls_key} if tls_cert or tls_key else {}))


class _WithExtras(logging.Formatter):
    """Shows what a record carries beside its message: user, room, reason."""

    _PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def format(self, record: logging.LogRecord) -> str:
        extras = "  ".join(f"{key}={value}" for key, value in vars(record).items() if key not in self._PLAIN)
        return f"{super().format(record)}  {extras}".rstrip()


async def _serve(host: str | None, port: int | None, tls: dict[str, str | None]) -> None:
    config = settings()
    host = host or config.server.host
    if is_loopback(host):
        config = with_local_secret(config)
    users = str(users_file(config))
    config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, users_file=users, **tls))
    stop = asyncio.Event()
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        stop.set()

    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, interrupt)
    console = Console(stderr=True)
    async with start_server(host, config.server.port if port is None else port, config) as server:
        line = f"Listening on {server.url}. Ctrl-C stops. Event loop: {running_loop()}."
        console.print(line, markup=False, highlight=False)
        console.print(_where_the_page_is(server), markup=False, highlight=False, soft_wrap=True)
        # What is there now stays to the end; looking through it for garbage would hold up everyone, all at once.
        gc.freeze()
        await stop.wait()
        console.print("Stopping: members are told.", markup=False, style="dim")
    if interrupted:
        raise KeyboardInterrupt


def _where_the_page_is(server: Server) -> str:
    if not server.has_page:
        return HOW_TO_GET_IT
    if not is_loopback(server.host):
        return f"Page: {server.link('ROOM', 'TOKEN')}, with a token of 'posewire token'."
    # Whoever reads this terminal may have one: it is good on this machine only.
    return f"Page: {server.link(ROOM, server.issue_token('viewer', publish=False))}"
