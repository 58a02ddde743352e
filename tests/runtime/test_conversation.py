from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.responses import JSONResponse, Response

from app import errors
from app.core import events as e
from tests.support.clock import settle
from tests.support.room import REPLICA, FakeRoom
from tests.support.world import S, World, alone


def _refuse(status: int, text: str) -> Response:
    """Make a refusal of Tavus."""
    return JSONResponse({"message": text}, status_code=status)


async def test_create_that_breaks_is_a_bug_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is told what broke; nothing is left to wait for."""
    caplog.set_level(logging.CRITICAL)
    world = World()
    world.tavus.next_answers.append(ValueError("a bug"))
    async with world.session() as session:
        with pytest.raises(errors.Internal):
            await session.runner.wait_created()

    assert session.runner.gone.is_set()
    assert 1 == session.overs


async def test_a_room_is_told_the_name_of_its_replica() -> None:
    """Where no user id says who is the replica, it is found by that."""
    world = World()
    async with world.session() as session:
        created = session.runner._conversations.current.created

    assert created is not None
    assert "Anna" == created.replica_name


async def test_callbacks_have_an_address_where_we_have_one() -> None:
    """Tavus is told where to post, by the session's own secret; our caller's wish does not win."""
    world = World(public_url="https://bridge.example")
    conversation = {"callback_url": "https://elsewhere.example"}
    async with world.session(conversation=conversation):
        (body,) = [body for method, _, body in world.tavus.requests if method == "POST"]

    assert world.callbacks.url("sess_1") == body["callback_url"]
    assert body["callback_url"].startswith("https://bridge.example/webhooks/tavus/sess_1.")


async def test_tavus_is_asked_to_end_until_it_confirms() -> None:
    """A conversation costs money until Tavus confirms its end, so errors are no reason to stop."""
    world = World()
    async with world.session() as session:
        world.tavus.next_answers += [_refuse(500, "oops"), ValueError("a bug"), _refuse(401, "no")]
        await session.runner.stop("deleted")
        await settle()
        early = session.runner.gone.is_set()
        await world.clock.run(4 * S)

    assert not early
    assert session.runner.gone.is_set()
    assert [] == world.tavus.active()


async def test_room_that_cannot_be_left_holds_nobody() -> None:
    """Leaving has its time; the conversation is ended meanwhile."""
    world = World()

    def stuck(room: FakeRoom) -> None:
        async def leave() -> None:
            await asyncio.Event().wait()

        room.leave = leave  # type: ignore[method-assign]  # the fault

    world.prepare = stuck
    async with world.session() as session:
        await session.runner.stop("deleted")
        await settle()
        closing = asyncio.create_task(session.runner.close())
        await settle()
        early = closing.done()
        await world.clock.run(3 * S)
        await closing

    assert not early
    assert [] == world.tavus.active()


async def test_interaction_reaches_the_room_in_its_envelope() -> None:
    """A client's interaction is sent as Tavus wants it."""
    world = World()
    async with world.session() as session:
        await session.runner.interact("conversation.respond", {"text": "hello"})

    assert "c000001" == world.room.sent[0].message["conversation_id"]
    assert {"text": "hello"} == world.room.sent[0].message["properties"]


async def test_interaction_is_refused_in_time() -> None:
    """Before the replica it is not ready, in a full room it fails, after the end it is over."""
    world = World()
    world.prepare = alone
    async with world.session() as session:
        with pytest.raises(errors.SessionNotReady):
            await session.runner.interact("conversation.respond", {})
        world.room.report(e.ParticipantJoined(REPLICA))
        world.room.confirms = False
        for _ in range(4):
            await session.runner.interact("conversation.respond", {})
        stuck = asyncio.create_task(session.runner.interact("conversation.respond", {}))
        await world.clock.run(2 * S)
        with pytest.raises(errors.RoomFailed):
            await stuck
        await session.runner.stop("deleted")
        with pytest.raises(errors.SessionOver):
            await session.runner.interact("conversation.respond", {})
        with pytest.raises(errors.SessionOver):
            await session.runner.interrupt()
