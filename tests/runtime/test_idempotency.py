from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app import errors
from app.core.spec import Status
from app.runtime.ended import Ended
from app.runtime.idempotency import KEEP_NS, MAX_KEYS, IdempotencyKeys
from app.runtime.journal import Claim, Intent, Journal
from tests.support.clock import FakeClock
from tests.support.journal import AtOnce
from tests.support.world import S, Session, World

CLAIM = Claim("me", "k", "a")
OTHER_BODY = replace(CLAIM, body_hash="b")
INTENT = Intent("sess_1", "bridge", "here", "Call [bridge/sess_1]")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def disk() -> AtOnce:
    """A disk that works."""
    return AtOnce()


@pytest.fixture
def journal(disk: AtOnce) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(sqlite3.connect(":memory:"), disk)
    yield journal
    journal.close()


@pytest.fixture
def keys(clock: FakeClock, journal: Journal) -> IdempotencyKeys:
    """No keys."""
    return IdempotencyKeys(clock, journal)


def test_new_key_is_nobodys(keys: IdempotencyKeys) -> None:
    """The first request with a key has nothing to replay; other slots are other keys."""
    keys.claim(CLAIM, "sess_1")

    assert keys.replay(Claim("you", "k", "a")) is None
    assert keys.replay(Claim("me", "l", "a")) is None


def test_claimed_key_is_in_progress(keys: IdempotencyKeys) -> None:
    """Until there is an outcome a repeat is told when to ask again; another body never fits."""
    keys.claim(CLAIM, "sess_1")
    with pytest.raises(errors.IdempotencyInProgress) as waiting:
        keys.replay(CLAIM)
    with pytest.raises(errors.IdempotencyConflict):
        keys.replay(OTHER_BODY)

    assert 1000 == waiting.value.retry_after_ms


async def test_outcome_is_replayed_for_a_day(clock: FakeClock, keys: IdempotencyKeys) -> None:
    """The session is the same for 24 hours; then the key is new."""
    world = World()
    runner = Session(world).runner
    keys.fulfil(keys.claim(CLAIM, "sess_1"), runner)
    clock.advance(KEEP_NS - 1)
    replayed = keys.replay(CLAIM)
    clock.advance(1)

    assert runner is replayed
    assert keys.replay(CLAIM) is None
    keys.claim(OTHER_BODY, "sess_2")
    with pytest.raises(errors.IdempotencyInProgress):
        keys.replay(OTHER_BODY)
    await keys.close()
    await world.close()


@pytest.mark.parametrize("error", [errors.TavusRejected(), errors.NotReady()])
async def test_refusal_frees_the_key(keys: IdempotencyKeys, error: errors.BridgeError) -> None:
    """What Tavus refused, or was never asked, can be asked for again."""
    keys.refuse(keys.claim(CLAIM, "sess_1"), error)

    assert keys.replay(CLAIM) is None
    await keys.close()


@pytest.mark.parametrize("error", [errors.TavusTimeout("no answer"), errors.Internal()])
def test_unknown_outcome_stays(keys: IdempotencyKeys, error: errors.BridgeError) -> None:
    """What Tavus may have accepted is never asked for again: each repeat gets the same error."""
    keys.refuse(keys.claim(CLAIM, "sess_1"), error)
    for _ in range(2):
        with pytest.raises(type(error), match=error.detail) as caught:
            keys.replay(CLAIM)

        assert error is not caught.value


def test_oldest_go_first(clock: FakeClock, keys: IdempotencyKeys) -> None:
    """The number of keys is bounded, and those whose day is over do not count."""
    for number in range(MAX_KEYS + 1):
        keys.claim(Claim("me", str(number), "a"), "sess_1")

    assert keys.replay(Claim("me", "0", "a")) is None
    with pytest.raises(errors.IdempotencyInProgress):
        keys.replay(Claim("me", "1", "a"))
    clock.advance(KEEP_NS)
    keys.claim(CLAIM, "sess_1")
    assert 1 == len(keys._attempts)


# --- across processes


async def test_session_of_an_earlier_process_is_replayed(
    clock: FakeClock, journal: Journal, keys: IdempotencyKeys
) -> None:
    """A key that outlives its process leads to the session as it was, which is over."""
    world = World()
    runner = Session(world, metadata={"customer": "42"}).runner
    await journal.intend(INTENT, clock.wall_ms(), CLAIM)
    attempt = keys.claim(CLAIM, "sess_1")
    keys.fulfil(attempt, runner)
    await keys.noted(attempt)
    clock.advance(60 * S)
    later = IdempotencyKeys(clock, journal)
    await later.restore()
    replayed = later.replay(CLAIM)

    assert isinstance(replayed, Ended)
    view = replayed.view()
    assert ("sess_1", {"customer": "42"}) == (view.session_id, view.spec.metadata)
    assert (Status.FAILED, "internal") == (view.status, view.end_reason)
    assert clock.wall() == view.ended_at
    assert view.error is not None
    assert "interrupted" in view.error.detail
    with pytest.raises(errors.IdempotencyConflict):
        later.replay(OTHER_BODY)
    clock.advance(KEEP_NS - 60 * S)
    assert later.replay(CLAIM) is None
    await world.close()


async def test_ended_session_of_an_earlier_process_is_replayed(
    clock: FakeClock, journal: Journal, keys: IdempotencyKeys
) -> None:
    """What is replayed of a session that came to its own end says so."""
    world = World()
    session = Session(world)
    await journal.intend(INTENT, clock.wall_ms(), CLAIM)
    attempt = keys.claim(CLAIM, "sess_1")
    keys.fulfil(attempt, session.runner)
    await session.runner.stop("deleted")
    ended = Ended(session.runner.view())
    keys.fulfil(attempt, ended)
    await keys.close()
    later = IdempotencyKeys(clock, journal)
    await later.restore()
    replayed = later.replay(CLAIM)

    assert replayed is not None
    assert ended.view() == replayed.view()
    await world.close()


async def test_lost_create_of_an_earlier_process_is_not_repeated(
    clock: FakeClock, journal: Journal, keys: IdempotencyKeys
) -> None:
    """Tavus may have made something of what nobody heard the answer to."""
    await journal.intend(INTENT, clock.wall_ms(), CLAIM)
    later = IdempotencyKeys(clock, journal)
    await later.restore()

    for _ in range(2):
        with pytest.raises(errors.TavusTimeout, match="interrupted before Tavus answered"):
            later.replay(CLAIM)


async def test_freed_key_is_free_in_the_next_process(
    clock: FakeClock, journal: Journal, keys: IdempotencyKeys
) -> None:
    """What was refused is not remembered."""
    await journal.intend(INTENT, clock.wall_ms(), CLAIM)
    keys.refuse(keys.claim(CLAIM, "sess_1"), errors.TavusRejected())
    await keys.close()
    later = IdempotencyKeys(clock, journal)
    await later.restore()

    assert later.replay(CLAIM) is None


async def test_clock_that_was_put_back_makes_no_key_older(
    clock: FakeClock, journal: Journal
) -> None:
    """A key from the future counts as one of now."""
    await journal.intend(INTENT, clock.wall_ms() + 3_600_000, CLAIM)
    later = IdempotencyKeys(clock, journal)
    await later.restore()
    clock.advance(KEEP_NS)

    assert later.replay(CLAIM) is None


async def test_full_disk_costs_the_memory_of_a_key_only(
    disk: AtOnce, keys: IdempotencyKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be written down is told in the log, and still known to this process."""
    world = World()
    runner = Session(world).runner
    disk.broken = True
    attempt = keys.claim(CLAIM, "sess_1")
    keys.fulfil(attempt, runner)
    await keys.noted(attempt)

    assert runner is keys.replay(CLAIM)
    assert ["sess_1: its Idempotency-Key is not noted"] == caplog.messages
    await world.close()
