from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from app import errors
from app.core import events as e
from app.core.media import Choices, Wants
from app.core.spec import AudioPathName, Status
from app.runtime.frames import Viewer
from tests.support.clock import settle
from tests.support.room import ALICE, REPLICA, FakeRoom
from tests.support.world import MS, S, Session, World, alone, speak

HOUR = 3600
DAY: dict[str, Any] = {"renew": True, "max_duration_s": 24.0 * HOUR, "idle_timeout_s": 24.0 * HOUR}
SHORT = {**DAY, "conversation": {"properties": {"max_call_duration": 20}}}
"""Conversations of 20 s, the next one asked for after 10; after 16 no pause is waited for."""

AHEAD_S = 90

paths = pytest.mark.parametrize("path", AudioPathName)


def refusal(status: int, text: str) -> Response:
    """Make a refusal of Tavus."""
    return JSONResponse({"message": text}, status_code=status)


async def ready_to_move(world: World) -> None:
    """Let time pass until the next conversation is ready; the move waits for its listeners."""
    await world.clock.run((HOUR - AHEAD_S) * S)


def heard(room: FakeRoom) -> bytes:
    """The speech that a room got, but for the silence that carries an end."""
    echoed = [base64.b64decode(sent.message["properties"]["audio"]) for sent in room.audio]
    ends = [sent.message["properties"]["done"] for sent in room.audio]
    spoken = b"".join(pcm for pcm, end in zip(echoed, ends, strict=True) if not end)
    return spoken + b"".join(chunk.pcm for chunk in room.frames)


def ramp(seconds: int) -> bytes:
    """Speech of which every sample is another one."""
    return b"".join((n % 65521).to_bytes(2, "little") for n in range(1, seconds * 24_000 + 1))


def say(session: Session, pcm: bytes) -> None:
    """Say this as one utterance."""
    intake, now = session.runner.speaker.voice.intake, session.runner.clock.now()
    intake.start(None, None, None, now)
    for start in range(0, len(pcm), 48_000):
        intake.audio(pcm[start : start + 48_000], now)
    intake.end()
    session.runner.speaker.changed()


# --- the usual way --------------------------------------------------------------------------------


async def test_session_goes_on_in_another_conversation() -> None:
    """Told ahead, then told when; one conversation costs money again shortly after."""
    world = World()
    async with world.session(**DAY) as session:
        await ready_to_move(world)
        ahead = world.tavus.active(), session.types()[-1:]
        await world.clock.run(5 * S)
        after = world.tavus.active(), session.types()[-1:]
        await world.clock.run(2 * S)

        first, second = world.rooms
        (renewing,), (renewed,) = session.of("session.renewing"), session.of("session.renewed")
        assert (["c000001", "c000002"], ["session.renewing"]) == ahead
        assert (["c000001", "c000002"], ["session.renewed"]) == after
        assert ["c000002"] == world.tavus.active()
        assert (True, False) == (first.has_left, second.has_left)
        assert {"c000002"} == {renewing["conversation_id"], renewed["conversation_id"]}
        assert "https://tavus.daily.co/c000002" == renewed["conversation_url"]
        assert AHEAD_S * 1000 - 4000 == renewing["in_ms"]
        assert [] == session.of("session.expiring") == session.of("replica.left")


async def test_viewers_see_the_next_replica() -> None:
    """Its room is watched from the move on, not before; the one before is left."""
    world = World()
    async with world.session(**DAY) as session:
        frames = session.runner.frames
        viewer = Viewer(world.clock, session.runner.metrics, lambda: None, lambda _stats: None)
        frames.subscribe(viewer, Choices(audio=24_000))
        await ready_to_move(world)
        before = list(world.rooms[1].watched)
        await world.clock.run(5 * S)

        first, second = world.rooms
        assert [] == before
        assert [Wants(sound=True)] == first.watched == second.watched


async def test_session_goes_on_and_on() -> None:
    """Every conversation is bounded by Tavus, and the last one by the session's own end."""
    world = World()
    async with world.session(**{**DAY, "max_duration_s": 2.5 * HOUR}) as session:
        await world.clock.run(int(2.5 * HOUR) * S)

        bodies = [body for _, path, body in world.tavus.requests if path == "/v2/conversations"]
        limits = [body["properties"]["max_call_duration"] for body in bodies]
        left = int(2.5 * HOUR) - 2 * (HOUR - AHEAD_S)
        assert [HOUR, HOUR, left + 1] == limits
        assert ["max_duration"] == [m["reason"] for m in session.of("session.ended")]
        assert [(60_000, "max_duration"), (10_000, "max_duration")] == [
            (m["in_ms"], m["reason"]) for m in session.of("session.expiring")
        ]
    assert [] == world.tavus.active()


async def test_without_the_wish_the_session_ends_with_its_conversation() -> None:
    """It says so ahead, by itself, before Tavus does."""
    world = World()
    theirs = {"properties": {"max_call_duration": 600}}
    async with world.session(idle_timeout_s=9999.0, conversation=theirs) as session:
        expires = session.runner.view().expires_at - session.runner.view().created_at
        await world.clock.run(600 * S)

    assert 600 == expires.total_seconds()
    assert ["max_duration"] == [m["reason"] for m in session.of("session.ended")]
    assert [60_000, 10_000] == [m["in_ms"] for m in session.of("session.expiring")]


async def test_people_are_shown_the_next_room_ahead() -> None:
    """With the token that opens it, for who may see that; then they are told of as before."""
    world = World()
    async with world.session(**DAY, conversation={"require_auth": True}) as session:
        world.room.report(e.ParticipantJoined(ALICE))
        world.prepare = lambda room: setattr(room, "present", (REPLICA, ALICE))
        before = session.runner.view()
        await ready_to_move(world)
        view = session.runner.view()
        await world.clock.run(6 * S)

        assert "token-of-c000001" == before.meeting_token
        assert ("c000002", "token-of-c000002") == (view.conversation_id, view.meeting_token)
        assert "meeting_token" not in str(session.told)
        assert 1 == len(session.of("participant.joined"))
        assert view.conversation_id == session.runner.view().conversation_id


@paths
async def test_speech_goes_over_without_a_sample_lost(path: AudioPathName) -> None:
    """Speech without a pause is broken once, at the end of the time; nothing is said twice."""
    world = World()
    async with world.session(**SHORT, audio_path=path) as session:
        await world.clock.run(9 * S)
        pcm = ramp(15)
        say(session, pcm)
        await world.clock.run(17 * S)
        first, second = map(heard, world.rooms[:2])

    (done,) = session.of("utterance.done")
    assert ("played", 15_000, 15_000) == (done["status"], done["sent_ms"], done["played_ms"])
    assert pcm == first + second
    assert [] == session.of("session.expiring")
    assert 7000 <= len(first) // 48 < 9000


@paths
async def test_next_replica_that_is_late_loses_nothing(path: AudioPathName) -> None:
    """What the one before could not have said in time was not given to it."""
    world = World()
    async with world.session(**SHORT, audio_path=path) as session:
        await world.clock.run(9 * S)
        world.prepare = alone
        pcm = ramp(15)
        say(session, pcm)
        await world.clock.run(11 * S)
        world.rooms[0].say("system.shutdown", properties={"shutdown_reason": "max_call_duration"})
        await world.clock.run(5 * S)
        gap = session.types()[-1]
        world.prepare = lambda _room: None
        world.rooms[1].report(e.ParticipantJoined(REPLICA))
        await world.clock.run(12 * S)
        spoken = b"".join(map(heard, world.rooms))

    (done,) = session.of("utterance.done")
    assert "replica.left" == gap
    assert pcm == spoken
    assert ("played", 15_000, 15_000) == (done["status"], done["sent_ms"], done["played_ms"])


async def test_what_was_said_is_told_before_the_move() -> None:
    """The replica's last word comes from the room that it was said in."""
    world = World()
    async with world.session(**DAY) as session:
        await ready_to_move(world)
        speak(session, 6)
        world.rooms[0].starts()
        await world.clock.run(6040 * MS)
        before = session.types()[-1]
        world.rooms[0].stops(6.04)
        await settle()

        assert "session.renewing" in session.types()
        assert "utterance.started" == before
        assert ["replica.stopped_speaking", "utterance.done", "session.renewed"] == (
            session.types()[-3:]
        )


# --- what happens on the way ----------------------------------------------------------------------


async def test_refusal_is_told_and_tried_again() -> None:
    """The conversation goes on meanwhile; the error concerns the session."""
    world = World()
    async with world.session(**DAY) as session:
        await world.clock.run((HOUR - AHEAD_S - 1) * S)
        world.tavus.next_answers.append(refusal(402, "The user is out of conversational credits."))
        await world.clock.run(2 * S)
        told = session.of("error")
        await world.clock.run(10 * S)

        assert [("tavus_out_of_credits", True)] == [(m["code"], "seq" in m) for m in told]
        assert 1 == len(session.of("session.renewed"))
        assert ["c000002"] == world.tavus.active()
    assert b'avatar_bridge_renewals_total{outcome="moved"} 1.0' in world.metrics.text()
    assert b'avatar_bridge_renewals_total{outcome="failed"} 1.0' in world.metrics.text()


async def test_lost_answer_is_looked_for_and_another_one_is_made() -> None:
    """What Tavus made after all is ended, and never taken for the one that is made instead."""
    world = World()
    async with world.session(**DAY) as session:
        await world.clock.run((HOUR - AHEAD_S - 1) * S)
        world.tavus.lose_answers = True
        await world.clock.run(2 * S)
        world.tavus.lose_answers = False
        await world.clock.run(30 * S)

        assert ["tavus_timeout"] == [m["code"] for m in session.of("error")]
        assert ["c000003"] == world.tavus.active()
        assert "c000003" == session.runner.view().conversation_id


@pytest.mark.parametrize("broken", ["join", "replica", "left", "shut down", "lost"])
async def test_next_room_that_fails_is_dropped(broken: str) -> None:
    """Whatever is wrong with it: it costs nothing any more, and another one is tried."""
    world = World()
    async with world.session(**DAY) as session:
        if broken == "join":
            fails = errors.RoomFailed("no such room")
            world.prepare = lambda room: setattr(room, "join_fails", fails)
        if broken == "replica":
            world.prepare = alone
        await ready_to_move(world)
        world.prepare = lambda _room: None
        second = world.rooms[1]
        if broken == "left":
            second.report(e.ParticipantLeft(REPLICA))
        elif broken == "shut down":
            second.say("system.shutdown", properties={"shutdown_reason": "bye"})
        elif broken == "lost":
            second.loses()
        await world.clock.run(48 * S)

        code = {"replica": "replica_timeout", "left": "replica_lost"}.get(broken, "room_failed")
        assert [code] == [m["code"] for m in session.of("error")]
        assert second.has_left
        assert "c000003" in world.tavus.active()
        assert "c000002" not in world.tavus.active()
        await world.clock.run(20 * S)

        assert ["c000003"] == world.tavus.active()
        assert not session.runner.over


async def test_renewal_that_fails_to_the_end_is_announced() -> None:
    """The session hears that its time is over, and has one last try when it is."""
    world = World()
    async with world.session(**DAY, ready_timeout_s=20.0) as session:
        world.tavus.next_answers += [refusal(402, "no") for _ in range(999)]
        await world.clock.run(HOUR * S)
        world.room.say("system.shutdown", properties={"shutdown_reason": "max_call_duration"})
        await settle()
        held = session.runner.status, session.types()[-2:]
        await world.clock.run(21 * S)
        world.tavus.next_answers.clear()

        assert [(60_000, "tavus_shutdown"), (10_000, "tavus_shutdown")] == [
            (m["in_ms"], m["reason"]) for m in session.of("session.expiring")
        ]
        assert (Status.READY, ["replica.left", "error"]) == held
        assert ["replica_lost"] == [m["reason"] for m in session.of("session.ended")]
        await world.clock.run(200 * S)
    assert [] == world.tavus.active()


async def test_room_that_closes_between_two_tries_is_a_gap() -> None:
    """Tavus's word of the limit may get lost with the room: a next conversation is still wanted."""
    world = World()
    async with world.session(**DAY) as session:
        world.tavus.next_answers += [refusal(503, "busy") for _ in range(999)]
        await world.clock.run((HOUR - 1) * S)
        world.room.fails()
        held = session.runner.status
        world.tavus.next_answers.clear()
        await world.clock.run(60 * S)

        assert (Status.READY, Status.READY) == (held, session.runner.status)
        assert 1 == len(session.of("session.renewed"))


async def test_limit_that_comes_by_surprise_is_a_gap() -> None:
    """Tavus's plan may allow less than it says: the session goes on, and what waits is spoken."""
    world = World()
    async with world.session(**DAY) as session:
        await world.clock.run(600 * S)
        world.room.say("system.shutdown", properties={"shutdown_reason": "max_call_duration"})
        speak(session)
        await world.clock.run(5 * S)

        assert ["replica.joined", "replica.left", "session.renewed", "replica.joined"] == [
            kind
            for kind in session.types()
            if kind in {"session.renewed", "replica.joined"} or kind == "replica.left"
        ]
        assert ["played"] == [m["status"] for m in session.of("utterance.done")]
        assert 48_000 == len(heard(world.rooms[1]))
        assert ["c000002"] == world.tavus.active()


async def test_callback_about_the_conversation_before_changes_nothing() -> None:
    """Tavus tells of its end late; of the next one it may tell before the room does."""
    world = World()
    async with world.session(**DAY) as session:
        world.prepare = alone
        await ready_to_move(world)
        waiting = session.of("session.renewing")
        session.runner.take_callback(
            {"event_type": "system.replica_joined", "conversation_id": "c000002"}
        )
        await world.clock.run(7 * S)
        for about in ({"conversation_id": "c000001"}, {}):
            session.runner.take_callback(
                {
                    "event_type": "system.shutdown",
                    "properties": {"shutdown_reason": "end_conversation_endpoint_hit"},
                    **about,
                }
            )
        world.rooms[0].fails()
        await settle()

        assert [] == waiting
        assert 1 == len(session.of("session.renewed"))
        assert not session.runner.over


async def test_interrupt_on_the_way_cuts_and_goes_on() -> None:
    """The replica that is left is told to stop; the next one gets only what came after."""
    world = World()
    async with world.session(**SHORT) as session:
        await world.clock.run(9 * S)
        speak(session, 15)
        await world.clock.run(7500 * MS)  # the replica says what it has
        accepted = await session.runner.interrupt()
        speak(session, 1)
        await world.clock.run(3 * S)
        first, second = world.rooms

        assert accepted.interrupted
        assert "interrupt" == first.log[-2]
        assert "interrupt" not in second.log
        assert 48_000 == len(heard(second))
        assert ["interrupted", "played"] == [m["status"] for m in session.of("utterance.done")]


async def test_people_and_signalling_of_the_next_room_count_from_the_move_on() -> None:
    """Who left the old room is told of, and what cannot be sent yet is held."""
    world = World()
    async with world.session(**DAY) as session:
        world.room.report(e.ParticipantJoined(ALICE))
        await ready_to_move(world)
        second = world.rooms[1]
        second.report(e.LinkInterrupted())
        second.say("conversation.utterance", properties={})
        before = session.of("tavus.event")
        await world.clock.run(6 * S)
        speak(session)
        await world.clock.run(1 * S)
        held = heard(second)
        second.report(e.LinkRestored())
        await world.clock.run(3 * S)

        assert [] == before
        assert [ALICE.participant_id] == [
            m["participant_id"] for m in session.of("participant.left")
        ]
        assert b"" == held
        assert 48_000 == len(heard(second))


async def test_our_dead_participant_of_the_next_room_is_nobody() -> None:
    """A room shows one that has died for some seconds more: it is not told as a person."""
    world = World()
    async with world.session(**DAY) as session:
        ours = e.Participant("p-ours", "", "Avatar Bridge")
        await world.clock.run((HOUR - AHEAD_S) * S - MS)
        world.prepare = alone
        await world.clock.run(1 * S)
        world.rooms[1].report(e.RoomJoined((REPLICA,), ours.participant_id))
        await world.clock.run(6 * S)
        world.prepare = lambda room: setattr(room, "present", (REPLICA, ours))
        world.rooms[1].loses()
        await settle()

        assert 3 == len(world.rooms)
        assert "replica.joined" == session.types()[-1]
        assert [] == session.of("participant.joined")


# --- replacement ----------------------------------------------------------------------------------


@paths
async def test_dead_conversation_is_replaced_at_once(path: AudioPathName) -> None:
    """It is ended first, so that its slot is free; what was not handed over is spoken."""
    world = World()
    async with world.session(audio_path=path) as session:
        speak(session, 10)
        await world.clock.run(1 * S)
        session.runner.post(e.ReplacementWanted())
        await settle()
        calls = [path for method, path, _ in world.tavus.requests if method == "POST"]
        await world.clock.run(20 * S)
        first, second = map(heard, world.rooms)

        assert "/v2/conversations/c000001/end" in calls
        assert [] == session.of("session.renewing")
        assert 1 == len(session.of("session.renewed"))
        (done,) = session.of("utterance.done")
        assert "played" == done["status"]
        assert 10_000 - 2_600 <= len(second) // 48 < 10_000
        assert 10_000 + 40 >= (len(first) + len(second)) // 48  # what its device had not played
        assert ["c000002"] == world.tavus.active()
        assert {"replica.left", "replica.joined"} <= set(session.types())


async def test_replacement_is_no_renewal_to_come() -> None:
    """A session that was not asked to go on ends when its time is over."""
    world = World()
    async with world.session(max_duration_s=600.0, idle_timeout_s=9999.0) as session:
        session.runner.post(e.ReplacementWanted())
        await world.clock.run(600 * S)

    assert ["max_duration"] == [m["reason"] for m in session.of("session.ended")]
    assert [] == world.tavus.active()


# --- the end, at every moment ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", ["creating", "joining", "waiting", "ready", "moved", "replacing", "replaced"]
)
@pytest.mark.parametrize("reason", ["deleted", "drained"])
async def test_end_ends_both_conversations(moment: str, reason: str) -> None:
    """Whenever it comes; the session is settled only when Tavus has answered for both."""
    world = World()
    async with world.session(**DAY) as session:
        await world.clock.run((HOUR - AHEAD_S - 1) * S)
        if moment in {"creating", "replacing"}:
            world.tavus.hold = asyncio.Event()
        if moment == "joining":
            world.prepare = lambda room: setattr(room, "holds_join", asyncio.Event())
        if moment == "waiting":
            world.prepare = alone
        if moment.startswith("repl"):
            session.runner.post(e.ReplacementWanted())
        await world.clock.run((7 if moment == "moved" else 1) * S)
        await session.runner.stop(reason)
        early = session.runner.gone.is_set()
        if world.tavus.hold is not None:
            world.tavus.hold.set()
        await world.clock.run(2 * S)

        assert not early
        assert session.runner.gone.is_set()
        assert [] == world.tavus.active()
        assert 2 == len(world.tavus.conversations)
        assert all(room.has_left for room in world.rooms)
        assert [reason] == [m["reason"] for m in session.of("session.ended")]


async def test_next_conversation_that_is_refused_after_the_end_settles_it() -> None:
    """Nothing is left to end."""
    world = World()
    async with world.session(**DAY) as session:
        await world.clock.run((HOUR - AHEAD_S - 1) * S)
        world.tavus.hold = asyncio.Event()
        world.tavus.next_answers += [refusal(402, "no"), Response()]
        await world.clock.run(1 * S)
        await session.runner.stop("deleted")
        world.tavus.hold.set()
        await world.clock.run(1 * S)

        assert session.runner.gone.is_set()


async def test_crash_leaves_nothing_that_is_not_noted() -> None:
    """Both conversations are in the journal while both cost money."""
    world = World()
    async with world.session(**DAY):
        await ready_to_move(world)
        left = await world.journal.unended("here")

    assert [("sess_1", "c000001"), ("sess_1.2", "c000002")] == [
        (entry.intent.session_id, entry.conversation_id) for entry in left
    ]


async def test_end_at_tavus_is_repeated_whatever_the_session_does() -> None:
    """A conversation that was left is ended although the session goes on, or ends meanwhile."""
    world = World()
    async with world.session(**DAY) as session:
        await ready_to_move(world)
        await world.clock.run(5 * S)
        world.tavus.next_answers += [refusal(500, "no"), httpx.ReadError("lost")]
        await world.clock.run(1 * S)
        await session.runner.stop("deleted")
        await world.clock.run(5 * S)
        await session.runner.close()

        assert [] == world.tavus.active()


async def test_conversation_that_is_over_at_once_is_not_taken() -> None:
    """Tavus may make one that has ended already."""
    world = World()
    async with world.session(**DAY) as session:
        await world.clock.run((HOUR - AHEAD_S - 1) * S)
        over = {"conversation_id": "c9", "conversation_url": "", "status": "ended"}
        world.tavus.next_answers.append(JSONResponse(over))
        await world.clock.run(10 * S)

        assert ["room_failed"] == [m["code"] for m in session.of("error")]
        assert 1 == len(session.of("session.renewed"))
