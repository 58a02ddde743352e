"""What a packet of audio may cost. Counted, not timed: a loaded machine changes nothing.

All audio is handed over by an event loop in virtual time, through the real connection, speaker and
pump; ``tests.support.packet_cost`` counts. Calls and turns are the same on Python 3.11 to 3.13.
Instructions are those of 3.11; later versions take about 8 % fewer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packet_cost import PACKET_MS, PACKETS

BASE = {
    "echo": {
        "core instructions": 675,
        "core calls": 25.0,
        "instructions": 941,
        "calls": 34.9,
    },
    "track": {
        "core instructions": 1644,
        "core calls": 70.9,
        "instructions": 2192,
        "calls": 96.1,
    },
}
"""Audio path → what a packet costs, as ``python -m tests.support.packet_cost`` printed it last."""

MOST = 1.15
"""Times the base: beyond it the cost is to be brought down, or the base raised for a reason."""

LEAST = 0.7
"""Times the base: below it the base is to be lowered, lest the gain be lost unseen. Nobody gets
there by a newer Python."""

ROOT = Path(__file__).resolve().parents[1]

Costs = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def costs() -> Costs:
    """Count in a process of its own: neither coverage nor a debugger traces there."""
    command = [sys.executable, "-m", "tests.support.packet_cost", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=100
    )
    counted: Costs = json.loads(ran.stdout)
    return counted


@pytest.mark.parametrize("path", BASE)
def test_audio_went_through(costs: Costs, path: str) -> None:
    """As much audio reached the room as came: what was counted is the whole way."""
    assert PACKETS * PACKET_MS == pytest.approx(costs[path]["handed_ms"], abs=2 * PACKET_MS)


@pytest.mark.parametrize("path", BASE)
def test_packet_wakes_nobody(costs: Costs, path: str) -> None:
    """It is taken and handed over where it arrives: no task and no future waits for it."""
    assert 0 == costs[path]["turns"]


@pytest.mark.parametrize("measure", BASE["echo"])
@pytest.mark.parametrize("path", BASE)
def test_packet_stays_in_its_budget(costs: Costs, path: str, measure: str) -> None:
    """Work that every packet brings about is added only on purpose."""
    base, cost = BASE[path][measure], costs[path][measure]
    change = f"{cost:.4g} {measure} a packet on {path}, {cost / base - 1:+.0%} to {base}"

    assert cost <= MOST * base, f"{change}: see where by python -m tests.support.packet_cost {path}"
    assert cost >= LEAST * base, f"{change}: lower the base, if the counting still works"
