from __future__ import annotations

import json

import pytest

from app.doctor.command import run, run_without_settings
from app.doctor.wish import Wish
from tests.support.edge import settings_with

NOWHERE = "http://127.0.0.1:9/sandbox/v2"


def test_well_is_0_and_wrong_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A sandbox of its own is well; an address where nobody listens is not."""
    well = run(Wish(), settings_with())
    wrong = run(Wish(json=True), settings_with(tavus_base_url=NOWHERE))
    said = capsys.readouterr().out
    lines, _, document = said.partition("{")

    assert (0, 1) == (well, wrong)
    assert "ok       persona         pipecat0" in lines
    assert not json.loads("{" + document)["well"]


def test_mistakes_in_settings_are_findings(capsys: pytest.CaptureFixture[str]) -> None:
    """Machines get them in the usual form."""
    assert 1 == run_without_settings(Wish(json=True), ["BRIDGE_PORT: too big", "BRIDGE_HOST: no"])
    assert ["BRIDGE_PORT: too big", "BRIDGE_HOST: no"] == [
        finding["found"] for finding in json.loads(capsys.readouterr().out)["findings"]
    ]


def test_made_persona_is_printed_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A sandbox that was started for it does not keep it, which is said."""
    code = run(Wish(create_persona=True), settings_with(audio_path="track"))
    said = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert said[1] == f"TAVUS_PERSONA_ID={said[0].split()[1].rstrip(';')}"
    assert said[2].startswith("The sandbox that made it is gone")


def test_persona_that_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason."""
    assert 1 == run(Wish(create_persona=True), settings_with(tavus_base_url=NOWHERE))
    assert capsys.readouterr().err.startswith("avatar-bridge: no persona was made: Tavus cannot")
