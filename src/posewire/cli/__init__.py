"""The command line: the only place that prints, reads arguments and configures logging."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; needs the extra ``cli``."""
    try:
        from posewire.cli.app import run_cli
    except KeyboardInterrupt:
        sys.exit(130)  # while the imports run
    except ImportError as exc:
        if exc.name not in ("click", "rich"):
            raise
        sys.exit(f"The command line needs {exc.name}: pip install 'posewire[cli]'")
    run_cli()
