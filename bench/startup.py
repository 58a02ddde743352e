"""From the start of a process to its readiness for connections."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from bench.child import Child, cores
from bench.effort import Effort
from bench.figures import Figures
from bench.stage import Subject, start

TIMEOUT_S = 30


def run(subjects: Sequence[Subject], effort: Effort, figures: Figures, folder: Path) -> None:
    """Start each several times, in turns; the first time, which fills disk caches, is left out."""
    for turn in range(effort.starts + 1):
        for subject in subjects:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                seconds = _subject(subject, Path(place))
                if turn:
                    figures.add("up", subject, seconds)
                if subject.makes_sessions:
                    seconds = _command(Path(place))
                    if turn:
                        figures.add("serve", subject, seconds)


def _subject(subject: Subject, folder: Path) -> float:
    with (folder / "log").open("wb") as log:
        begin = time.monotonic()
        with start(subject, folder, log) as child:
            child.hear()
            return time.monotonic() - begin


def _command(folder: Path) -> float:
    """Start the service as its user does, without the sandbox's process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = {
        "BRIDGE_ROOM": "sandbox",
        "BRIDGE_PORT": str(port),
        "BRIDGE_DATA_DIR": str(folder / "served"),
        "TAVUS_BASE_URL": "http://127.0.0.1:9/v2",  # nobody is there, and nobody is needed
    }
    with (folder / "serve.log").open("wb") as log:
        begin = time.monotonic()
        arguments = ("-m", "app", "serve")
        with (
            Child(*arguments, core=cores()[0], log=log, environment=given) as child,
            httpx.Client(trust_env=False) as http,
        ):
            while time.monotonic() < begin + TIMEOUT_S:
                try:
                    http.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
                except httpx.TransportError:
                    time.sleep(0.002)
                    continue
                seconds = time.monotonic() - begin
                os.kill(child.pid, 15)
                return seconds
    raise TimeoutError("the service did not start")


def sections(figures: Figures, subjects: Sequence[Subject]) -> list[str]:
    """Write what came of it."""
    rows = [
        ("up", "the subject's process"),
        ("serve", "`python -m app serve` → `/healthz`"),
    ]
    return ["## Start", "", *figures.table("seconds", rows, subjects)]
