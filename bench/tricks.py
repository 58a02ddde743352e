"""What each trick of the hot path is worth: the service as it is, beside it without one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import throughput
from bench.effort import Effort
from bench.figures import Figures, table
from bench.stage import Subject, staged
from bench.without import TRICKS, Trick

TEXT = """\
How much more CPU a packet takes when the service goes without: medians of {rounds} alternating
runs, and the spread. The last line shows how much of it is chance. In real time {sessions} sessions
speak; bursts are of one session."""

ROUNDS = 3


def run(
    subject: Subject, tricks: Sequence[Trick], effort: Effort, figures: Figures, folder: Path
) -> None:
    """Alternate, so that a change of the machine meets all."""
    for turn in range(min(ROUNDS, effort.rounds)):
        for number, trick in enumerate((None, *tricks)):
            _measure(_without(subject, trick), effort, figures, folder / f"tricks-{turn}-{number}")


def _without(subject: Subject, trick: Trick | None) -> Subject:
    if trick is None:
        return subject
    return replace(subject, name=trick.text, options={**subject.options, "without": trick.text})


def _measure(subject: Subject, effort: Effort, figures: Figures, folder: Path) -> None:
    with staged(subject, folder) as stage:
        stage.open(1, lead_ms=throughput.LEAD_MS)
        for packet_ms in throughput.PACKETS_MS:
            rates = throughput.rates(stage, effort, packet_ms)
            figures.add(f"burst {packet_ms}", subject, 1 / median(rates))
        stage.close()
        stage.open(effort.tricked)
        stage.stream(effort.tricked, effort.packets)  # the first is not counted
        run = stage.stream(effort.tricked, effort.packets)
        figures.add("real time", subject, run.cpu_us)
        if run.doubt:
            figures.notes.append(f"{subject.name}: {run.doubt}")


def sections(figures: Figures, effort: Effort, subject: Subject) -> list[str]:
    """Write what came of it."""
    measures = ("real time", *(f"burst {packet_ms}" for packet_ms in throughput.PACKETS_MS))
    rows = [
        [trick.text, trick.place, *(_more(figures, m, subject, trick) for m in measures)]
        for trick in TRICKS
        if figures.values("real time", trick.text)
    ]
    if not rows:
        return []
    bursts = (f"bursts of {packet_ms} ms packets" for packet_ms in throughput.PACKETS_MS)
    titles = ["trick", "in `app`", "real time", *bursts]
    text = TEXT.format(rounds=min(ROUNDS, effort.rounds), sessions=effort.tricked)
    return ["## Tricks", "", text, "", *table(titles, rows)]


def _more(figures: Figures, measure: str, subject: Subject, trick: Trick) -> str:
    """How much more it is without the trick, each round by itself."""
    rounds = zip(
        figures.values(measure, trick.text), figures.values(measure, subject.name), strict=True
    )
    more = [without / whole - 1 for without, whole in rounds]
    return f"{median(more):+.0%} ({min(more):+.0%} to {max(more):+.0%})"
