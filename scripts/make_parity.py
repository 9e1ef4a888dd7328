"""Write docs/parity.md: what each name of the specification became, and what tests it.

Run from the repository: ``python scripts/make_parity.py``. ``--check`` only says whether the page is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.connect.parity_names import page, rows  # noqa: E402  # needs the path above


def main() -> int:
    """Write the page, or compare it."""
    file = ROOT / "docs" / "parity.md"
    text = page()
    if "--check" in sys.argv[1:]:
        return int(file.read_text("utf-8") != text)
    file.write_text(text, "utf-8")
    for row in rows():
        if not row.is_done:
            print(f"not yet: {row.specification} -> {row.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
