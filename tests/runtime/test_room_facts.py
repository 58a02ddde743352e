from __future__ import annotations

from typing import Any

from app.core import events as e
from app.core.events import AppMessageReceived
from app.core.spec import Status
from tests.support.clock import settle
from tests.support.room import ALICE, REPLICA
from tests.support.world import S, World, speak


async def test_people_are_told_once_with_their_number() -> None:
    """People are numbered; coming twice is told once."""
    world = World()
    world.prepare = lambda room: setattr(room, "present", (REPLICA, ALICE))
    async with world.session() as session:
        world.room.report(e.ParticipantJoined(ALICE))
        world.room.report(e.ParticipantLeft(ALICE))
        came, left = session.of("participant.joined"), session.of("participant.left")

    assert [(1, "Alice")] == [(m["number"], m["name"]) for m in came]
    assert [(1, "Alice")] == [(m["number"], m["name"]) for m in left]


async def test_our_own_ghost_is_not_told() -> None:
    """Who comes back to a room may find its dead participant there."""
    world = World()
    world.prepare = lambda room: setattr(room, "present", (REPLICA, ALICE))
    async with world.session() as session:
        world.room.report(e.RoomJoined((REPLICA, ALICE), "p-old"))
        ghost = e.Participant("p-old", name="Bridge")
        world.room.report(e.RoomJoined((REPLICA, ALICE, ghost), "p-new"))
        world.room.report(e.ParticipantLeft(ghost))
        told = [*session.of("participant.joined"), *session.of("participant.left")]

    assert ["Alice"] == [message["name"] for message in told]


async def test_tavus_may_end_it() -> None:
    """Tavus's own shutdown ends the session, with Tavus's reason as the detail."""
    world = World()
    async with world.session() as session:
        world.room.say("system.shutdown", properties={"shutdown_reason": "bye"})
        await settle()
        (ended,) = session.of("session.ended")

    assert ("tavus_shutdown", "bye") == (ended["reason"], ended["detail"])


async def test_lost_replica_has_time_to_come_back() -> None:
    """Audio waits while the replica is away; it plays when it is back, else the session ends."""
    world = World()
    async with world.session() as session:
        world.room.report(e.ParticipantLeft(REPLICA))
        speak(session)
        await world.clock.run(5 * S)
        held = len(world.room.audio)
        world.room.report(e.LinkInterrupted())
        world.room.report(e.LinkRestored())
        await world.clock.run(1 * S)
        still_held = len(world.room.audio)
        world.room.report(e.ParticipantJoined(REPLICA))
        await world.clock.run(1 * S)
        played = len(world.room.audio)
        world.room.report(e.ParticipantLeft(REPLICA))
        await world.clock.run(15 * S)

    assert 0 == held == still_held
    assert 0 < played
    assert "replica_lost" == session.of("session.ended")[0]["reason"]


async def test_hostile_message_breaks_nothing() -> None:
    """A message that nests deeper than can be written is left out; the session goes on."""
    world = World()
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    async with world.session() as session:
        before = session.told[-1]["seq"]
        world.room.report(AppMessageReceived({"event_type": "x", "properties": deep}, 0))
        world.room.report(AppMessageReceived("[" * 4096, 0))
        world.room.say("conversation.utterance")
        after = [m["seq"] for m in session.told if m["type"] == "tavus.event"]

        assert [before + 1, before + 2] == after
        assert Status.READY is session.runner.status


async def test_message_that_was_lost_counts_as_not_sent() -> None:
    """Audio that the room could not deliver is dropped in the account."""
    world = World()
    world.prepare = lambda room: setattr(room, "drops", True)
    async with world.session() as session:
        speak(session)
        await world.clock.run(4 * S)
        done = session.of("utterance.done")

    assert [(1000, 0, 1000)] == [(m["received_ms"], m["sent_ms"], m["dropped_ms"]) for m in done]
