"""What was measured, and how it is written down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from bench.stage import Subject


class Figures:
    """Every figure by what it is and whose, one value a round."""

    def __init__(self) -> None:
        """Have none."""
        self._values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.notes: list[str] = []
        """What makes a figure doubtful."""

    def add(self, measure: str, subject: Subject, value: float) -> None:
        """Note one value."""
        self._values[measure, subject.name].append(value)

    def of(self, measure: str, subject: Subject) -> list[float]:
        """All values."""
        return self.values(measure, subject.name)

    def values(self, measure: str, name: str) -> list[float]:
        """All values of the subject of this name."""
        return self._values.get((measure, name), [])

    def median(self, measure: str, name: str) -> float | None:
        """The median, None without any value."""
        values = self.values(measure, name)
        return median(values) if values else None

    def cell(self, measure: str, subject: Subject) -> str:
        """The median and, of several values, the spread; a dash without any."""
        values = self.of(measure, subject)
        return spread(values) if values else "–"

    def doubts(self) -> list[str]:
        """Write the notes, if there are any."""
        return ["## Doubts", "", *(f"- {note}" for note in self.notes)] if self.notes else []

    def table(
        self, corner: str, measures: Sequence[tuple[str, str]], subjects: Sequence[Subject]
    ) -> list[str]:
        """Write measures, each with its title, as a table with a column a subject."""
        rows = [
            [title, *(self.cell(measure, subject) for subject in subjects)]
            for measure, title in measures
            if any(self.of(measure, subject) for subject in subjects)
        ]
        return table([corner, *(subject.name for subject in subjects)], rows) if rows else []


def spread(values: Sequence[float]) -> str:
    """Write the median and, when they differ, the least and the most."""
    middle = number(median(values))
    low, high = number(min(values)), number(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"


def number(value: float) -> str:
    """Write three digits that matter."""
    if value == float("inf"):
        return "∞"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]
