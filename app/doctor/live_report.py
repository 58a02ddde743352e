"""The report of a live test, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.doctor.experiment import Result
from app.doctor.not_asked import NOT_ASKED


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and when the test was made."""

    begun: datetime
    ended: datetime
    url: str
    """Of the service."""
    room: str
    name: str
    """How the test's conversations are called."""
    stopped_by: str | None
    """The signal that ended it early."""


def markdown(
    where: Circumstances, results: Sequence[Result], made: Sequence[str], left: Sequence[str]
) -> str:
    """Write the whole report. ``made`` and ``left`` are conversation ids."""
    lasted_s = (where.ended - where.begun).total_seconds()
    facts = (
        f"begun {where.begun:%Y-%m-%d %H:%M:%S} UTC, took {lasted_s:.0f} s",
        f"service at {where.url}, room `{where.room}`",
        f"conversations are named `{where.name}`",
    )
    parts = [
        "# Live test of Avatar Bridge against Tavus",
        "\n".join(f"- {fact}" for fact in facts),
    ]
    if where.stopped_by is not None:
        parts.append(f"**Stopped early by {where.stopped_by}: what is missing was not asked.**")
    parts += [
        "## Answers",
        _table(
            ("question", "verdict"),
            [(result.experiment.question, result.verdict) for result in results],
        ),
        "## Experiments",
        *map(_section, results),
        "## Not asked",
        _table(("question", "why"), NOT_ASKED),
        "## What is left behind",
        _left(made, left),
    ]
    return "\n\n".join(parts) + "\n"


def _section(result: Result) -> str:
    asked = result.experiment
    parts = [
        f"### {asked.question}",
        f"**Hypothesis.** {asked.hypothesis}",
        "**Steps.**",
        "\n".join(f"{number}. {step}" for number, step in enumerate(asked.steps, 1)),
        "**Observed.**",
        "\n".join(f"- {_one_line(seen)}" for seen in result.seen) or "- nothing",
    ]
    if result.heard:
        parts.append(f"**Heard in the room.** {_one_line(result.heard)}")
    return "\n\n".join([*parts, f"**Verdict.** {_one_line(result.verdict)}"])


def _left(made: Sequence[str], left: Sequence[str]) -> str:
    if not left:
        return (
            f"Nothing: of {len(made)} conversations, those in test mode included, Tavus says that "
            "all have ended."
        )
    listed = "\n".join(f"- `{conversation_id}`" for conversation_id in left)
    return f"**These may still run and cost money; end them in Tavus's portal:**\n\n{listed}"


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    lines = [head, ("---", "---"), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())
