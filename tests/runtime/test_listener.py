from __future__ import annotations

from typing import Any

import pytest

from app.core import events as e
from app.core.media import Picture, PictureChoice, PictureCodec, Sound, Wants
from app.core.pcm import Encoding
from app.runtime.clock import wall_us
from tests.support.client import Client
from tests.support.room import ALICE
from tests.support.speech import Signal, clicks, encode, speech
from tests.support.world import MS, S, Session, World, speak

RATE = 16_000
TEXT = "Wait a moment, could you say that again, please?"


def said(signal: Signal) -> list[bytes]:
    """Cut what a person says into pieces of 20 ms."""
    pcm = encode(signal, Encoding.S16LE)
    return [pcm[at : at + 640] for at in range(0, len(pcm), 640)]


async def hear(world: World, signal: Signal, who: str | None = ALICE.participant_id) -> None:
    """Let somebody be heard in the newest room, in virtual time."""
    for pcm in said(signal):
        world.rooms[-1].show(Sound(pcm, RATE, wall_us(world.clock), who))
        await world.clock.run(20 * MS)


def enter(world: World) -> None:
    """Let a person come in."""
    world.rooms[-1].report(e.ParticipantJoined(ALICE))


def reasons(session: Session) -> list[Any]:
    """Why each interrupt was, as everybody was told."""
    return [accepted.get("reason") for accepted in session.of("interrupt.accepted")]


async def test_voice_cuts_what_the_replica_speaks() -> None:
    """As an interrupt over HTTP does, and says so; once in a turn."""
    world = World()
    async with world.session(interrupt_on_user_speech=True) as session:
        enter(world)
        speak(session, 20)
        await world.clock.run(S)
        await hear(world, speech(TEXT, RATE))
        await world.clock.run(3 * S)
        (accepted,) = session.of("interrupt.accepted")
        (done,) = session.of("utterance.done")

    assert (True, 1, "user_speech") == (
        accepted["interrupted"],
        accepted["epoch"],
        accepted["reason"],
    )
    assert "interrupted" == done["status"]
    assert done["dropped_ms"] > 15_000
    assert "interrupt" in world.room.log


async def test_nothing_is_cut_unless_asked_for() -> None:
    """Then people are not listened to at all."""
    world = World()
    async with world.session() as session:
        enter(world)
        speak(session, 10)
        await world.clock.run(S)
        await hear(world, speech(TEXT, RATE))

        assert [] == session.of("interrupt.accepted")
    assert [] == world.room.watched


@pytest.mark.parametrize("who", [None, "somebody unknown"])
async def test_only_people_cut(who: str | None) -> None:
    """The replica's own voice does not, nor does whoever has not come in."""
    world = World()
    async with world.session(interrupt_on_user_speech=True) as session:
        enter(world)
        speak(session, 10)
        await world.clock.run(S)
        await hear(world, speech(TEXT, RATE), who)

        assert [] == session.of("interrupt.accepted")


async def test_noise_does_not_cut() -> None:
    """Who types while the replica speaks goes on listening to it."""
    world = World()
    async with world.session(interrupt_on_user_speech=True) as session:
        enter(world)
        speak(session, 10)
        await world.clock.run(S)
        await hear(world, clicks(3000, RATE))

        assert [] == session.of("interrupt.accepted")


async def test_silent_replica_is_not_cut() -> None:
    """While nothing of ours plays or waits, speech is no interrupt: the epoch stays."""
    world = World()
    async with world.session(interrupt_on_user_speech=True) as session:
        enter(world)
        await hear(world, speech(TEXT, RATE))
        speak(session)
        await world.clock.run(10 * S)
        await hear(world, speech(TEXT, RATE))

        assert [] == session.of("interrupt.accepted")
        assert "played" == session.of("utterance.done")[0]["status"]


async def test_what_waits_for_the_replica_is_not_cut() -> None:
    """Somebody who talks before the avatar has come does not lose its greeting."""
    world = World()
    world.prepare = lambda room: setattr(room, "present", ())
    async with world.session(interrupt_on_user_speech=True) as session:
        enter(world)
        speak(session)
        await hear(world, speech(TEXT, RATE))

        assert [] == session.of("interrupt.accepted")


async def test_shorter_words_may_be_enough() -> None:
    """How much must be said is a setting."""
    enough = []
    for user_speech_ms in (200, 2000):
        world = World(user_speech_ms=user_speech_ms)
        async with world.session(interrupt_on_user_speech=True) as session:
            enter(world)
            speak(session, 10)
            await world.clock.run(S)
            await hear(world, speech("Stop!", RATE))
            enough.append(bool(session.of("interrupt.accepted")))

    assert [True, False] == enough


async def test_people_are_wanted_from_every_room_on() -> None:
    """Whoever watches or not; a room that is joined again, too."""
    world = World()
    async with world.session(interrupt_on_user_speech=True) as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", audio={}, user_audio={})
        await client.say("frames.unsubscribe")
        world.rooms[0].loses()
        await world.clock.run(5 * S)
        old, new = world.rooms

    assert [
        Wants(people=True),
        Wants(sound=True, people=True),
        Wants(people=True),
    ] == old.watched
    assert [Wants(people=True)] == new.watched


async def test_pictures_are_none_of_its_business() -> None:
    """They pass by."""
    world = World()
    async with world.session(interrupt_on_user_speech=True) as session:
        choice = PictureChoice(PictureCodec.JPEG, 25, 320)
        world.room.show(Picture(choice, 320, 180, b"jpeg", wall_us(world.clock)))

        assert not session.runner.over


async def test_long_reasons_are_cut_short() -> None:
    """Everybody is told the reason of every interrupt, so it has an end."""
    world = World()
    async with world.session() as session:
        await session.runner.interrupt(reason="x" * 1000)
        await session.runner.interrupt(reason="the user speaks", utterance_id="nobody")
        await session.runner.interrupt()

        assert ["x" * 256, "the user speaks", None] == reasons(session)
