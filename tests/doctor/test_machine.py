from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from app.doctor.finding import Level
from app.doctor.machine import (
    SDK,
    SDK_RANGE,
    examine_api_keys,
    examine_data_dir,
    examine_machine,
    examine_public_url,
    examine_sdk,
    installed,
)
from tests.support.edge import settings_with

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"api_keys": "me:secret-key"}


def test_default_settings_are_well(tmp_path: Path) -> None:
    """What ``make run`` starts with leaves nothing to look at."""
    findings = examine_machine(settings_with(data_dir=tmp_path))

    assert {Level.OK} == {finding.level for finding in findings}
    assert [None] * 5 == [finding.advice for finding in findings]


@pytest.mark.parametrize(
    ("version", "needed", "level"),
    [
        ("0.36.0", True, Level.OK),
        ("0.40.2", True, Level.OK),
        ("0.36", True, Level.OK),
        ("0.35.9", True, Level.WARNING),
        ("1.0.0", True, Level.WARNING),
        (None, True, Level.WRONG),
        (None, False, Level.WARNING),
    ],
)
def test_sdk_must_be_one_that_was_tried(version: str | None, needed: bool, level: Level) -> None:
    """Without it there are no Daily rooms; what to install is said."""
    finding = examine_sdk(version, needed=needed)

    assert level is finding.level
    assert (level is not Level.OK) is ("pip install 'daily-python>=0.36,<1'" in str(finding.advice))


def test_sdk_range_is_that_of_the_package() -> None:
    """What is checked is what is installed from ``pyproject.toml``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (major, minor), (below, _) = SDK_RANGE

    assert f"{SDK}>={major}.{minor},<{below}" in project["dependencies"]
    assert installed(SDK) is not None
    assert installed("no-such-package") is None


def test_data_dir_is_written_to(tmp_path: Path) -> None:
    """A folder that is there is tried, one that is not can be made, and neither is changed."""
    there = examine_data_dir(tmp_path)
    to_come = examine_data_dir(tmp_path / "a" / "b")

    assert (Level.OK, Level.OK) == (there.level, to_come.level)
    assert [] == list(tmp_path.iterdir())


def test_data_dir_that_is_a_file_is_wrong(tmp_path: Path) -> None:
    """Neither a file nor a place below one can hold anything."""
    file = tmp_path / "file"
    file.touch()

    assert Level.WRONG is examine_data_dir(file).level
    assert Level.WRONG is examine_data_dir(file / "data").level


def test_data_dir_that_takes_no_files_is_wrong() -> None:
    """The kernel's own folders refuse even root."""
    finding = examine_data_dir(Path("/proc"))

    assert Level.WRONG is finding.level
    assert "BRIDGE_DATA_DIR" in str(finding.advice)


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, Level.OK),
        ({"public_url": "https://bridge.example.com/tavus", **KEYS}, Level.OK),
        ({"public_url": "http://localhost:8080"}, Level.OK),
        ({"public_url": "http://bridge.example.com", **KEYS}, Level.WARNING),
        ({"public_url": "http://localhost:1", "tavus_api_key": "k", **KEYS}, Level.WARNING),
        ({"public_url": "https://bridge.example.com"}, Level.WRONG),
        ({"public_url": "https://me:hidden@bridge.example.com", **KEYS}, Level.WRONG),
        ({"public_url": "https://bridge.example.com?a=hidden", **KEYS}, Level.WRONG),
        ({"public_url": "https://bridge.example.com#hidden", **KEYS}, Level.WRONG),
    ],
)
def test_public_url_must_be_of_use(settings: dict[str, Any], level: Level) -> None:
    """Clients and Tavus must reach it, keys must not go in the clear, and no secret is shown."""
    finding = examine_public_url(settings_with(**settings))

    assert level is finding.level
    assert "hidden" not in f"{finding}"


@pytest.mark.parametrize(
    ("settings", "level"),
    [({}, Level.OK), ({"host": "0.0.0.0", **KEYS}, Level.OK), (KEYS, Level.OK)],
)
def test_api_keys_guard_what_is_open(settings: dict[str, Any], level: Level) -> None:
    """Who can reach the service can spend money; keys are counted, never shown."""
    finding = examine_api_keys(settings_with(**settings))

    assert level is finding.level
    assert "secret-key" not in f"{finding}"


def test_open_service_without_keys_is_wrong() -> None:
    """Settings refuse it; should one come past them, it is told."""
    settings = settings_with().model_copy(update={"host": "0.0.0.0"})

    assert Level.WRONG is examine_api_keys(settings).level
