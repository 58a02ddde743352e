"""Memory a session takes, and what is kept of a closed one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bench.effort import Effort
from bench.figures import Figures
from bench.stage import Stage, Subject, staged

KB = 1024

VIEWERS = 4

FEW = 10
"""Packets of sessions that come only to leave."""


def run(subjects: Sequence[Subject], effort: Effort, figures: Figures, folder: Path) -> None:
    """Let crowds of sessions come, speak and go.

    A few come first and fill caches and pools. What the next, many more, take is new to the
    process; all later ones live in memory that others have left.
    """
    for subject in subjects:
        place = folder / f"memory-{subject.module}-{subject.name}"
        with staged(subject, place / "crowds") as stage:
            _few(stage, effort)
            before = stage.memory()
            idle, speaking = _crowd(stage, effort.crowd, effort.speech)
            first = last = stage.memory()
            figures.add("idle", subject, (idle - before) / effort.crowd / KB)
            figures.add("speaking", subject, (speaking - before) / effort.crowd / KB)
            for _ in range(effort.crowds):
                _crowd(stage, effort.crowd, FEW)
                last = stage.memory()
            kept = (last - first) / (effort.crowd * effort.crowds)
            figures.add("kept", subject, kept / KB)
        if subject.makes_sessions:
            with staged(subject, place / "viewed") as stage:
                _few(stage, effort)
                figures.add("viewed", subject, _viewed(stage, effort) / KB)


def _few(stage: Stage, effort: Effort) -> None:
    _crowd(stage, max(1, effort.crowd // 10), effort.packets)


def _crowd(stage: Stage, sessions: int, packets: int) -> tuple[int, int]:
    """Come, speak and go; returns the bytes of the process before they spoke, and meanwhile."""
    stage.open(sessions)
    idle = stage.memory()
    with stage.speaking(sessions, packets):
        time.sleep(packets * 0.015)
        speaking = stage.memory()
    stage.close()
    return idle, speaking


def _viewed(stage: Stage, effort: Effort) -> float:
    """Bytes of a session that speaks before four who watch."""
    before = stage.memory()
    stage.open(effort.audience)
    stage.view(VIEWERS)
    with stage.speaking(effort.audience, effort.packets):
        time.sleep(effort.packets * 0.015)
        taken = stage.memory() - before
    stage.close()
    return taken / effort.audience


def sections(figures: Figures, subjects: Sequence[Subject]) -> list[str]:
    """Write what came of it."""
    rows = [
        ("idle", "an open session"),
        ("speaking", "a session that speaks in real time"),
        ("viewed", f"the same with {VIEWERS} viewers of pictures and sound"),
        ("kept", "kept of a closed one"),
    ]
    return ["## Memory", "", *figures.table("KB a session", rows, subjects)]
