"""How findings are shown: for people, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from app.doctor.finding import Finding, Level, is_well

STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.WRONG: "bold red"}


def show(console: Console, findings: Sequence[Finding]) -> None:
    """Print one line a finding, with what to do below it, and what it comes to."""
    for finding in findings:
        level = Text(f"{finding.level:<9}", STYLES[finding.level])
        console.print(Text.assemble(level, f"{finding.check:<16}{finding.found}"))
        if finding.advice is not None:
            console.print(Text(f"{'':25}→ {finding.advice}"))
    count = {level: sum(finding.level is level for finding in findings) for level in Level}
    console.print(
        f"{count[Level.OK]} ok, {count[Level.WARNING]} to look at, {count[Level.WRONG]} wrong",
        markup=False,
    )


def as_json(findings: Sequence[Finding]) -> str:
    """Write ``{"well": bool, "findings": [{"check", "level", "found", "advice"}]}``."""
    shown = [asdict(finding) for finding in findings]
    return json.dumps({"well": is_well(findings), "findings": shown}, indent=2, ensure_ascii=False)
