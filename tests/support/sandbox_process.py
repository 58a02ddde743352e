"""The sandbox alone, as ``python -m app sandbox`` starts it: it survives the service."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.support.service import DEADLINE_S, clean_environment

_RUNNING = re.compile(r"running on (http://[\d.:]+)")


class SandboxProcess:
    """A sandbox on a free loopback port. Start and end block."""

    def __init__(self, folder: Path) -> None:
        """Log into ``folder``."""
        self._log = folder / "sandbox.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.base_url = ""

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", "sandbox", "--port", "0"],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + DEADLINE_S
        while (found := _RUNNING.search(self.log)) is None:
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                self._process.wait()
                raise AssertionError(f"the sandbox did not start:\n{self.log}")
            time.sleep(0.01)
        self.base_url = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end."""
        assert self._process is not None  # made by ``with``
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    @property
    def log(self) -> str:
        """All it has logged so far."""
        return self._log.read_text(encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs to use it."""
        return {"TAVUS_BASE_URL": f"{self.base_url}/sandbox/v2", "BRIDGE_ROOM": "sandbox"}
