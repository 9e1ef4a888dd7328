"""`posewire report`: what a session saw, as people read it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from posewire.errors import MonitoringError
from posewire.monitor import load_performance_data, report_markdown, report_page


@click.command(epilog="Example:  posewire report run.json --html out.html")
@click.argument("run", metavar="RUN.json")
@click.option("--html", metavar="FILE", help="Write a page with plots, which needs no other file and no network.")
@click.option("--markdown", metavar="FILE", help="Write it as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def report(run: str, html: str | None, markdown: str | None, as_json: bool) -> None:
    """Show the figures that 'posewire send' or 'watch' wrote with --report RUN.json.

    Without an option they are printed as Markdown.
    """
    data = load_performance_data(run)
    if html is not None:
        _write(html, report_page(data))
    if markdown is not None:
        _write(markdown, report_markdown(data))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(data.to_dict())).decode())
    elif html is None and markdown is None:
        click.echo(report_markdown(data), nl=False)


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise MonitoringError("report", f"{file} cannot be written: {exc.strerror}") from exc
    click.echo(f"Wrote {file}.", err=True)
