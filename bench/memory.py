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


def run(subjects: Sequence[Subject], effort: Effort, figures: Figures, folder: Path) -> None:
    """Let crowds of sessions come, speak and go."""
    for subject in subjects:
        with staged(subject, folder / f"memory-{subject.module}-{subject.name}") as stage:
            idle = speaking = 0
            kept: list[int] = []
            for _ in range(effort.crowds):
                kept.append(stage.memory())
                stage.open(effort.crowd)
                idle = stage.memory()
                with stage.speaking(effort.crowd, effort.packets):
                    time.sleep(effort.packets * 0.015)
                    speaking = stage.memory()
                stage.close()
            kept.append(stage.memory())
            # The first half fills caches and pools that all later ones use: urllib alone keeps the
            # last 128 addresses.
            warm = effort.crowds // 2
            closed = (kept[-1] - kept[warm]) / (effort.crowd * (effort.crowds - warm))
            figures.add("idle", subject, (idle - kept[-2]) / effort.crowd / KB)
            figures.add("speaking", subject, (speaking - kept[-2]) / effort.crowd / KB)
            figures.add("kept", subject, closed / KB)
            if subject.makes_sessions:
                figures.add("viewed", subject, _viewed(stage, effort) / KB)


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
