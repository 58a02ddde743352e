from __future__ import annotations

from typing import get_args

import pytest

from app.core import commands as c
from app.core import events as e
from app.core.renewal import AHEAD_NS, FACTS, TABLE, Fact, Renewal, Stage, begins_at
from app.errors import TavusOutOfCredits

S = 1_000_000_000
FAILURE = TavusOutOfCredits()

SAMPLES: dict[type[Fact], Fact] = {
    type(fact): fact
    for fact in (
        e.RenewalDue(),
        e.NextCreated(),
        e.NextRefused(FAILURE),
        e.NextReady(),
        e.NextFailed(FAILURE),
        e.VoiceRested(),
    )
}

WAY: dict[Stage, tuple[type[Fact], ...]] = {
    Stage.NONE: (),
    Stage.CREATING: (e.RenewalDue,),
    Stage.JOINING: (e.RenewalDue, e.NextCreated),
    Stage.READY: (e.RenewalDue, e.NextCreated, e.NextReady),
    Stage.UNWANTED: (e.RenewalDue,),
    Stage.CLOSED: (),
}


def renewal_at(stage: Stage) -> Renewal:
    """One that came to ``stage`` by its usual way."""
    renewal = Renewal()
    for kind in WAY[stage]:
        renewal.handle(SAMPLES[kind])
    if stage in {Stage.UNWANTED, Stage.CLOSED}:
        renewal.close()

    assert stage is renewal.stage
    return renewal


def test_the_table_is_whole() -> None:
    """Every pair of a stage and a fact is there: all facts come from outside."""
    assert set(get_args(Fact)) == set(FACTS) == set(SAMPLES)
    assert {stage: set(FACTS) for stage in Stage} == {stage: set(TABLE[stage]) for stage in TABLE}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("kind", SAMPLES)
def test_the_table_is_the_law(stage: Stage, kind: type[Fact]) -> None:
    """A fact moves to its stage; one that moves nothing orders nothing, unless it costs money."""
    renewal = renewal_at(stage)
    orders = renewal.handle(SAMPLES[kind])

    assert TABLE[stage][kind] is renewal.stage
    if renewal.stage is stage:
        turned_up = kind is e.NextCreated and stage in {Stage.NONE, Stage.CLOSED}

        assert ((c.DropNext(),) if turned_up else ()) == orders


@pytest.mark.parametrize(
    ("stage", "fact", "orders"),
    [
        (Stage.NONE, e.RenewalDue(), (c.CreateNext(),)),
        (Stage.CREATING, e.NextCreated(), (c.StartTimer(c.Timer.NEXT), c.JoinNext())),
        (Stage.CREATING, e.NextRefused(FAILURE), (c.TellError(FAILURE), c.RenewLater(2))),
        (
            Stage.JOINING,
            e.NextReady(),
            (c.StopTimer(c.Timer.NEXT), c.StopTimer(c.Timer.EXPIRY)),
        ),
        (
            Stage.JOINING,
            e.NextFailed(FAILURE),
            (c.StopTimer(c.Timer.NEXT), c.DropNext(), c.TellError(FAILURE), c.RenewLater(2)),
        ),
        (Stage.READY, e.VoiceRested(), (c.MoveOver(),)),
        (Stage.UNWANTED, e.NextCreated(), (c.DropNext(),)),
        (Stage.UNWANTED, e.NextRefused(FAILURE), ()),
    ],
)
def test_the_orders(stage: Stage, fact: Fact, orders: tuple[c.Command, ...]) -> None:
    """Each step of the way brings exactly these."""
    assert orders == renewal_at(stage).handle(fact)


def test_attempts_come_less_and_less_often() -> None:
    """And quickly again after one that went well."""
    renewal = Renewal()
    waits = []
    for _ in range(6):
        renewal.handle(e.RenewalDue())
        *_, later = renewal.handle(e.NextRefused(FAILURE))
        waits.append(later)
    for fact in (e.RenewalDue(), e.NextCreated(), e.NextReady(), e.VoiceRested(), e.RenewalDue()):
        renewal.handle(fact)

    assert [c.RenewLater(after_s) for after_s in (2, 4, 8, 16, 30, 30)] == waits
    assert c.RenewLater(2) == renewal.handle(e.NextRefused(FAILURE))[-1]


@pytest.mark.parametrize("stage", Stage)
def test_the_end(stage: Stage) -> None:
    """What exists is dropped, what may exist is awaited; the second time does nothing."""
    renewal = renewal_at(stage)
    exists = stage in {Stage.JOINING, Stage.READY}
    may_exist = stage in {Stage.CREATING, Stage.UNWANTED}

    assert ((c.DropNext(),) if exists else ()) == renewal.close()
    assert () == renewal.close()
    assert (Stage.UNWANTED if may_exist else Stage.CLOSED) is renewal.stage


def test_the_next_one_is_asked_for_ahead() -> None:
    """As early as may be needed, but not before half of a short life is over."""
    assert 3600 * S - AHEAD_NS == begins_at(0, 3600 * S)
    assert 13 * S == begins_at(10 * S, 16 * S)
