"""Trials of ``tests.support.daily_children`` on the real SDK or on the fake, with a hard limit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.support.daily_cloud import FakeCloud
from tests.support.service import clean_environment

LIMIT_S = 30.0
"""A trial may end in a deadlock; then it is killed."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    code: int
    """Exit code; negative: the signal that ended it."""
    found: Any
    """What it printed last, decoded; None: nothing."""
    stderr: str


def trial(
    name: str,
    *args: str,
    fake: FakeCloud | None = None,
    limit_s: float = LIMIT_S,
    **environment: str,
) -> Outcome:
    """Run one to its end, on the fake if there is one. Raises TimeoutExpired."""
    faked = {} if fake is None else fake.environment
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.daily_children", name, *args],
        env=clean_environment() | {"RUST_LOG": "off", "RUST_BACKTRACE": "0"} | faked | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    lines = done.stdout.splitlines()
    return Outcome(done.returncode, json.loads(lines[-1]) if lines else None, done.stderr)
