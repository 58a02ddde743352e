from __future__ import annotations

from app.core import events as e
from tests.support.clock import settle
from tests.support.room import REPLICA
from tests.support.world import S, World, speak


async def test_broken_link_holds_audio() -> None:
    """Messages sent while the room's link is interrupted would be lost, so they wait."""
    world = World()
    async with world.session() as session:
        world.room.report(e.LinkInterrupted())
        speak(session)
        await world.clock.run(1 * S)
        held = len(world.room.audio)
        world.room.report(e.LinkRestored())
        await settle()

        assert 0 == held
        assert 0 < len(world.room.audio)


async def test_room_joined_twice_has_one_pump() -> None:
    """A room that reports twice that it was joined still gets every chunk once."""
    world = World()
    async with world.session() as session:
        world.room.report(e.RoomJoined((REPLICA,)))
        speak(session)
        await world.clock.run(3 * S)

    lengths = [len(sent.message["properties"]["audio"]) for sent in world.room.audio]
    assert 1 == sum(sent.message["properties"].get("done") is True for sent in world.room.audio)
    assert 64_000 <= sum(lengths) <= 70_000  # base64 of 48000 bytes and of the closing silence


async def test_replica_that_comes_back_speaks_the_rest() -> None:
    """What it left unplayed is lost, and only that; the rest goes out under a new id."""
    world = World()
    async with world.session(lead_ms=1000) as session:
        speak(session, 3)
        await world.clock.run(1 * S)
        world.room.report(e.ParticipantLeft(REPLICA))
        before = world.room.audio[-1]
        world.room.report(e.MessageFailed(before.number, definite=True, reason="gone"))
        await world.clock.run(1 * S)
        held = world.room.audio[-1] is before
        world.room.report(e.ParticipantJoined(REPLICA))
        await world.clock.run(8 * S)

    ids = [sent.message["properties"]["inference_id"] for sent in world.room.audio]
    (done,) = session.of("utterance.done")
    assert held
    assert ["ab-1", "ab-2"] == sorted(set(ids))
    assert "played" == done["status"]
    assert done["sent_ms"] == done["played_ms"]
    assert 900 <= done["dropped_ms"] <= 1100
