"""The client of the page: its own tests, golden vectors included. `make page` sets up what they need."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.skipif(not (WEB / "node_modules" / "vitest").is_dir(), reason="needs web/node_modules: make page")
def test_the_client_in_typescript_reads_and_writes_the_vectors() -> None:
    # The integration tests, which start Python, are left to `make page-test`.
    runner = WEB / "node_modules" / "vitest" / "vitest.mjs"
    command: list[str | Path] = [
        "node",
        runner,
        "run",
        "--root",
        WEB / "client",
        "wire.test",
        "encoder.test",
        "pure.test",
        "receive.test",
        "opus.test",
    ]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
