"""The page's modules, as far as they can do without a browser."""

from __future__ import annotations

import subprocess
from pathlib import Path

TESTS = Path(__file__).parent


def test_modules() -> None:
    """Node's own test runner finds nothing wrong; it prints what it does find."""
    files = sorted(TESTS.glob("*.test.mjs"))
    done = subprocess.run(
        ["node", "--test", *files], capture_output=True, text=True, timeout=60, check=False
    )

    assert files
    assert 0 == done.returncode, done.stdout
