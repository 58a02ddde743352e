from __future__ import annotations

import asyncio
from functools import partial

import pytest
from starlette.responses import PlainTextResponse

from app.doctor import asked_absence as absence
from app.doctor.experiment import LiveFailed, Result
from tests.support.bench import BenchWorld
from tests.support.call import ScriptedCall, outcome
from tests.support.clock import FakeClock
from tests.support.world import S


async def nobody(world: BenchWorld, seconds: int) -> str:
    """Ask about a room that nobody enters, letting time pass."""
    result = Result(absence.NOBODY)
    asking = asyncio.ensure_future(absence.ask_nobody(world.bench, result, absent_s=8))
    await world.clock.run(seconds * S)
    return await asking


async def test_conversation_that_ends_by_itself_is_seen() -> None:
    """With Tavus's own reason."""
    world = BenchWorld()

    def end() -> None:
        world.tavus.conversations["c000001"] |= {
            "status": "ended",
            "shutdown_reason": "participant_absent_timeout",
        }

    world.clock.call_at(world.clock.now() + 8 * S, end)

    assert "yes, with the reason `participant_absent_timeout`" == await nobody(world, 20)
    assert 8 == world.tavus.requests[0][2]["properties"]["participant_absent_timeout"]


async def test_conversation_that_outlives_its_time_is_ended() -> None:
    """What was learnt costs no more than it must."""
    world = BenchWorld()

    assert (await nobody(world, 20)).startswith("no: ")
    assert [] == world.tavus.active()


async def test_absence_needs_a_conversation() -> None:
    """Without one there is nothing to watch."""
    world = BenchWorld()
    world.tavus.next_answers.append(PlainTextResponse("no slot", 400))

    with pytest.raises(LiveFailed, match="no slot"):
        await nobody(world, 20)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("tavus_shutdown", "no: a bot is nobody"), (None, "yes: the bot alone keeps")],
)
async def test_bot_alone_counts_or_not(reason: str | None, expected: str) -> None:
    """Whether Tavus ends a session that says nothing."""
    call = ScriptedCall(FakeClock())
    if reason is not None:
        ended = {"type": "session.ended", "reason": reason}
        call.clock.call_at(call.clock.now() + 8 * S, partial(call.take, ended))
    ask = absence.ask_only_us(call, Result(absence.ONLY_US), absent_s=8)

    assert (await outcome(call, ask, 20)).startswith(expected)


async def test_session_that_ends_otherwise_settles_nothing() -> None:
    """A replica that never came is another matter."""
    call = ScriptedCall(FakeClock())
    call.take({"type": "session.ended", "reason": "replica_timeout"})

    with pytest.raises(LiveFailed, match="not Tavus"):
        await absence.ask_only_us(call, Result(absence.ONLY_US), absent_s=8)


def test_only_the_time_out_can_end_the_session() -> None:
    """The service's own limits come later; the grace is a quarter, at least three seconds."""
    wish = absence.wish(60)

    assert wish["ready_timeout_s"] <= 60
    assert wish["idle_timeout_s"] > 60 + absence.grace_s(60)
    assert (3, 15) == (absence.grace_s(2), absence.grace_s(60))
