"""What one check found out, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, or may work; or it could not be checked."""
    WRONG = "wrong"
    """Sessions will fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. Holds no secret."""

    check: str
    level: Level
    found: str
    advice: str | None = None
    """What to do; always there unless all is well."""


def ok(check: str, found: str) -> Finding:
    """Find nothing to do."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, advice: str) -> Finding:
    """Find something to look at."""
    return Finding(check, Level.WARNING, found, advice)


def wrong(check: str, found: str, advice: str) -> Finding:
    """Find something to put right."""
    return Finding(check, Level.WRONG, found, advice)


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong; warnings are allowed."""
    return all(finding.level is not Level.WRONG for finding in findings)
