"""What the service is to reach, each on figures of the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.effort import Effort
from bench.figures import Figures, number, spread, table
from bench.quality import LOW_DELAY
from bench.realtime import LIMIT_MS

OURS, FLOOR_A, FLOOR_B = "Avatar Bridge", "floor A", "floor B"
PIPECAT, PIPECAT_BARE = "Pipecat", "Pipecat, no observers"

LEVEL = 50
"""Sessions at which subjects are held against each other."""

Values = Callable[[Figures, str], list[float]]
"""Of a subject."""


@dataclass(frozen=True)
class Goal:
    """One figure and its bound."""

    text: str
    values: Values
    most: float | None = None
    least: float | None = None

    def row(self, figures: Figures) -> list[str] | None:
        """What is wanted, what was measured, also of floor A, and whether it is enough.

        None if it was not measured.
        """
        values, floor = self.values(figures, OURS), self.values(figures, FLOOR_A)
        bound = (
            f"≤ {number(self.most)}" if self.most is not None else f"≥ {number(self.least or 0)}"
        )
        if not values:
            return None
        value = median(values)
        met = value <= self.most if self.most is not None else value >= (self.least or 0)
        possible = number(median(floor)) if floor else "–"
        return [self.text, bound, spread(values), possible, "yes" if met else "**no**"]


def _is(measure: str) -> Values:
    return lambda figures, subject: figures.values(measure, subject)


def _ratio(measure: str, other: str) -> Values:
    """Divide in each round what was measured in it: a change of the machine meets both."""

    def values(figures: Figures, subject: str) -> list[float]:
        rounds = zip(figures.values(measure, subject), figures.values(measure, other), strict=False)
        return [ours / theirs for ours, theirs in rounds if theirs]

    return values


def _growth(figures: Figures, subject: str) -> list[float]:
    """CPU a packet with many sessions to that with ten: the most that were no backlog."""
    few = figures.median("cpu@10", subject)
    many = [
        cpu
        for level in (50, 100, 200, 400)
        if (figures.median(f"p99@{level}", subject) or LIMIT_MS) < LIMIT_MS
        and (cpu := figures.median(f"cpu@{level}", subject)) is not None
    ]
    return [many[-1] / few] if few and many else []


GOALS = (
    Goal(f"CPU a packet to floor A's, {LEVEL} sessions", _ratio(f"cpu@{LEVEL}", FLOOR_A), most=1.5),
    Goal(f"CPU a packet to Pipecat's, {LEVEL} sessions", _ratio(f"cpu@{LEVEL}", PIPECAT), most=0.5),
    Goal("sessions a core to floor A's", _ratio("most", FLOOR_A), least=0.6),
    Goal("sessions a core to Pipecat's", _ratio("most", PIPECAT), least=4),
    Goal("audio seconds a CPU second to Pipecat's, 20 ms", _ratio("echo 20 ms", PIPECAT), least=3),
    Goal(
        "audio seconds a CPU second to Pipecat's, 200 ms", _ratio("echo 200 ms", PIPECAT), least=3
    ),
    Goal(f"framework delay p50, {LEVEL} sessions, ms", _is(f"p50@{LEVEL}"), most=0.5),
    Goal(f"framework delay p99, {LEVEL} sessions, ms", _is(f"p99@{LEVEL}"), most=2.5),
    Goal("first packet → first hand-over, HQ, ms", _is("first HQ"), most=41),
    Goal("mean delay, HQ, ms", _is("mean HQ"), most=45),
    Goal(f"mean delay, {LOW_DELAY}, ms", _is(f"mean {LOW_DELAY}"), most=16),
    Goal("interrupt read → acted on, alone, ms", _is("acted50 alone"), most=0.5),
    Goal("interrupt read → acted on, among speaking sessions, ms", _is("acted50 busy"), most=0.5),
    Goal("`interrupt.accepted` p99, among speaking sessions, ms", _is("accepted99 busy"), most=10),
    Goal("old audio handed over, among speaking sessions, ms", _is("old busy"), most=0),
    Goal("old audio handed over behind a burst, ms", _is("old burst"), most=0),
    Goal("KB a streaming session", _is("speaking"), most=200),
    Goal("KB kept of a closed one", _is("kept"), most=2),
    Goal("`serve` up, s", _is("serve"), most=0.6),
    Goal("CPU a packet of many sessions to that of ten", _growth, most=1),
)


def sections(figures: Figures, effort: Effort) -> list[str]:
    """Write whether each is met."""
    rows = [row for goal in GOALS if (row := goal.row(figures)) is not None]
    rounds = f"Medians of {effort.rounds} alternating runs where runs alternate; ratios are those"
    text = [f"{rounds} of each round.", ""]
    if figures.notes:
        text += [f"**Others worked on the machine in {len(figures.notes)} runs: see Doubts.**", ""]
    titles = ["figure", "goal", "measured", "floor A", "met"]
    return ["## Goals", "", *text, *table(titles, rows)]
