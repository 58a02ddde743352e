from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse

from app import errors
from app.core.spec import Status
from app.runtime.ended import Ended
from app.runtime.registry import MAX_ENDED, AnySession, Registry
from app.runtime.runner import Runner
from tests.support.clock import settle
from tests.support.world import S, World, alone, spec

HOUR = 3600 * S


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """One process's surroundings, with room for three sessions."""
    made = World(max_sessions=3)
    yield made
    await made.close()


@pytest.fixture
async def registry(world: World) -> AsyncIterator[Registry]:
    """A registry that is closed at last."""
    made = Registry(world.resources)
    yield made
    closing = asyncio.create_task(made.close())
    await world.clock.run(5 * S)
    await closing


async def create(
    registry: Registry, key: str | None = None, body: str = "a", owner: str = "me", **changes: Any
) -> tuple[AnySession, bool]:
    """Create a session."""
    return await registry.create(spec(**changes), owner=owner, key=key, body_hash=body)


def refusal(status: int, text: str) -> JSONResponse:
    """Make an error of Tavus."""
    return JSONResponse({"message": text}, status_code=status)


# --- sessions


async def test_create_answers_with_a_conversation(world: World, registry: Registry) -> None:
    """A new session is alive, found by its id, and has its conversation."""
    session, replayed = await create(registry)

    assert not replayed
    assert session is registry.get(session.session_id)
    assert [session] == registry.live()
    assert world.tavus.active() == [session.view().conversation_id]


async def test_limit_holds_and_ends_make_room(registry: Registry) -> None:
    """As many sessions run as may; one that ended makes room."""
    sessions = [(await create(registry))[0] for _ in range(3)]
    with pytest.raises(errors.TooManySessions):
        await create(registry)
    await sessions[0].stop("deleted")
    await create(registry)

    assert 3 == len(registry.live())


async def test_create_outlives_its_caller(world: World, registry: Registry) -> None:
    """A caller that hangs up has a session all the same, and its key leads there."""
    world.tavus.hold = asyncio.Event()
    creating = asyncio.create_task(create(registry, "k"))
    await settle()
    creating.cancel()
    world.tavus.hold.set()
    await settle()
    session, replayed = await create(registry, "k")

    assert creating.cancelled()
    assert replayed
    assert [session] == registry.live()
    assert 1 == len(world.tavus.conversations)


async def test_refused_create_is_no_session(world: World, registry: Registry) -> None:
    """What Tavus refused is raised, and not listed."""
    world.tavus.next_answers.append(refusal(402, "The user is out of conversational credits."))
    with pytest.raises(errors.TavusOutOfCredits):
        await create(registry)

    assert ([], None) == registry.page(status=None, limit=10, cursor=None)
    assert [] == registry.live()


async def test_ended_session_can_only_be_looked_at(registry: Registry) -> None:
    """It keeps its view for an hour, refuses everything, and can be stopped again."""
    session, _ = await create(registry, conversation={"x": "y" * 1000})
    await session.stop("deleted")
    ended = registry.get(session.session_id)
    await ended.stop("deleted")
    ended.touch()

    assert isinstance(ended, Ended)
    assert Status.ENDED is ended.view().status
    assert {} == ended.view().spec.conversation
    for refused in (ended.interrupt(), ended.interact("x", {}), ended.wait_ready()):
        with pytest.raises(errors.SessionOver):
            await refused
    with pytest.raises(errors.SessionOver):
        registry.runner(session.session_id)


async def test_ended_sessions_are_forgotten(world: World, registry: Registry) -> None:
    """After an hour an ended session is unknown."""
    session, _ = await create(registry)
    await session.stop("deleted")
    await world.clock.run(HOUR - 1)
    known = registry.get(session.session_id)
    await world.clock.run(1)

    assert session.session_id == known.session_id
    with pytest.raises(errors.SessionNotFound):
        registry.get(session.session_id)


async def test_only_the_last_ended_are_kept(registry: Registry) -> None:
    """However many end within an hour, a thousand stay readable."""
    first, _ = await create(registry)
    await first.stop("deleted")
    for number in range(MAX_ENDED - 1):
        registry._ended[f"s{number}"] = (registry._clock.now(), Ended(first.view()))
    last, _ = await create(registry)
    await last.stop("deleted")

    assert MAX_ENDED == len(registry._ended)
    with pytest.raises(errors.SessionNotFound):
        registry.get(first.session_id)
    assert last.session_id == registry.get(last.session_id).session_id


async def test_pages_have_the_newest_first(world: World, registry: Registry) -> None:
    """Pages follow each other without a gap, living and ended ones together."""
    ids = []
    for _ in range(3):
        session, _ = await create(registry)
        ids.append(session.session_id)
        await world.clock.run(S)
    await registry.runner(ids[1]).stop("deleted")
    one, cursor = registry.page(status=None, limit=2, cursor=None)
    two, end = registry.page(status=None, limit=2, cursor=cursor)
    ended, _ = registry.page(status=Status.ENDED, limit=2, cursor=None)

    assert ids[::-1] == [view.session_id for view in one + two]
    assert end is None
    assert [ids[1]] == [view.session_id for view in ended]


@pytest.mark.parametrize("cursor", ["", "x", "x.y", "1"])
async def test_foreign_cursor_is_refused(registry: Registry, cursor: str) -> None:
    """A cursor that is none of ours is the caller's mistake."""
    with pytest.raises(errors.InvalidRequest):
        registry.page(status=None, limit=2, cursor=cursor)


# --- Idempotency-Keys


async def test_same_key_is_the_same_session(world: World, registry: Registry) -> None:
    """A replay has the session of the first request, also when that has ended, for 24 hours."""
    first, _ = await create(registry, "k")
    again, replayed = await create(registry, "k")
    await first.stop("deleted")
    await world.clock.run(24 * HOUR - 1)
    late, _ = await create(registry, "k")
    await world.clock.run(1)
    new, fresh = await create(registry, "k")

    assert replayed
    assert first is again
    assert first.session_id == late.session_id != new.session_id
    assert not fresh
    assert 2 == len(world.tavus.conversations)


async def test_keys_belong_to_their_owner(registry: Registry) -> None:
    """Two API keys may choose the same Idempotency-Key."""
    mine, _ = await create(registry, "k", owner="me")
    yours, _ = await create(registry, "k", owner="you")

    assert mine is not yours


async def test_same_key_for_another_body_is_a_conflict(registry: Registry) -> None:
    """A key stands for one body."""
    await create(registry, "k", "a")
    with pytest.raises(errors.IdempotencyConflict):
        await create(registry, "k", "b")


async def test_key_is_taken_while_the_first_runs(world: World, registry: Registry) -> None:
    """While Tavus has not answered a repeat is told to wait; another body is a conflict."""
    world.tavus.hold = asyncio.Event()
    creating = asyncio.create_task(create(registry, "k"))
    await settle()
    with pytest.raises(errors.IdempotencyInProgress) as waiting:
        await create(registry, "k")
    with pytest.raises(errors.IdempotencyConflict):
        await create(registry, "k", "b")
    world.tavus.hold.set()
    await creating

    assert 1000 == waiting.value.retry_after_ms
    assert 1 == len(world.tavus.conversations)


async def test_key_is_free_when_tavus_said_no(world: World, registry: Registry) -> None:
    """A create that Tavus refused can be repeated under its key."""
    world.tavus.next_answers.append(refusal(429, "slow down"))
    with pytest.raises(errors.TavusRateLimited):
        await create(registry, "k")
    _, replayed = await create(registry, "k")

    assert not replayed
    assert 1 == len(world.tavus.conversations)


async def test_key_is_not_free_when_nobody_knows(world: World, registry: Registry) -> None:
    """A create whose answer was lost may have been billed: its repeat gets the same error."""
    world.tavus.next_answers.append(JSONResponse({"no": "id"}))
    raised = []
    for _ in range(3):
        with pytest.raises(errors.TavusTimeout) as caught:
            await create(registry, "k")
        raised.append(caught.value)

    assert 1 == len([r for r in world.tavus.requests if r[1] == "/v2/conversations"])
    assert 3 == len({id(error) for error in raised})


async def test_key_is_free_when_we_refused(world: World, registry: Registry) -> None:
    """What never reached Tavus took no key."""
    others = [(await create(registry))[0] for _ in range(3)]
    with pytest.raises(errors.TooManySessions):
        await create(registry, "k")
    await others[0].stop("deleted")
    _, replayed = await create(registry, "k")

    assert not replayed
    assert 4 == len(world.tavus.conversations)


# --- across processes


async def test_next_process_ends_and_replays(world: World, registry: Registry) -> None:
    """After a kill its conversations end, a key leads to the session, and ids stay unknown."""
    session, _ = await create(registry, "k", metadata={"customer": "42"})
    await create(registry)
    next_world = World(world)
    next_registry = Registry(next_world.resources)
    await next_registry.restore()
    await next_world.bills.settled()
    replay, replayed = await create(next_registry, "k")

    assert [] == world.tavus.active()
    assert replayed
    assert isinstance(replay, Ended)
    assert (session.session_id, session.view().conversation_url, {"customer": "42"}) == (
        replay.session_id,
        replay.view().conversation_url,
        replay.view().spec.metadata,
    )
    assert (Status.FAILED, "internal") == (replay.view().status, replay.view().end_reason)
    with pytest.raises(errors.IdempotencyConflict):
        await create(next_registry, "k", "b")
    with pytest.raises(errors.SessionNotFound):
        next_registry.get(session.session_id)
    await next_registry.close()
    await next_world.bills.close()
    await next_world.http.aclose()


async def test_answer_is_on_disk_before_it_is_given(world: World, registry: Registry) -> None:
    """A key leads to its session even when the process dies right after the answer."""
    session, _ = await create(registry, "k")
    (kept,) = await world.journal.keys(world.clock.wall_ms(), 10)
    await session.stop("deleted")
    await settle()
    (ended,) = await world.journal.keys(world.clock.wall_ms(), 10)

    assert kept.answer is not None
    assert b'"status":"starting"' in kept.answer
    assert ended.answer is not None
    assert b'"end_reason":"deleted"' in ended.answer


async def test_full_disk_makes_no_session(world: World, registry: Registry) -> None:
    """What could not be found again after a crash is not made; the key stays free."""
    world.disk.broken = True
    with pytest.raises(errors.NotReady):
        await create(registry, "k")
    world.disk.broken = False
    _, replayed = await create(registry, "k")

    assert not replayed
    assert 1 == len(world.tavus.conversations)


async def test_close_looks_for_what_is_lost(world: World) -> None:
    """A conversation whose answer was lost is ended before the process goes, if it can be."""
    registry = Registry(world.resources)
    world.tavus.lose_answers = True
    creating = asyncio.create_task(create(registry))
    closing = asyncio.create_task(registry.close())
    await asyncio.wait({creating, closing})

    assert isinstance(creating.exception(), errors.TavusTimeout)
    assert [] == world.tavus.active()


# --- the end


async def test_drain_tells_waits_and_ends(world: World, registry: Registry) -> None:
    """New sessions are refused, every client is told, speech may end, then all end as drained."""
    session, _ = await create(registry)
    assert isinstance(session, Runner)
    heard = session.bus.subscribe()
    session.speaker.voice.intake.audio(bytes(48_000), world.clock.now())
    session.speaker.voice.intake.end()
    session.speaker.changed()
    await settle()
    draining = asyncio.create_task(registry.drain(3.0))
    await world.clock.run(1 * S)
    with pytest.raises(errors.Draining):
        await create(registry)
    early = session.over
    await world.clock.run(2 * S)
    await draining

    assert not early
    assert "drained" == session.view().end_reason
    assert 4503 == heard.close_code
    assert [] == world.tavus.active()


async def test_second_drain_hurries_the_first(world: World, registry: Registry) -> None:
    """Without grace speech is cut, and every client is told the end all the same."""
    session, _ = await create(registry)
    assert isinstance(session, Runner)
    heard = session.bus.subscribe()
    session.speaker.voice.intake.audio(bytes(480_000), world.clock.now())
    session.speaker.changed()
    draining = asyncio.create_task(registry.drain(60.0))
    await world.clock.run(1 * S)
    early = session.over
    await registry.drain(0.0)
    await world.clock.run(1 * S)
    await draining

    told = [json.loads(text)["type"] for text in heard._waiting]
    assert not early
    assert 4503 == heard.close_code
    assert ["utterance.done", "session.ended"] == told[-2:]
    assert [] == world.tavus.active()


async def test_drain_of_silence_takes_no_time(world: World, registry: Registry) -> None:
    """Nobody waits for a replica that does not speak."""
    await create(registry)
    before = world.clock.now()
    await registry.drain(3.0)

    assert before == world.clock.now()
    assert [] == registry.live()


async def test_close_waits_for_tavus(world: World) -> None:
    """The process stays until every conversation is confirmed to have ended, those before too."""
    registry = Registry(world.resources)
    early, _ = await create(registry)
    await create(registry)
    world.tavus.next_answers += [refusal(500, "oops"), refusal(500, "oops")]
    await early.stop("deleted")
    await settle()
    closing = asyncio.create_task(registry.close())
    await settle()
    waited = not closing.done()
    await world.clock.run(1 * S)
    await closing

    assert waited
    assert [] == world.tavus.active()


async def test_close_waits_for_a_create_in_flight(world: World) -> None:
    """A conversation that Tavus makes during the shutdown is ended, too."""
    registry = Registry(world.resources)
    world.tavus.hold = asyncio.Event()
    creating = asyncio.create_task(create(registry))
    await settle()
    closing = asyncio.create_task(registry.close())
    await settle()
    world.tavus.hold.set()
    await asyncio.wait({creating, closing})

    assert 1 == len(world.tavus.conversations)
    assert [] == world.tavus.active()
    assert creating.exception() is None


async def test_close_gives_up_in_time(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A Tavus that never confirms is waited for 4 s, drain and close together, then named."""
    caplog.set_level(logging.ERROR)
    registry = Registry(world.resources)
    session, _ = await create(registry)
    world.tavus.hold = asyncio.Event()
    ending = asyncio.create_task(registry.drain(0.0))
    await world.clock.run(4 * S - 1)
    early = ending.done()
    await world.clock.run(1)
    await ending
    await registry.close()

    assert not early
    assert [
        f"{session.session_id}: its conversation may still run at Tavus; the next start ends it"
    ] == caplog.messages


async def test_nothing_holds_an_ended_session(world: World, registry: Registry) -> None:
    """Ended sessions are small: runner, room and tasks are gone, also under a key and an error."""
    session, _ = await create(registry, "k")
    world.tavus.next_answers.append(JSONResponse({"no": "id"}))
    with pytest.raises(errors.TavusTimeout):
        await create(registry, "k2")
    world.prepare = alone
    failed, _ = await create(registry, "k3", ready_timeout_s=1.0)
    await world.clock.run(1 * S)
    with pytest.raises(errors.SessionOver):
        await registry.get(failed.session_id).wait_ready()
    await session.stop("deleted")
    await settle()
    left = [weakref.ref(session), weakref.ref(failed)]
    del session, failed
    world.rooms.clear()
    gc.collect()

    assert [None, None] == [ref() for ref in left]
    assert 0 == len(registry._tasks)
    assert {} == registry._attempts
