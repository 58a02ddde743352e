"""Where the time goes: samples of the hot path as a flame graph and as a table.

py-spy looks from outside, 500 times a second, so the service runs as it is. It needs the right to
trace a process of its own user; where it has none there is no profile.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.effort import Effort
from bench.figures import table
from bench.stage import Stage, Subject, staged

SESSIONS = 50

SAMPLES_S = 500

HOT = 0.005
"""Functions with less of the time are left out of the table."""

GROUPS = (
    ("WebSocket", ("websockets/", "uvicorn/", "app/edge.py")),
    ("FastAPI and Starlette", ("starlette/", "fastapi/")),
    ("event loop, sockets (C)", ("asyncio/", "bench/subjects", "uvloop")),
    ("the sink and its clock", ("bench/",)),
    ("the service: api", ("app/api/",)),
    ("the service: runtime", ("app/runtime/",)),
    ("the service: core", ("app/core/",)),
    ("resampler", ("soxr/",)),
    ("JSON", ("json/",)),
    ("numpy", ("numpy/",)),
)
"""A group is where the innermost function is that is in any; what that calls counts as its own."""

TEXT = """\
A sample counts for the innermost Python function, C code for the function that called it; in the
first table what is in no group counts for its caller. The whole is in `flame.svg`."""

MAIN = "MainThread"

_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')

_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*):(?P<line>\d+)\)$")


def run(subject: Subject, effort: Effort, folder: Path, results: Path) -> list[str]:
    """Profile the subject while it speaks; writes ``flame.svg``, returns the section."""
    title = f"## Where each microsecond goes: {SESSIONS} sessions"
    with staged(subject, folder / "profile") as stage:
        stage.open(SESSIONS)
        cpu_us = stage.stream(SESSIONS, effort.packets).cpu_us
        if not _watch(stage, effort, "flamegraph", results / "flame.svg"):
            return [title, "", "py-spy may not look into a process here: no profile.", ""]
        _entitle(results / "flame.svg")
        raw = folder / "profile" / "raw"
        _watch(stage, effort, "raw", raw)
        return [title, "", *lines(raw.read_text(), cpu_us)]


def _entitle(graph: Path) -> None:
    """Name the graph for what it shows: py-spy writes its own command line, with our folders."""
    drawn = graph.read_text()
    graph.write_text(_TITLE.sub(rf"\g<1>{SESSIONS} speaking sessions", drawn, count=1))


def _watch(stage: Stage, effort: Effort, form: str, out: Path) -> bool:
    with stage.speaking(SESSIONS, (effort.profile_s + 2) * 50):
        spy = subprocess.run(
            [
                *(Path(sys.executable).with_name("py-spy"), "record"),
                *("--pid", str(stage.service.pid), "--threads"),
                *("--rate", str(SAMPLES_S), "--duration", str(effort.profile_s)),
                *("--format", form, "--output", out),
            ],
            capture_output=True,
            check=False,
        )
    return spy.returncode == 0


def lines(raw: str, cpu_us: float) -> list[str]:
    """Write folded stacks as tables: by group, and the functions that take most by themselves."""
    groups: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in raw.splitlines():
        if MAIN not in line.partition(";")[0]:
            continue  # the journal's thread, which waits
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        groups[_group(frames)] += int(count)
        functions[_place(frames[-1])] += int(count)
    total = max(1, sum(groups.values()))
    found = [f"{cpu_us:.0f} µs of CPU a packet, split by {total} samples. {TEXT}", ""]
    for title, counter, least in (("where", groups, 0.0), ("function", functions, HOT)):
        rows = [
            [name, f"{count / total:.1%}", f"{cpu_us * count / total:.1f}"]
            for name, count in counter.most_common(40)
            if count / total >= least
        ]
        found += table([title, "part", "µs a packet"], rows)
    return found


def _group(frames: list[str]) -> str:
    """Where the innermost function is that is in any group."""
    for frame in reversed(frames):
        file = match["file"] if (match := _FRAME.match(frame)) else frame
        for name, parts in GROUPS:
            if any(part in file for part in parts):
                return name
    return "other"


def _place(frame: str) -> str:
    if (match := _FRAME.match(frame)) is None:
        return frame
    return f"`{match['function']}` ({'/'.join(Path(match['file']).parts[-3:])})"
