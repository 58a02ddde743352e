from __future__ import annotations

import pytest

from app import errors
from app.runtime.idempotency import KEEP_NS, MAX_KEYS, IdempotencyKeys
from tests.support.clock import FakeClock
from tests.support.world import Session, World

SLOT = ("me", "k")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def keys(clock: FakeClock) -> IdempotencyKeys:
    """No keys."""
    return IdempotencyKeys(clock)


def test_new_key_is_nobodys(keys: IdempotencyKeys) -> None:
    """The first request with a key has nothing to replay; other slots are other keys."""
    keys.claim(SLOT, "a")

    assert keys.replay(("you", "k"), "a") is None
    assert keys.replay(("me", "l"), "a") is None


def test_claimed_key_is_in_progress(keys: IdempotencyKeys) -> None:
    """Until there is an outcome a repeat is told when to ask again; another body never fits."""
    keys.claim(SLOT, "a")
    with pytest.raises(errors.IdempotencyInProgress) as waiting:
        keys.replay(SLOT, "a")
    with pytest.raises(errors.IdempotencyConflict):
        keys.replay(SLOT, "b")

    assert 1000 == waiting.value.retry_after_ms


async def test_outcome_is_replayed_for_a_day(clock: FakeClock, keys: IdempotencyKeys) -> None:
    """The session is the same for 24 hours; then the key is new."""
    world = World()
    runner = Session(world).runner
    await world.http.aclose()
    keys.claim(SLOT, "a").session = runner
    clock.advance(KEEP_NS - 1)
    replayed = keys.replay(SLOT, "a")
    clock.advance(1)

    assert runner is replayed
    assert keys.replay(SLOT, "a") is None
    keys.claim(SLOT, "b")
    with pytest.raises(errors.IdempotencyInProgress):
        keys.replay(SLOT, "b")


def test_refusal_frees_the_key(keys: IdempotencyKeys) -> None:
    """What Tavus refused can be asked for again."""
    keys.refuse(keys.claim(SLOT, "a"), errors.TavusRejected())

    assert keys.replay(SLOT, "a") is None


@pytest.mark.parametrize("error", [errors.TavusTimeout("no answer"), errors.Internal()])
def test_unknown_outcome_stays(keys: IdempotencyKeys, error: errors.BridgeError) -> None:
    """What Tavus may have accepted is never asked for again: each repeat gets the same error."""
    keys.refuse(keys.claim(SLOT, "a"), error)
    for _ in range(2):
        with pytest.raises(type(error), match=error.detail) as caught:
            keys.replay(SLOT, "a")

        assert error is not caught.value


def test_oldest_go_first(clock: FakeClock, keys: IdempotencyKeys) -> None:
    """The number of keys is bounded, and those whose day is over do not count."""
    for number in range(MAX_KEYS + 1):
        keys.claim(("me", str(number)), "a")

    assert keys.replay(("me", "0"), "a") is None
    with pytest.raises(errors.IdempotencyInProgress):
        keys.replay(("me", "1"), "a")
    clock.advance(KEEP_NS)
    keys.claim(SLOT, "a")
    assert 1 == len(keys._attempts)
