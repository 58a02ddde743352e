from __future__ import annotations

from typing import get_args

import pytest

from app.core import events as e
from app.core.session_table import OUTSIDE, TABLE, Fact, State


def test_all_but_our_own_wishes_come_from_outside() -> None:
    """Only a start and a stop are ours; everything else may come at any time."""
    assert {e.StartRequested, e.StopRequested} == set(get_args(Fact)) - set(OUTSIDE)
    assert len(set(OUTSIDE)) == len(OUTSIDE)


@pytest.mark.parametrize("state", State)
def test_no_outside_fact_is_illegal(state: State) -> None:
    """Every pair of a state and an outside fact is in the table."""
    assert set() == set(OUTSIDE) - set(TABLE[state])


def test_only_a_second_start_is_illegal() -> None:
    """The absent pairs are these, which only a bug of ours can bring about."""
    kinds = get_args(Fact)
    absent = {(state, kind) for state in State for kind in kinds if kind not in TABLE[state]}

    assert {(state, e.StartRequested) for state in State if state is not State.NEW} == absent
