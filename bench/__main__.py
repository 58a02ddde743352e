"""``python -m bench``: measure everything and write ``bench/results``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import goals, interrupts, memory, profile, quality, realtime, startup, throughput, tricks
from bench.child import ROOT, cores
from bench.effort import FULL, PEER, QUICK, Effort
from bench.figures import Figures
from bench.machine import header, load
from bench.stage import Subject
from bench.without import TRICKS

RESULTS = ROOT / "bench" / "results"

OURS = Subject(goals.OURS, "ours", makes_sessions=True)
FLOORS = (Subject(goals.FLOOR_A, "floor_asgi"), Subject(goals.FLOOR_B, "floor_picows"))


def peers(python: str) -> tuple[Subject, ...]:
    """Pipecat, as it comes and with as little as it can have."""
    return tuple(
        Subject(name, "pipecat", {"observers": observers}, python, answers=False)
        for name, observers in ((goals.PIPECAT, True), (goals.PIPECAT_BARE, False))
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that all of it works")
    parser.add_argument("--peer", metavar="PYTHON", help="beside Pipecat, in this environment")
    parser.add_argument("--tricks", action="store_true", help="beside itself without its tricks")
    parser.add_argument("--only", action="append", help="a part by its name; may come repeatedly")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    given = parser.parse_args(arguments)
    effort = QUICK if given.quick else PEER if given.peer else FULL
    begin, load_before = time.monotonic(), load()
    given.results.mkdir(exist_ok=True)
    if given.tricks:
        report = "tricks"
        lines = measure_tricks(effort)
    else:
        report = "peer" if given.peer else "bench"
        lines = measure(effort, given.peer, given.only, given.results)
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    head = header(report, command, time.monotonic() - begin, load_before, given.peer or "")
    text = [*head, *lines]
    file = given.results / f"{report}.md"
    file.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def measure(
    effort: Effort, peer: str | None, only: Sequence[str] | None, results: Path
) -> list[str]:
    """Measure the service beside others; returns the sections of the report."""
    subjects = (OURS, FLOORS[0], *peers(peer)) if peer else (OURS, *FLOORS)
    figures = Figures()
    profiled: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        parts: dict[str, Callable[[], object]] = {
            "realtime": lambda: realtime.run(subjects, effort, figures, folder),
            "interrupts": lambda: interrupts.run(subjects, effort, figures, folder),
            "throughput": lambda: throughput.run(subjects, effort, figures, folder),
            "memory": lambda: memory.run(subjects, effort, figures, folder),
            "startup": lambda: startup.run(subjects, effort, figures, folder),
        }
        if not peer:
            parts["quality"] = lambda: quality.run(OURS, effort, figures, folder)
            parts["profile"] = lambda: profiled.extend(profile.run(OURS, effort, folder, results))
        with aside():
            for name, part in parts.items():
                if only is None or name in only:
                    begin = time.monotonic()
                    part()
                    sys.stderr.write(f"{name}: {time.monotonic() - begin:.0f} s\n")
    return [
        *goals.sections(figures, effort),
        *realtime.sections(figures, effort, subjects),
        *interrupts.sections(figures, effort, subjects),
        *throughput.sections(figures, subjects),
        *memory.sections(figures, subjects),
        *startup.sections(figures, subjects),
        *([] if peer else quality.sections(figures, OURS)),
        *profiled,
        *figures.doubts(),
    ]


def measure_tricks(effort: Effort) -> list[str]:
    """Measure the service beside itself; returns the sections of the report."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bench-") as place, aside():
        tricks.run(OURS, TRICKS, effort, figures, Path(place))
    return [*tricks.sections(figures, effort, OURS), *figures.doubts()]


@contextmanager
def aside() -> Iterator[None]:
    """Stay on the core that is not the subject's."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores()[1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


if __name__ == "__main__":
    main()
