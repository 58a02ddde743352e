from __future__ import annotations

from itertools import pairwise

import pytest

from app.core import events as e
from app.core.spec import Status
from tests.support.client import Client
from tests.support.clock import settle
from tests.support.room import REPLICA, FakeRoom
from tests.support.world import MS, S, World, speak

LOUD = b"\x01\x00"
"""A sample that is not silence."""


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


async def test_replica_that_comes_back_speaks_what_the_room_had_refused() -> None:
    """The one that left never had it."""
    world = World()
    async with world.session(lead_ms=1000) as session:
        speak(session, 3)
        await world.clock.run(1 * S)
        refused = world.room.audio[-1]
        world.room.report(e.MessageFailed(refused.number, definite=True, reason="full"))
        world.room.report(e.ParticipantLeft(REPLICA))
        world.room.report(e.ParticipantJoined(REPLICA))
        await world.clock.run(8 * S)

    (done,) = session.of("utterance.done")
    assert "played" == done["status"]
    assert done["sent_ms"] == done["played_ms"]
    assert 930 == done["dropped_ms"]  # of 970 that were ahead of what it had spoken


async def test_end_counts_nothing_that_the_room_had_refused() -> None:
    """It would have been handed over anew."""
    world = World()
    async with world.session(lead_ms=1000) as session:
        speak(session, 3)
        await world.clock.run(1 * S)
        before = session.runner.speaker.voice.playback.plays_on_ms(world.clock.now())
        last = world.room.audio[-1].number
        world.room.report(e.MessageFailed(last, definite=True, reason="full"))
        await session.runner.stop("deleted")

    (done,) = session.of("utterance.done")
    assert 40 == before - (done["sent_ms"] - done["played_ms"])


@pytest.mark.parametrize("packet_ms", [10, 20, 50])
async def test_packets_bring_about_all_that_is_due(packet_ms: int) -> None:
    """What comes in packets is handed over and acknowledged in time, and ended after its gap."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        for _ in range(1000 // packet_ms):
            await client.send(bytes(48 * packet_ms))
            await world.clock.run(packet_ms * MS)
        at_once = spoken(world.room)
        await world.clock.run(200 * MS - packet_ms * MS)
        acks = client.of("audio.ack")
        await world.clock.run(799 * MS)
        early = session.runner.speaker.voice.open
        await world.clock.run(1 * MS)
        late = session.runner.speaker.voice.open
        await world.clock.run(5 * S)

    between = [b["ts_ms"] - a["ts_ms"] for a, b in pairwise(acks)]
    assert 950 <= at_once <= 1000
    assert max(between) <= 200
    assert 48_000 == acks[-1]["accepted_bytes"]
    assert early is not None
    assert late is None
    assert ["played"] == [done["status"] for done in client.of("utterance.done")]
    assert 1000 == client.of("utterance.done")[0]["sent_ms"]


# --- a replica that shows no life


def spoken(room: FakeRoom) -> int:
    """Milliseconds of audio that a room got as messages, closing silence included."""
    return sum(len(sent.message["properties"]["audio"]) // 4 * 3 // 48 for sent in room.audio)


async def test_replica_that_does_not_speak_is_told_and_counted_once() -> None:
    """Everybody hears of it, after ``BRIDGE_REPLICA_STALL_S``; it is no end."""
    world = World(replica_stall_s=4)
    async with world.session() as session:
        speak(session, 2, sample=LOUD)
        await world.clock.run(3900 * MS)
        before = session.of("error")
        await world.clock.run(1 * S)
        speak(session, 2, sample=LOUD)
        await world.clock.run(20 * S)
        (told,) = session.of("error")
        status = session.runner.status

    assert [] == before
    assert ("replica_stalled", True) == (told["code"], told["retryable"])
    assert Status.READY is status
    assert b'stalls_total{what="speech"} 1.0' in world.metrics.text()
    assert b'stalls_total{what="picture"} 0.0' in world.metrics.text()


async def test_replica_that_recovered_can_stall_again() -> None:
    """Its word counts, whatever it is about."""
    world = World(replica_stall_s=4)
    async with world.session() as session:
        speak(session, 2, sample=LOUD)
        await world.clock.run(5 * S)
        world.room.starts()
        world.room.stops(2.0)
        await world.clock.run(5 * S)
        speak(session, 2, sample=LOUD)
        await world.clock.run(5 * S)

    assert ["replica_stalled"] * 2 == [told["code"] for told in session.of("error")]
    assert b'stalls_total{what="speech"} 2.0' in world.metrics.text()


async def test_stalled_replica_is_replaced_where_that_is_wished() -> None:
    """Once a stall: the session goes on in another conversation, which speaks what waited.

    That it is dead, too, brings no third.
    """
    world = World(replica_stall_s=4, replace_stalled=True)
    async with world.session() as session:
        speak(session, 8, sample=LOUD)
        await world.clock.run(60 * S)
        speak(session, 2, sample=LOUD)
        await world.clock.run(60 * S)
        first, second = world.rooms
        status = session.runner.status
        alive = world.tavus.active()

    replaced, later = session.of("utterance.done")
    assert ["replica_stalled"] == [error["code"] for error in session.of("error")]
    assert 1 == len(session.of("session.renewed"))
    assert Status.READY is status
    assert 1 == len(alive)
    assert first.has_left
    assert 5400 <= spoken(first) <= 5700
    assert 4200 <= spoken(second) <= 4700
    assert 1400 <= replaced["dropped_ms"] <= 1700
    assert ("played", 2000) == (later["status"], later["sent_ms"])


async def test_pictures_are_missed_while_somebody_watches() -> None:
    """From when the replica can be reached; a broken link is no stall."""
    world = World(replica_stall_s=4)
    async with world.session() as session:
        speaker = session.runner.speaker
        speaker.watching(watched=True)
        for _ in range(50):
            await world.clock.run(200 * MS)
            speaker.picture()
        world.room.report(e.LinkInterrupted())
        await world.clock.run(20 * S)
        world.room.report(e.LinkRestored())
        await world.clock.run(3900 * MS)
        before = session.of("error")
        await world.clock.run(200 * MS)
        (told,) = session.of("error")

    assert [] == before
    assert "replica_stalled" == told["code"]
    assert b'stalls_total{what="picture"} 1.0' in world.metrics.text()
