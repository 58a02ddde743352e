from __future__ import annotations

import asyncio

from app.core.pcm import AudioFormat, Encoding
from app.core.roles import Role
from app.runtime.bus import RING
from app.runtime.inbound import SLICE_BYTES
from tests.support.client import Client
from tests.support.clock import settle
from tests.support.world import S, World, alone

MULAW = AudioFormat(Encoding.MULAW, 8000)

# --- hello


async def test_hello_then_ready_for_who_comes_late() -> None:
    """In a ready session ``session.ready`` without a number comes right after ``hello``."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session, format=MULAW, declared=True)

    assert ["hello", "session.ready"] == [m["type"] for m in client.told[:2]]
    assert "seq" not in client.told[1]
    assert "pcm_mulaw" == client.hello["format"]["encoding"]
    assert (4, 0, 0, False) == tuple(
        client.hello[name] for name in ("seq", "received", "epoch", "resumed")
    )


async def test_ready_comes_later_with_its_number() -> None:
    """Before the session is ready there is only ``hello``; then everybody hears it."""
    world = World()
    world.prepare = alone
    async with world.session() as session:
        client = await Client.connect(world, session)
        early = [m["type"] for m in client.told]
        world.room.say("system.replica_joined")

        assert ["hello"] == early
        assert client.of("session.ready")[0]["seq"] > client.hello["seq"]


async def test_session_that_ended_meanwhile_closes() -> None:
    """Who attaches after the end is closed with the end's code and changes nothing."""
    world = World()
    async with world.session() as session:
        await session.runner.stop("deleted")
        client = await Client.connect(world, session)
        await client.send()
        client.leave()

    assert 4410 == client.close_code
    assert [] == client.told


# --- taking over and coming back


async def test_newer_producer_replaces_the_older() -> None:
    """The older is closed with 4409, its utterance ended; the newer starts at zero."""
    world = World()
    async with world.session() as session:
        old = await Client.connect(world, session)
        await old.send()
        new = await Client.connect(world, session)
        await old.send()
        await old.say("interrupt")
        old.lose()
        await new.send()

        assert 4409 == old.close_code
        assert 0 == new.hello["received"] == session.runner.speaker.voice.epoch
        assert "open_utterance" not in new.hello
        assert [] == new.of("utterance.opened")[1:]
        assert 1 == session.runner.speaker.producer.received
        assert session.runner.speaker.teller.listener is new.connection.subscription


async def test_take_over_waits_for_the_message_in_hand() -> None:
    """A long message of the older is handled whole before the newer is greeted."""
    world = World()
    async with world.session() as session:
        old = await Client.connect(world, session)
        sending = asyncio.create_task(old.send(bytes(6 * SLICE_BYTES)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        token = old.hello["resume_token"]
        new = await Client.connect(world, session, resume=token)

        assert sending.done()
        assert 1 == new.hello["received"]
        assert 6 * SLICE_BYTES == new.hello["open_utterance"]["accepted_bytes"]


async def test_lost_producer_may_come_back() -> None:
    """Within the window the utterance stays open; missed messages follow in order."""
    world = World()
    async with world.session() as session:
        first = await Client.connect(world, session)
        await first.send()
        seen = first.told[-1].get("seq") or first.of("utterance.opened")[-1]["seq"]
        first.lose()
        world.room.starts()
        await world.clock.run(29 * S)
        second = await Client.connect(world, session, resume=first.hello["resume_token"], seq=seen)
        await second.send()
        await second.say("utterance.end")

        numbers = [m["seq"] for m in second.told[1:] if "seq" in m]
        assert second.hello["resumed"]
        assert (1, seen) == (second.hello["received"], second.hello["seq"])
        assert "u-1" == second.hello["open_utterance"]["utterance_id"]
        assert list(range(seen + 1, seen + 1 + len(numbers))) == numbers
        assert 9600 == second.of("audio.ack")[-1]["accepted_bytes"]
        assert [] == second.of("utterance.opened")


async def test_window_closes_the_utterance_as_its_end_would() -> None:
    """A producer that does not come back in time has ended its utterance: it is heard whole."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send()
        client.lose()
        await world.clock.run(30 * S - 1)
        early = session.of("utterance.done")
        await world.clock.run(3 * S)

        assert [] == early
        assert ["played"] == [m["status"] for m in session.of("utterance.done")]


async def test_clean_close_ends_the_utterance_at_once() -> None:
    """Connect, send, close: it is heard to the end."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send()
        client.leave()
        client.leave()
        await world.clock.run(3 * S)

        assert ["played"] == [m["status"] for m in session.of("utterance.done")]


async def test_token_works_once() -> None:
    """Every hello has a new token; the one before is nobody's."""
    world = World()
    async with world.session() as session:
        first = await Client.connect(world, session)
        first.lose()
        second = await Client.connect(world, session, resume=first.hello["resume_token"])
        second.lose()
        third = await Client.connect(world, session, resume=first.hello["resume_token"])

        assert second.hello["resumed"]
        assert not third.hello["resumed"]
        assert ["resume_failed"] == third.codes()
        assert 3 == len({c.hello["resume_token"] for c in (first, second, third)})


async def test_replay_is_all_or_nothing() -> None:
    """When too much was missed nothing is replayed: a new stream begins, and the client knows."""
    world = World()
    async with world.session() as session:
        first = await Client.connect(world, session)
        await first.send()
        first.lose()
        for _ in range(RING + 1):
            world.room.say("noise")
        second = await Client.connect(
            world, session, resume=first.hello["resume_token"], seq=first.hello["seq"]
        )

        assert ["hello", "session.ready", "error"] == [m["type"] for m in second.told]
        assert ["resume_failed"] == second.codes()
        assert (False, 0) == (second.hello["resumed"], second.hello["received"])
        assert session.runner.speaker.voice.open is None


async def test_longest_replay_fits() -> None:
    """Everything the ring holds can be replayed to one connection."""
    world = World()
    async with world.session() as session:
        first = await Client.connect(world, session)
        seq = session.runner.bus.seq
        first.lose()
        for _ in range(RING):
            world.room.say("noise")
        second = await Client.connect(world, session, resume=first.hello["resume_token"], seq=seq)

        assert RING == len(second.of("tavus.event"))
        assert second.close_code is None


async def test_new_connection_is_told_anew_to_stop() -> None:
    """``flow.resume`` is never replayed, so every connection begins unpaused."""
    world = World()
    async with world.session() as session:
        session.runner.speaker.voice.pause(world.clock.now())
        first = await Client.connect(world, session)
        for _ in range(31):
            await first.send(bytes(48_000))
        first.lose()
        second = await Client.connect(world, session, resume=first.hello["resume_token"])

        assert 1 == len(first.of("flow.pause"))
        assert 1 == len(second.of("flow.pause"))


# --- beside the producer


async def test_many_listen_beside_one_producer() -> None:
    """All hear what concerns the session; what concerns the producer alone only it hears."""
    world = World()
    async with world.session() as session:
        producer = await Client.connect(world, session)
        others = [
            await Client.connect(world, session, role=role)
            for role in (Role.OBSERVE, Role.OBSERVE, Role.CONTROL)
        ]
        await producer.send(bytes(48_000))
        await producer.say("utterance.end")
        await world.clock.run(5 * S)

        numbered = [m for m in producer.told[1:] if "seq" in m]
        assert producer.of("audio.ack")
        for other in others:
            assert numbered == other.told[2:]  # after its own hello and session.ready
        assert {None} == {client.close_code for client in (producer, *others)}
        assert 2 == session.runner.speaker.producer.received


async def test_lost_controller_comes_back() -> None:
    """It keeps its role and its count, and is told what it missed; its token works once."""
    world = World()
    async with world.session() as session:
        producer = await Client.connect(world, session)
        first = await Client.connect(world, session, role=Role.CONTROL)
        await first.say("ping")
        await first.say("mark", name="m")
        token = first.hello["resume_token"]
        seq = session.runner.bus.seq
        first.lose()
        await producer.send()
        await world.clock.run(S)
        role = session.runner.resumes(token)
        second = await Client.connect(world, session, role=role, resume=token, seq=seq)
        after = session.runner.resumes(token)

        assert Role.CONTROL is role
        assert (True, 2, "control") == tuple(
            second.hello[name] for name in ("resumed", "received", "role")
        )
        assert ["u-1"] == [m["utterance_id"] for m in second.of("utterance.opened")]
        assert after is None
        assert Role.CONTROL is session.runner.resumes(second.hello["resume_token"])
        assert Role.PRODUCE is session.runner.resumes(producer.hello["resume_token"])
        assert None is session.runner.resumes("nonsense")


async def test_lost_observer_that_missed_too_much_begins_anew() -> None:
    """It is told so, as a producer is."""
    world = World()
    async with world.session() as session:
        first = await Client.connect(world, session, role=Role.OBSERVE)
        token, seq = first.hello["resume_token"], first.hello["seq"]
        first.lose()
        for _ in range(RING + 1):
            world.room.say("noise")
        second = await Client.connect(world, session, role=Role.OBSERVE, resume=token, seq=seq)

        assert (False, 0) == (second.hello["resumed"], second.hello["received"])
        assert ["resume_failed"] == second.codes()


async def test_observer_of_a_session_that_ended_meanwhile() -> None:
    """It is closed with the end's code."""
    world = World()
    async with world.session() as session:
        await session.runner.stop("deleted")
        client = await Client.connect(world, session, role=Role.OBSERVE)
        client.leave()

    assert 4410 == client.close_code
    assert [] == client.told


async def test_observer_follows_the_position() -> None:
    """Progress is for whoever asks for it."""
    world = World()
    async with world.session() as session:
        producer = await Client.connect(world, session)
        observer = await Client.connect(world, session, role=Role.OBSERVE, progress_ms=100)
        await producer.send(bytes(48_000))
        await producer.say("utterance.end")
        await settle()
        world.room.starts()
        await world.clock.run(5 * S)

        assert observer.of("playback.progress")
        assert [] == producer.of("playback.progress")


# --- progress


async def test_progress_only_when_it_moved() -> None:
    """Progress comes in its period while something plays, rising, and not a word more."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session, progress_ms=100)
        await client.send(bytes(48_000))
        await client.say("utterance.end")
        await settle()
        world.room.starts()
        await world.clock.run(5 * S)
        played = [m["played_ms"] for m in client.of("playback.progress")]

        assert sorted(set(played)) == played
        assert 8 <= len(played) <= 10


async def test_progress_is_off_by_default() -> None:
    """Without a period there is nothing to do."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send(bytes(48_000))
        world.room.starts()
        await world.clock.run(1 * S)

        assert 0 == len(client.of("playback.progress"))
