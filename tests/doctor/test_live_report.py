from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.doctor.experiment import Experiment, Result
from app.doctor.live_report import Circumstances, markdown
from app.doctor.not_asked import NOT_ASKED

BEGUN = datetime(2026, 11, 22, 9, tzinfo=UTC)
WHERE = Circumstances(
    begun=BEGUN,
    ended=BEGUN + timedelta(seconds=90),
    url="http://localhost:8080",
    room="daily",
    name="the test",
    stopped_by=None,
)
RESULT = Result(
    Experiment("A | or b?", "Surely a.", ("Look.", "Look again.")),
    seen=["a", "a\nb"],
    heard="a hum",
    verdict="b",
)


def test_report_holds_everything() -> None:
    """The verdict stands in the table and below its experiment; lines and bars break no table."""
    report = markdown(WHERE, [RESULT], ["c1"], [])

    assert "took 90 s" in report
    assert "| A \\| or b? | b |" in report
    assert "### A | or b?\n\n**Hypothesis.** Surely a." in report
    assert "1. Look.\n2. Look again." in report
    assert "- a\n- a b" in report
    assert "**Heard in the room.** a hum\n\n**Verdict.** b" in report
    assert (
        "of 1 conversations, those in test mode included, Tavus says that all have ended" in report
    )
    assert not [question for question, why in NOT_ASKED if f"| {question} | {why} |" not in report]


def test_report_says_what_may_still_cost_money() -> None:
    """Whoever reads it can end it."""
    report = markdown(WHERE, [RESULT], ["c1", "c2"], ["c2"])

    assert "may still run and cost money" in report
    assert report.endswith("\n\n- `c2`\n")


def test_report_of_a_test_that_was_stopped_says_so() -> None:
    """What is missing was not asked; what nobody heard is left out."""
    stopped = replace(WHERE, stopped_by="SIGINT")
    report = markdown(stopped, [Result(RESULT.experiment)], [], [])

    assert "**Stopped early by SIGINT" in report
    assert "- nothing" in report
    assert "Heard" not in report
