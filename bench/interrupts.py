"""Barge-in: how soon nothing old is handed over, and how soon the client is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.effort import Effort
from bench.figures import Figures
from bench.recorder import Kind, Rows
from bench.stage import Stage, Subject, staged

EVERY_MS, REST_MS = 40, 250
"""Between two interrupts, and how long whoever interrupted says nothing: longer than a sink may get
old audio."""

ALONE_MS = 400
"""Between two interrupts of the only session."""

QUIET_MS = 500
"""After a burst and its interrupt."""

WHEN = {"alone": "one session", "busy": "among speaking sessions", "burst": "right behind a burst"}


def run(subjects: Sequence[Subject], effort: Effort, figures: Figures, folder: Path) -> None:
    """Measure each subject alone, among others, and behind bursts."""
    for subject in subjects:
        stamped = subject.but(stamp_reads=True) if subject.makes_sessions else subject
        with staged(stamped, folder / f"interrupts-{subject.module}-{subject.name}") as stage:
            notes = _Notes(stage, figures)
            stage.open(effort.busy)
            notes.speaking("alone", 1, effort.interrupts // 4 or 1, ALONE_MS)
            notes.speaking("busy", effort.busy, effort.interrupts, EVERY_MS)
            for _ in range(effort.bursts):
                notes.burst(effort.burst_s)


class _Notes:
    def __init__(self, stage: Stage, figures: Figures) -> None:
        self._stage = stage
        self._figures = figures

    def speaking(self, when: str, sessions: int, interrupts: int, every_ms: int) -> None:
        """Let speaking sessions interrupt one after the other."""
        packets = (interrupts * every_ms + 3 * REST_MS) // 20
        run = self._stage.stream(sessions, packets, interrupt_ms=every_ms, rest_ms=REST_MS)
        if run.doubt:
            name = self._stage.subject.name
            self._figures.notes.append(f"{name}, interrupts {WHEN[when]}: {run.doubt}")
        acted, accepted, last, old = [], [], [], []
        for session, sent, answered, resumed in run.interrupts.tolist():
            rows = run.rows.of_session(session)
            acted.append(_acted_ms(rows, sent))
            if answered:
                accepted.append((answered - sent) / 1e6)
            late = _audio(rows, sent, resumed)
            last.append((int(late.time[-1]) - sent) / 1e6 if len(late.time) else 0.0)
            old.append(_old_ms(rows, sent, resumed))
        for key, values in {"acted": acted, "accepted": accepted, "last": last}.items():
            for percent in (50, 99):
                if values:
                    self._add(f"{key}{percent} {when}", float(np.percentile(values, percent)))
        self._add(f"old {when}", max(old))

    def burst(self, seconds: int) -> None:
        """Send much at once and interrupt right behind it."""
        stage = self._stage
        answer = stage.generator.ask(
            "burst", session=0, packets=seconds * 50, packet_ms=20, interrupt=True
        )
        stage.generator.ask("wait", ms=QUIET_MS)
        rows = stage.rows(answer["begin"]).of_session(0)
        until = answer["interrupt"] + QUIET_MS * 1_000_000
        self._add("old burst", _old_ms(rows, answer["interrupt"], until))
        self._add("acted50 burst", _acted_ms(rows, answer["begin"]))
        stage.calm(1)

    def _add(self, measure: str, value: float) -> None:
        self._figures.add(measure, self._stage.subject, value)


def _read(rows: Rows, since: int) -> int | None:
    """When the service got the interrupt from its connection."""
    times = rows.of(Kind.READ).time
    after = times[times >= since]
    return int(after[0]) if len(after) else None


def _acted_ms(rows: Rows, since: int) -> float:
    read = _read(rows, since)
    cuts = rows.of(Kind.CUT).time
    after = cuts[cuts >= (read or since)]
    return (int(after[0]) - read) / 1e6 if read is not None and len(after) else np.inf


def _audio(rows: Rows, since: int, until: int) -> Rows:
    audio = rows.of(Kind.AUDIO)
    return audio.where((audio.time > since) & (audio.time < until))


def _old_ms(rows: Rows, sent: int, until: int) -> float:
    """Audio handed over after the interrupt was read, though it came before, ms."""
    read = _read(rows, sent)
    return float(_audio(rows, sent if read is None else read, until).value.sum()) / 24


def sections(figures: Figures, effort: Effort, subjects: Sequence[Subject]) -> list[str]:
    """Write what came of it."""
    rows: list[tuple[str, str]] = []
    for when, title in WHEN.items():
        where = title.replace("speaking", f"{effort.busy} speaking")
        rows += [
            (f"acted50 {when}", f"read → the sink is cut, ms, {where}"),
            (f"acted99 {when}", f"the same, p99, {where}"),
            (f"accepted50 {when}", f"sent → `interrupt.accepted` at the client, ms, {where}"),
            (f"accepted99 {when}", f"the same, p99, {where}"),
            (f"last99 {when}", f"sent → last old audio handed over, p99, ms, {where}"),
            (f"old {when}", f"old audio handed over after it was read, most, ms, {where}"),
        ]
    return ["## Interrupts", "", *figures.table("", rows, subjects)]
