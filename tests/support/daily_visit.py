"""A test's hand on a ``tests.support.daily_attendant``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.support.daily_cloud import FakeCloud
from tests.support.service import clean_environment

DEADLINE_S = 15.0
"""Only what never comes meets it."""

T = TypeVar("T")


class Visit:
    """An attendant, from its start to its end. Everything here blocks."""

    def __init__(self, folder: Path, cloud: FakeCloud) -> None:
        """Write what it says into ``folder``."""
        self._folder = folder
        self._cloud = cloud
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0

    def __enter__(self) -> Self:
        """Start it."""
        with (
            (self._folder / "said.jsonl").open("wb") as said,
            (self._folder / "errors.txt").open("wb") as errors,
        ):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.daily_attendant"],
                env=clean_environment() | self._cloud.environment,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=errors,
            )
        return self

    def __exit__(self, *_: object) -> None:
        """See to it that it is gone."""
        process = self._running()
        process.kill()
        process.communicate()

    def ask(self, call: str, *args: Any, **more: Any) -> int:
        """Have it call something; returns the number that ``answer`` wants."""
        self._asked += 1
        line = json.dumps({"id": self._asked, "call": call, "args": args, "more": more})
        stdin = self._running().stdin
        assert stdin is not None  # a pipe was asked for
        stdin.write(line.encode() + b"\n")
        stdin.flush()
        return self._asked

    def answer(self, number: int) -> list[Any]:
        """Wait for the arguments of a completion."""
        found = self.wait(lambda: [line for line in self._said() if line.get("id") == number])
        answer: list[Any] = found[0]["answer"]
        return answer

    def call(self, call: str, *args: Any, **more: Any) -> list[Any]:
        """Ask, and wait for the answer."""
        return self.answer(self.ask(call, *args, **more))

    def events(self, method: str, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
        """Wait until a callback came so often; ``wanted`` is a part of its first argument."""
        return self.wait(
            lambda: self._events(method, wanted),
            lambda found: len(found) >= count,
        )

    def has_been_told(self, method: str) -> bool:
        """Whether a callback has come so far."""
        return bool(self._events(method, {}))

    def leave(self) -> int:
        """Let it end by itself; returns its exit code."""
        process = self._running()
        assert process.stdin is not None  # a pipe was asked for
        process.stdin.close()
        return process.wait(DEADLINE_S)

    def end(self) -> int:
        """Wait until it has ended, for whatever reason; returns its exit code."""
        return self._running().wait(DEADLINE_S)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running().pid

    def _events(self, method: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            line
            for line in self._said()
            if line.get("on") == method
            and (not wanted or wanted.items() <= line["args"][0].items())
        ]

    def _said(self) -> list[dict[str, Any]]:
        lines = (self._folder / "said.jsonl").read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def wait(self, look: Callable[[], T], enough: Callable[[T], bool] = bool) -> T:
        """Look until it is enough; returns what was seen then."""
        end = time.monotonic() + DEADLINE_S
        while not enough(found := look()):
            assert time.monotonic() < end, f"never came: {self._said()[-20:]} {self._errors()}"
            time.sleep(0.01)
        return found

    def _errors(self) -> str:
        return (self._folder / "errors.txt").read_text(encoding="utf-8")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # made by ``with``
        return self._process
