"""``avatar-bridge speak`` as a user runs it, and a service for it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.service import DEADLINE_S, Service, clean_environment

KEY = "speak-key"


@contextmanager
def speaking_service(folder: Path, **environment: str) -> Iterator[Service]:
    """Run a service that wants a key and whose replicas come at once."""
    with Service(folder, BRIDGE_API_KEYS=KEY, **environment) as service:
        httpx.put(
            f"{service.base_url}/sandbox/faults",
            json={"replica_join_ms": 50},
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
        ).raise_for_status()
        yield service


class Command:
    """``avatar-bridge speak`` as a process, and what it says."""

    def __init__(self, service: Service, *arguments: str, audio: bytes | None = None) -> None:
        """Run it against ``service``; ``audio`` comes through a pipe, which then ends."""
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app", "speak", "--url", service.base_url, *arguments],
            env=clean_environment() | {"BRIDGE_API_KEY": KEY, "NO_PROXY": "*"},
            stdin=subprocess.DEVNULL if audio is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.error = ""
        if self._process.stdin is not None:
            self._process.stdin.write(audio or b"")
            self._process.stdin.close()
            self._process.stdin = None  # or ``communicate`` would flush it

    def until(self, pattern: str) -> re.Match[str]:
        """Read its lines up to one that matches."""
        assert self._process.stdout is not None
        for line in map(bytes.decode, self._process.stdout):
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"no {pattern} in {''.join(self.lines)} {self.end()}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for its end and return the exit code; ``lines`` and ``error`` are then whole."""
        said, error = self._process.communicate(timeout=DEADLINE_S)
        self.lines.append(said.decode())
        self.error = error.decode()
        return self._process.returncode

    @property
    def said(self) -> str:
        """All its lines."""
        return "".join(self.lines)

    @property
    def session_id(self) -> str:
        """Its session."""
        found = re.search(r"^session (\S+)", self.said)
        assert found is not None, self.said
        return found[1]
