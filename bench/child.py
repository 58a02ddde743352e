"""Processes that take one JSON command a line and answer each with one."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[1]

ANSWER_S = 60.0
"""The longest a command may take beside what it is asked to wait for."""


@cache
def cores() -> tuple[int, int]:
    """The core of what is measured, and the core of everybody else.

    Asked once, before this process binds itself to one of them.
    """
    ours = sorted(os.sched_getaffinity(0))
    return ours[-1], ours[0]


class Child:
    """One process, pinned to a core."""

    def __init__(
        self,
        *arguments: str,
        core: int,
        log: IO[bytes],
        python: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; nobody's settings reach it but those in ``environment``.

        What it compiles is kept for the next, as it is wherever the service is installed.
        """
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BRIDGE_", "TAVUS_", "PYTHONDONTWRITEBYTECODE"))
        }
        self._process = subprocess.Popen(
            [python or sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd=ROOT,
            env={**inherited, **(environment or {})},
        )
        os.sched_setaffinity(self._process.pid, {core})

    def __enter__(self) -> Self:
        """Be ended at last."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it: its input ends, and it is killed if it does not care."""
        with self._process as process:
            assert process.stdin is not None  # see above
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def kept_ns(self) -> int:
        """How long it was ready to run and others had its core, ns; Linux counts it."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1])

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Command, and wait for the answer."""
        self.tell(op, **arguments)
        return self.hear()

    def tell(self, op: str, **arguments: Any) -> None:
        """Command; ``hear`` must follow."""
        assert self._process.stdin is not None  # see above
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")

    def hear(self, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Wait for the answer. Raises RuntimeError when none comes."""
        assert self._process.stdout is not None  # see above
        end = time.monotonic() + timeout_s
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], end - time.monotonic())
            part = self._process.stdout.readline() if ready else b""
            if not part:
                raise RuntimeError(f"{self._process.args!r} did not answer; see its log")
            line += part
        answer: dict[str, Any] = json.loads(line)
        return answer
