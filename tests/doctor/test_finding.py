from __future__ import annotations

import pytest

from app.doctor.finding import Finding, is_well, ok, warning, wrong


@pytest.mark.parametrize(
    ("findings", "well"),
    [
        ([], True),
        ([ok("a", "b"), warning("a", "b", "c")], True),
        ([ok("a", "b"), wrong("a", "b", "c")], False),
    ],
)
def test_only_what_is_wrong_is_not_well(findings: list[Finding], well: bool) -> None:
    """A warning is to be looked at; it is no failure."""
    assert well is is_well(findings)
