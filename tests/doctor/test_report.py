from __future__ import annotations

import io
import json

from rich.console import Console

from app.doctor.finding import ok, warning, wrong
from app.doctor.report import as_json, show

FINDINGS = (ok("settings", "room [daily]"), warning("replica", "none", "name one"))


def test_finding_is_one_line_with_its_advice_below() -> None:
    """Lines are plain where there is no terminal, and no markup is made of what they say."""
    console = Console(file=io.StringIO(), highlight=False, soft_wrap=True, width=200)
    show(console, [*FINDINGS, wrong("Daily", "closed", "open it")])

    assert isinstance(console.file, io.StringIO)
    assert [
        "ok       settings        room [daily]",
        "warning  replica         none",
        "                         → name one",
        "wrong    Daily           closed",
        "                         → open it",
        "1 ok, 1 to look at, 1 wrong",
    ] == console.file.getvalue().splitlines()


def test_machines_get_json() -> None:
    """Every finding has the same four fields."""
    assert {
        "well": True,
        "findings": [
            {"check": "settings", "level": "ok", "found": "room [daily]", "advice": None},
            {"check": "replica", "level": "warning", "found": "none", "advice": "name one"},
        ],
    } == json.loads(as_json(FINDINGS))
