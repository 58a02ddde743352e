"""Sessions that speak in real time: added delay, CPU, and how many fit one core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.delays import Delays, learn, measure
from bench.effort import Effort
from bench.figures import Figures
from bench.stage import Run, Stage, Subject, staged

LIMIT_MS = 20.0
"""Of the framework's delay at its 99th percentile: later than a packet's length is too late."""

TRIES = 3
"""Of a run that others on the machine disturb."""

TEXT = """\
The framework's delay: from the sending of the packet that completed a piece to the piece's
hand-over to the sink. The service runs with all it has: acks, positions every 200 ms, a mark a
second, metrics. Sessions begin at different moments of half a second. Of more sessions than a
subject could serve there are no figures."""

LEARNERS = 4
"""Sessions that teach which packet a hand-over needs; the quickest of them counts."""


def run(subjects: Sequence[Subject], effort: Effort, figures: Figures, folder: Path) -> None:
    """Alternate the subjects, so that a change of the machine meets all of them."""
    spare = iter(range(effort.repeats))
    for turn in range(effort.rounds):
        levels = effort.levels if turn < effort.level_rounds else effort.compared
        for subject in subjects:
            with staged(
                subject, folder / f"realtime-{turn}-{subject.module}-{subject.name}"
            ) as stage:
                _Round(stage, effort, figures, spare).run(levels)


class _Round:
    """One subject in one round."""

    def __init__(
        self, stage: Stage, effort: Effort, figures: Figures, spare: Iterator[int]
    ) -> None:
        self._stage = stage
        self._effort = effort
        self._figures = figures
        self._spare = spare
        """Has one for each run that may still be repeated."""
        self._most = 0
        """The most sessions that went well."""
        self._least = effort.most + 1
        """The fewest sessions that did not."""
        stage.open(LEARNERS)
        taught = stage.stream(LEARNERS, effort.packets)
        self._need = learn(taught.rows, taught.sent)

    def run(self, levels: Sequence[int]) -> None:
        for sessions in levels:
            if sessions < self._least:
                self._level(sessions)
        self._search()
        self._figures.add("most", self._stage.subject, self._most)

    def _level(self, sessions: int) -> None:
        """Run and note everything."""
        run, delays = self._try(sessions)
        add, subject = self._figures.add, self._stage.subject
        if sessions == self._effort.levels[0]:
            add("first", subject, delays.first_ms)
        add(f"p50@{sessions}", subject, delays.percentile(50))
        add(f"p99@{sessions}", subject, delays.percentile(99))
        add(f"mean@{sessions}", subject, delays.mean_ms)
        add(f"cpu@{sessions}", subject, run.cpu_us)
        add(f"loop50@{sessions}", subject, float(np.percentile(run.loop_ms, 50)))
        add(f"loop99@{sessions}", subject, float(np.percentile(run.loop_ms, 99)))

    def _search(self) -> None:
        """Find the most between what went well and what did not, from what the last round found."""
        found = self._figures.median("most", self._stage.subject.name)
        step = int(found or self._effort.levels[-1])
        while self._least - self._most > max(1, self._effort.precision * self._most):
            if self._most >= step or self._least <= step:
                step = self._next()
            self._try(step)

    def _next(self) -> int:
        if self._least > self._effort.most:
            is_known = self._figures.of("most", self._stage.subject)
            return min(self._effort.most, self._most + self._most // (10 if is_known else 1) + 1)
        if not self._most:
            return self._least * 9 // 10
        return (self._most + self._least) // 2

    def _try(self, sessions: int) -> tuple[Run, Delays]:
        """Run, and take the run that was disturbed least: others' work is no limit of ours."""
        stage = self._stage
        stage.open(max(sessions, stage.sessions))
        runs: list[Run] = []
        while len(runs) < TRIES:
            runs.append(stage.stream(sessions, self._effort.packets))
            if not runs[-1].doubt or next(self._spare, None) is None:
                break
        run = min(runs, key=lambda run: (bool(run.doubt), run.kept, run.late_p99_us))
        if run.doubt:
            name = stage.subject.name
            self._figures.notes.append(f"{name}, {sessions} sessions: {run.doubt}")
        delays = measure(run.rows, run.sent, self._need, self._effort.warm_up)
        if _went_well(delays):
            self._most = max(self._most, sessions)
        else:
            self._least = min(self._least, sessions)
        return run, delays


def _went_well(delays: Delays) -> bool:
    return delays.percentile(99) < LIMIT_MS and not delays.missing


def sections(figures: Figures, effort: Effort, subjects: Sequence[Subject]) -> list[str]:
    """Write what came of it."""
    lines = ["## Real time", "", TEXT, ""]
    for key, title in (
        ("p50", "delay p50, ms"),
        ("p99", "delay p99, ms"),
        ("cpu", "CPU µs a packet"),
        ("loop99", "event loop late p99, ms"),
    ):
        rows = [(f"{key}@{level}", f"{title}, {level} sessions") for level in effort.levels]
        lines += figures.table(title, rows, subjects)
    lines += ["### Buffering and limits", ""]
    lines += figures.table(
        "",
        [
            ("most", f"most sessions a core (p99 < {LIMIT_MS:.0f} ms, no backlog)"),
            ("first", "first packet → first hand-over, ms"),
            (f"mean@{effort.levels[0]}", "mean delay of all audio, ms"),
        ],
        subjects,
    )
    return lines
