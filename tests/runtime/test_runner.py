from __future__ import annotations

import asyncio
import base64
import gc
import logging
import weakref
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from app import errors
from app.core import events as e
from app.core.session import MAX_LOSSES
from app.core.spec import AudioPathName, Status
from tests.support.client import Client
from tests.support.clock import settle
from tests.support.room import REPLICA, FakeRoom
from tests.support.world import MS, S, Session, World, alone, speak


def _refuse(status: int, text: str) -> Response:
    """Make a refusal of Tavus."""
    return JSONResponse({"message": text}, status_code=status)


# --- the beginning


async def test_session_becomes_ready_in_order() -> None:
    """A session tells that it starts, that the replica came, that it is ready; numbers rise."""
    world = World()
    async with world.session() as session:
        told = session.types()
        view = session.runner.view()
        await session.runner.wait_created()
        await session.runner.wait_ready()

    assert ["session.state", "replica.joined", "session.state", "session.ready"] == told
    assert [1, 2, 3, 4] == [message["seq"] for message in session.told[:4]]
    assert Status.READY is view.status
    assert "c000001" == view.conversation_id
    assert [None] == session.created


async def test_replica_may_come_later() -> None:
    """The session is ready when the replica joins the room, or when Tavus says that it is there."""
    world = World()
    world.prepare = alone
    async with world.session() as session:
        before = session.runner.status
        world.room.say("system.replica_present")
        await session.runner.wait_ready()

    assert Status.STARTING is before
    assert Status.READY is session.runner.view().status or session.runner.over


async def test_refused_create_raises_what_tavus_said() -> None:
    """A refused create ends the session; the error is a copy, so that it holds no frames."""
    world = World()
    world.tavus.next_answers.append(_refuse(402, "The user is out of conversational credits."))
    async with world.session() as session:
        raised = []
        for _ in range(2):
            with pytest.raises(errors.TavusOutOfCredits) as caught:
                await session.runner.wait_created()
            raised.append(caught.value)

    assert raised[0] is not raised[1]
    assert isinstance(session.created[0], errors.TavusOutOfCredits)
    assert 1 == session.overs
    assert session.runner.gone.is_set()
    assert [] == world.tavus.active()


async def test_room_that_cannot_be_joined_ends_it() -> None:
    """A failed join is told, and the conversation is ended."""
    world = World()
    world.prepare = lambda room: setattr(room, "join_fails", errors.RoomFailed("no such room"))
    async with world.session() as session:
        await settle()
        with pytest.raises(errors.RoomFailed, match="no such room"):
            await session.runner.wait_ready()

    assert "room_failed" == session.of("session.ended")[0]["reason"]
    assert Status.FAILED is session.runner.view().status
    assert [] == world.tavus.active()


async def test_test_mode_is_over_at_once() -> None:
    """A conversation that Tavus answers as ended makes an ended session, without an error."""
    world = World()
    async with world.session(conversation={"test_mode": True}) as session:
        await session.runner.wait_created()

    assert "tavus_shutdown" == session.runner.view().end_reason
    assert [] == world.rooms or world.room.has_left


# --- the end


async def test_end_accounts_for_everything_first() -> None:
    """What is left is told done, its marks flushed, then the end, then the close code."""
    world = World()
    async with world.session() as session:
        speak(session, 3, end=False)
        session.runner.speaker.voice.intake.mark("there")
        speak(session)
        await world.clock.run(500 * MS)
        await session.runner.stop("deleted")
        told = session.types()

    done = session.of("utterance.done")
    assert ["mark.reached", "utterance.done", "utterance.done", "session.ended"] == told[-4:]
    assert ["failed", "failed"] == [m["status"] for m in done]
    assert ["session_over"] * 2 == [m["code"] for m in done]
    assert 4410 == session.heard.close_code
    assert world.room.has_left
    assert [] == world.tavus.active()


async def test_stopping_twice_does_nothing() -> None:
    """The first cause counts, and the end is told once."""
    world = World()
    async with world.session() as session:
        await session.runner.stop("deleted")
        await session.runner.stop("drained")
        session.runner.post(e.IdleTimedOut())
        world.room.fails()
        await settle()

    assert ["deleted"] == [m["reason"] for m in session.of("session.ended")]
    assert 1 == session.overs


async def test_drained_session_closes_with_4503() -> None:
    """A client of a service that shuts down is told to come again."""
    world = World()
    async with world.session() as session:
        session.runner.tell_draining(3000)
        await session.runner.stop("drained")

    assert 3000 == session.of("server.draining")[0]["deadline_ms"]
    assert 4503 == session.heard.close_code


async def test_conversation_that_turns_up_after_the_end_is_ended() -> None:
    """Stopped while Tavus has not answered: the conversation is ended as soon as it is there."""
    world = World()
    world.tavus.hold = asyncio.Event()
    async with world.session() as session:
        await session.runner.stop("deleted")
        early = session.runner.gone.is_set()
        world.tavus.hold.set()
        await settle()

        assert not early
        assert session.runner.gone.is_set()
        assert [] == world.tavus.active()
        assert [] == world.rooms


async def test_stop_right_after_the_answer_stays_in_no_room() -> None:
    """A room that is being joined is left."""
    world = World()
    session = Session(world)
    session.runner._on_created = lambda runner, _: runner.post(e.StopRequested("deleted"))
    session.runner.start()
    await settle()
    await session.end()
    await world.close()

    assert world.room.has_left
    assert [] == world.tavus.active()


async def test_refusal_behind_an_interrupt_settles_it() -> None:
    """Nothing of it was heard, then: it is told when that is known, not when the clock says so."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send(bytes(480))
        await client.say("interrupt")
        await settle()
        early = session.of("utterance.done")
        world.room.report(e.MessageFailed(1, definite=True, reason="full"))
        await world.clock.run(200 * MS)
        (done,) = session.of("utterance.done")

    assert [] == early
    assert ("interrupted", 0) == (done["status"], done["sent_ms"])


# --- hostile and broken


async def test_bug_in_a_task_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    """A task that dies of a bug ends the session as ``internal``, with its traceback logged."""
    world = World()

    def broken(room: FakeRoom) -> None:
        def send(message: str, epoch: int, silence: int) -> int:
            raise ValueError("a bug", message, epoch, silence)

        room.send_audio = send  # type: ignore[method-assign]  # the bug

    world.prepare = broken
    async with world.session() as session:
        speak(session)
        await settle()

    assert "internal" == session.of("session.ended")[0]["reason"]
    assert ["utterance.done", "session.ended"] == session.types()[-2:]
    assert "ValueError: ('a bug'" in caplog.text
    assert [] == world.tavus.active()


async def test_bug_in_handing_over_is_not_the_clients(caplog: pytest.LogCaptureFixture) -> None:
    """It ends the session as ``internal`` too when it is a packet that is handed over."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send()

        def send(message: str, epoch: int, silence: int) -> int:
            raise ValueError("a bug", message, epoch, silence)

        world.room.send_audio = send  # type: ignore[method-assign]  # the bug
        await client.send()

    assert "internal" == session.of("session.ended")[0]["reason"]
    assert 4410 == client.close_code
    assert "ValueError: ('a bug'" in caplog.text


async def test_bug_in_a_fact_or_timer_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    """What a room reports and what a timer calls are guarded as tasks are."""
    caplog.set_level(logging.CRITICAL)
    for broken in ("consumed", "tick"):
        world = World()
        async with world.session() as session:

            def fail(*_: object, **__: object) -> None:
                raise ValueError("a bug")

            setattr(session.runner.speaker.voice.playback, broken, fail)
            if broken == "consumed":
                world.room.report(e.AudioConsumed(480, 0))
            else:
                session.runner.speaker._alarm.set(world.clock.now() + MS)
                await world.clock.run(2 * MS)
            await settle()

            assert "internal" == session.of("session.ended")[0]["reason"]
            assert [] == world.tavus.active()


async def test_end_is_carried_out_whatever_breaks(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in one order of the end is logged; the orders behind it still save money."""
    caplog.set_level(logging.CRITICAL)
    for broken in ("voice", "metrics"):
        world = World()

        def fail(*_: object, **__: object) -> None:
            raise ValueError("a bug")

        if broken == "metrics":
            world.resources.metrics.session_ended = fail  # type: ignore[method-assign]
        async with world.session() as session:
            if broken == "voice":
                session.runner.speaker.voice.finish = fail  # type: ignore[method-assign]
            await session.runner.stop("deleted")
            await settle()

            assert world.room.has_left
            assert session.runner.gone.is_set()
            assert 1 == session.overs
            assert ["session.ended"] == session.types()[-1:]
            assert [] == world.tavus.active()


async def test_bug_at_the_start_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A session that cannot even start is over, and its caller knows."""
    caplog.set_level(logging.CRITICAL)
    world = World()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    session = Session(world)
    session.runner._timers.start = fail  # type: ignore[method-assign]
    session.runner.start()
    with pytest.raises(errors.Internal):
        await session.runner.wait_created()
    await session.end()
    await world.close()

    assert [] == world.tavus.requests
    assert session.runner.gone.is_set()
    assert 1 == session.overs


async def test_nothing_is_left_of_a_session() -> None:
    """After its end a session has no task, no timer and nobody who holds it."""
    world = World()
    async with world.session() as session:
        speak(session, 5)
        world.room.starts()
        await world.clock.run(1 * S)
        cutting = asyncio.create_task(session.runner.interrupt())
        await settle()
        await cutting
        speak(session, 5)
        await world.clock.run(1 * S)
    left = weakref.ref(session.runner)
    timers = world.clock.waiting
    del session, cutting
    world.rooms.clear()
    gc.collect()

    assert 0 == timers
    assert left() is None
    assert 1 == len(asyncio.all_tasks())


# --- what callers may do


async def test_slow_answer_of_tavus_may_come_after_the_ready_timeout() -> None:
    """Who waits for a create that took too long hears that the replica never came."""
    world = World()
    world.tavus.hold = asyncio.Event()
    async with world.session(ready_timeout_s=1.0) as session:
        await world.clock.run(1 * S)
        world.tavus.hold.set()
        await settle()
        with pytest.raises(errors.ReplicaTimeout):
            await session.runner.wait_created()
        with pytest.raises(errors.ReplicaTimeout):
            await session.runner.wait_ready()

    assert [] == world.tavus.active()


# --- callbacks


def callback(
    event_type: str, conversation_id: str = "c000001", **properties: str
) -> dict[str, Any]:
    """Make what Tavus posts."""
    return {
        "event_type": event_type,
        "message_type": "system",
        "conversation_id": conversation_id,
        "properties": {"replica_id": "r1", **properties},
        "timestamp": "2025-07-11T06:45:47.472000Z",
    }


@pytest.mark.parametrize("said", ["participant_left_timeout", "participant_left_timeout reached"])
async def test_callback_of_a_shutdown_ends_the_session(said: str) -> None:
    """Once, with the documented reason, however Tavus writes it; Tavus confirms the end."""
    world = World()
    async with world.session() as session:
        for _ in range(2):
            session.runner.take_callback(callback("system.shutdown", shutdown_reason=said))
            await settle()
        (ended,) = session.of("session.ended")

        assert ("tavus_shutdown", "participant_left_timeout reached") == (
            ended["reason"],
            ended["detail"],
        )
        assert session.runner.gone.is_set()
        assert [] == world.tavus.active()


async def test_callback_of_another_conversation_changes_nothing() -> None:
    """A session may have had one before."""
    world = World()
    async with world.session() as session:
        session.runner.take_callback(callback("system.shutdown", "c-before"))
        session.runner.take_callback({"event_type": "application.transcription_ready"})
        session.runner.take_callback({})

        assert not session.runner.over


@pytest.mark.parametrize("event_type", ["system.replica_joined", "system.pal_joined"])
async def test_callback_counts_as_the_replica_s_presence(event_type: str) -> None:
    """Also where the room does not tell who is the replica; twins are told once."""
    world = World()
    world.prepare = alone
    async with world.session() as session:
        before = session.runner.status
        for _ in range(2):
            session.runner.take_callback(callback(event_type))

        assert Status.STARTING is before
        assert Status.READY is session.runner.status
        assert 1 == len(session.of("replica.joined"))


async def test_callback_may_be_quicker_than_the_room() -> None:
    """What Tavus says before we are in the room counts when we are; and before its own answer."""
    world = World()
    world.prepare = alone
    world.tavus.hold = asyncio.Event()
    async with world.session() as session:
        session.runner.take_callback(callback("system.replica_joined"))
        before = session.runner.status
        world.tavus.hold.set()
        await settle()

        assert Status.STARTING is before
        assert Status.READY is session.runner.status


async def test_shutdown_may_be_quicker_than_the_answer() -> None:
    """A conversation that is over before we know it is ended for good."""
    world = World()
    world.tavus.hold = asyncio.Event()
    async with world.session() as session:
        session.runner.take_callback(callback("system.shutdown", shutdown_reason="bye"))
        over = session.runner.over
        world.tavus.hold.set()
        await settle()

        assert over
        assert session.runner.gone.is_set()
        assert [] == world.tavus.active()


# --- losing the room


@pytest.mark.parametrize("path", AudioPathName)
async def test_lost_room_is_joined_again_and_speech_goes_on(path: AudioPathName) -> None:
    """In the same conversation: what was not delivered or played goes first, nothing is lost."""
    world = World()
    async with world.session(audio_path=path) as session:
        speak(session, 3)
        await world.clock.run(1 * S)
        first = world.room
        if path is AudioPathName.ECHO:
            gone = [sent.number for sent in first.audio[-3:]]
            kept = [sent.message["properties"]["audio"] for sent in first.audio[:-3]]
            first.loses(*gone)
        else:
            kept = [chunk.pcm for chunk in first.frames[:-2]]
            first.loses(consumed=sum(len(pcm) for pcm in kept) // 2)
        first.fails()  # an old room has nothing to say any more
        first.starts()
        await world.clock.run(8 * S)
        second = world.rooms[1]
        if path is AudioPathName.ECHO:
            heard = [*kept, *(sent.message["properties"]["audio"] for sent in second.audio)]
            length = sum(len(base64.b64decode(audio)) for audio in heard)
            ids = {sent.message["properties"]["inference_id"] for sent in second.audio}
        else:
            length = sum(map(len, [*kept, *(chunk.pcm for chunk in second.frames)]))
            ids = {"ab-1"}

    (done,) = session.of("utterance.done")
    assert ("played", 3000, 3000) == (done["status"], done["sent_ms"], done["played_ms"])
    assert 3 * 48_000 == length - (1920 if path is AudioPathName.ECHO else 0)  # the closing silence
    assert {"ab-1"} == ids
    assert first.has_left
    assert ["replica.joined", "replica.left", "replica.joined"] == [
        kind for kind in session.types() if kind.startswith("replica.") and "speaking" not in kind
    ]
    assert 1 == len(world.tavus.conversations)


async def test_room_that_is_lost_twice_is_joined_again_after_a_moment() -> None:
    """What is broken may be so for some seconds; a session that ends meanwhile joins nothing."""
    world = World()
    async with world.session() as session:
        world.room.loses()
        await settle()
        world.rooms[-1].loses()
        await settle()
        early = world.rooms[-1].log.copy()
        await world.clock.run(S // 2)
        late = world.rooms[-1].log.copy()
        world.rooms[-1].loses()
        await settle()
    await world.clock.run(S)

    assert ([], ["join"]) == (early, late)
    assert 4 == len(world.rooms)
    assert "join" not in world.rooms[-1].log
    assert session.runner.gone.is_set()


async def test_room_that_is_lost_again_and_again_has_failed() -> None:
    """The conversation is ended: it would cost money for nothing."""
    world = World()
    async with world.session() as session:
        for _ in range(MAX_LOSSES + 1):
            world.rooms[-1].loses()
            await settle()

        assert MAX_LOSSES + 1 == len(world.rooms)
        assert session.runner.over
    assert "room_failed" == session.of("session.ended")[0]["reason"]
    assert [] == world.tavus.active()


async def test_replica_that_is_not_there_any_more_is_waited_for() -> None:
    """Presence is learnt anew in the new room."""
    world = World()
    async with world.session() as session:
        world.prepare = alone
        world.room.loses()
        await world.clock.run(1 * S)
        waiting = session.runner.status
        world.rooms[1].report(e.ParticipantJoined(REPLICA))
        await settle()
        speak(session)
        await world.clock.run(3 * S)

    assert Status.READY is waiting
    assert ["played"] == [done["status"] for done in session.of("utterance.done")]
