"""On what, with what and how a report's figures were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.child import ROOT

LIBRARIES = ("uvicorn", "websockets", "uvloop", "picows", "soxr", "numpy", "msgspec")

CAVEAT = """\
Every subject is one process on one core, the load generator another on another core. The room is a
sink in the subject's process that costs nothing, so this is the service's overhead alone: with a
live room the room's SDK sets the limit. Packets of 20 ms, 16 kHz mono s16le."""


def load() -> float:
    """How busy the machine was in the last minute: 0 is idle."""
    return os.getloadavg()[0]


TITLES = {
    "bench": "Benchmark",
    "peer": "Benchmark beside Pipecat",
    "tricks": "Benchmark without one trick or another",
}
"""Of each report."""


def header(report: str, command: str, seconds: float, load_before: float, peer: str) -> list[str]:
    """Write the head of a report; ``peer`` is the interpreter that has the peer, or empty."""
    target = "make bench" if report == "bench" else f"make bench-{report}"
    commit = _said("git", "describe", "--always", "--dirty") or "unknown"
    libraries = [f"{library} {version(library)}" for library in LIBRARIES]
    if peer:
        libraries.append("the peer: " + _said(peer, "-c", _PEER))
    what = (
        f"`{target}` (`{command}`), {datetime.now(UTC):%Y-%m-%d}, commit {commit}, "
        f"{seconds / 60:.1f} minutes. Medians; of several runs the spread in brackets."
    )
    machine = (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; {', '.join(libraries)}. "
        f"Load of the machine before: {load_before:.2f}."
    )
    lines = [f"# {TITLES[report]}", "", what, "", machine, "", CAVEAT, ""]
    if len(os.sched_getaffinity(0)) == 1:
        lines += ["**One core for both: the figures are worth little.**", ""]
    return lines


_PEER = """\
from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("pipecat-ai", "soxr")))
"""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _said(*command: str) -> str:
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()
