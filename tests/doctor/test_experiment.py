from __future__ import annotations

import pytest

from app.doctor.experiment import NOT_SETTLED, Experiment, LiveFailed, Result, conduct
from app.errors import TavusTimeout

ASKED = Experiment("Why?", "Because.", ("Ask.",))


async def test_verdict_is_what_the_experiment_says() -> None:
    """And what it saw stays with it."""
    result = Result(ASKED)

    async def carry_out(notes: Result) -> str:
        notes.saw("smoke")
        return "fire"

    await conduct(result, carry_out)

    assert ("fire", ["smoke"]) == (result.verdict, result.seen)


@pytest.mark.parametrize("error", [LiveFailed("no wood"), TavusTimeout("no wood")])
async def test_failure_is_a_verdict_too(error: Exception) -> None:
    """One experiment that cannot be made keeps no other from being made."""
    result = Result(ASKED)

    async def carry_out(_: Result) -> str:
        raise error

    await conduct(result, carry_out)

    assert f"{NOT_SETTLED}: no wood" == result.verdict


async def test_bug_of_ours_is_no_verdict() -> None:
    """Nobody shall take it for a fact about Tavus."""

    async def carry_out(_: Result) -> str:
        raise KeyError

    with pytest.raises(KeyError):
        await conduct(Result(ASKED), carry_out)
