from __future__ import annotations

import asyncio

from app.core import events as e
from app.core.pcm import AudioFormat
from app.core.spec import AudioPathName
from tests.support.clock import settle
from tests.support.room import REPLICA, FakeRoom
from tests.support.world import MS, S, Session, World, alone, speak


def cuts(session: Session) -> list[tuple[int, bool]]:
    """Epoch and outcome of every interrupt that was told."""
    return [(m["epoch"], m["interrupted"]) for m in session.of("interrupt.accepted")]


def after_cut(room: FakeRoom) -> list[str]:
    """What reached the room from its first clear on."""
    return room.log[room.log.index("clear 1") :]


async def test_cut_then_word_to_the_replica_then_the_account() -> None:
    """The sink stops, Tavus hears of it, and only then the interrupt is accepted."""
    world = World()
    async with world.session() as session:
        speak(session, 5)
        await world.clock.run(1 * S)
        accepted = await session.runner.interrupt(request_id="r1", reason="barge-in")
        await world.clock.run(5 * S)

        assert ["clear 1", "interrupt"] == after_cut(world.room)

    (told,) = session.of("interrupt.accepted")
    (cut,) = told["utterances"]
    assert ("r1", 1, True) == (told["id"], told["epoch"], told["interrupted"])
    assert 1 == accepted.epoch
    assert 5000 == cut["received_ms"] == cut["sent_ms"] + cut["dropped_ms"]
    assert ["interrupted"] == [m["status"] for m in session.of("utterance.done")]


async def test_word_is_sent_when_nothing_plays() -> None:
    """The replica may speak by itself: it is interrupted too, and the epoch rises."""
    world = World()
    async with world.session() as session:
        accepted = await session.runner.interrupt()

    assert not accepted.interrupted
    assert ["clear 1", "interrupt"] == after_cut(world.room)[:2]
    assert [(1, False)] == cuts(session)


async def test_late_refusal_of_what_was_cut_holds_up_nothing() -> None:
    """It will not be handed over again: it is off the accounts, and what comes next goes out."""
    world = World()
    async with world.session() as session:
        speak(session, 5)
        last = world.room.audio[-1].number
        await session.runner.interrupt()
        world.room.report(e.MessageFailed(last, definite=True, reason="full"))
        before = len(world.room.audio)
        speak(session)
        at_once = len(world.room.audio) - before
        await world.clock.run(10 * S)

    ((cut,),) = [told["utterances"] for told in session.of("interrupt.accepted")]
    assert 0 < at_once
    assert [cut["sent_ms"] - 40, 1000] == [done["sent_ms"] for done in session.of("utterance.done")]


async def test_account_has_nothing_that_the_room_had_refused() -> None:
    """Also when the room does not confirm the cut in time."""
    world = World()
    world.prepare = lambda room: setattr(room, "holds_clear", asyncio.Event())
    async with world.session() as session:
        speak(session, end=False)
        for hold_ms in (100, 200, 0):  # the next time it would be waited for 400 ms
            last = world.room.audio[-1].number
            world.room.report(e.MessageFailed(last, definite=True, reason="full"))
            await world.clock.run(hold_ms * MS)
        interrupting = asyncio.ensure_future(session.runner.interrupt())
        await world.clock.run(300 * MS)
        (cut,) = (await interrupting).utterances

    assert 970 - 40 == cut.sent_ms


async def test_before_the_room_there_is_nothing_to_stop() -> None:
    """An interrupt while the room is joined cuts what waits, at once."""
    world = World()
    hold = asyncio.Event()
    world.prepare = lambda room: setattr(room, "holds_join", hold)
    async with world.session() as session:
        speak(session)
        accepted = await session.runner.interrupt()
        log = list(world.room.log)
        hold.set()
        await world.clock.run(1 * S)
        heard = len(world.room.audio)
        speak(session)
        await world.clock.run(1 * S)

        assert (1, 1000) == (accepted.epoch, accepted.dropped_ms)
        assert ["join"] == log
        assert 0 == heard
        assert {1} == {sent.epoch for sent in world.room.audio}


async def test_chunks_on_their_way_are_abandoned_and_not_counted() -> None:
    """What still waits for its place at the room dies with the cut; what it took is sent."""
    world = World()
    world.prepare = lambda room: setattr(room, "confirms", False)
    async with world.session() as session:
        speak(session, 2)
        await settle()
        taken = len(world.room.audio)
        interrupting = asyncio.create_task(session.runner.interrupt())
        await settle()
        world.room.confirm(4)
        await settle()
        (cut,) = (await interrupting).utterances
        heard = len(world.room.audio)

    assert 4 == taken == heard
    assert 2000 == cut.received_ms == cut.sent_ms + cut.dropped_ms
    assert 10 + 3 * 40 == cut.sent_ms


async def test_word_keeps_its_place_when_its_time_is_over() -> None:
    """With the room's line full the account waits 250 ms at most; the word still goes first."""
    world = World()
    world.prepare = lambda room: setattr(room, "confirms", False)
    async with world.session() as session:
        speak(session, 2)
        await settle()
        interrupting = asyncio.create_task(session.runner.interrupt())
        await world.clock.run(249 * MS)
        early = interrupting.done()
        await world.clock.run(1 * MS)
        await interrupting
        speak(session)
        await settle()
        waiting = list(world.room.log)
        world.room.confirm(4)
        await world.clock.run(100 * MS)

        assert not early
        assert "interrupt" not in waiting
        assert ["clear 1", "interrupt", "echo"] == after_cut(world.room)[:3]


async def test_room_that_does_not_confirm_is_not_waited_for() -> None:
    """After 250 ms without an answer the cut is accounted for, and the replica was told."""
    world = World()
    world.prepare = lambda room: setattr(room, "holds_clear", asyncio.Event())
    async with world.session() as session:
        speak(session, 2)
        await settle()
        interrupting = asyncio.create_task(session.runner.interrupt())
        await world.clock.run(250 * MS)
        accepted = await interrupting

        assert accepted.interrupted
        assert ["clear 1", "interrupt"] == after_cut(world.room)[:2]


async def test_bug_in_stopping_ends_the_session() -> None:
    """Nobody knows what is still played: the session ends, and the interrupt is accounted for."""
    world = World()

    def broken(epoch: int) -> asyncio.Future[int]:
        raise ValueError("a bug", epoch)

    async with world.session() as session:
        speak(session, 2)
        world.room.clear_audio = broken  # type: ignore[method-assign]  # the bug
        accepted = await session.runner.interrupt()
        await settle()

        assert accepted.interrupted
        assert "internal" == session.of("session.ended")[0]["reason"]


async def test_two_at_once_are_accounted_in_order() -> None:
    """From both ways at once: epochs 1 and 2, told in that order, each by its own."""
    world = World()
    hold = asyncio.Event()
    world.prepare = lambda room: setattr(room, "holds_clear", hold)
    async with world.session() as session:
        speak(session, 2)
        await settle()
        first = asyncio.create_task(session.runner.interrupt(request_id="a"))
        await settle()
        second = session.runner.begin_interrupt("b", None, None, in_band=True)
        declined = session.runner.begin_interrupt("c", "nobody", None, in_band=True)
        await settle()
        early = session.of("interrupt.accepted")
        hold.set()
        await settle()

        assert [] == early
        assert [("a", 1), ("b", 2), ("c", 2)] == [
            (m["id"], m["epoch"]) for m in session.of("interrupt.accepted")
        ]
        assert [1, 2] == [(await first).epoch, (await second).epoch]
        assert not (await declined).interrupted
        assert ["clear 1", "clear 2"] == after_cut(world.room)[:2]


async def test_guard_stops_it() -> None:
    """With the id of another utterance nothing is cut and the epoch stays."""
    world = World()
    async with world.session() as session:
        speak(session)
        await settle()
        declined = await session.runner.interrupt(utterance_id="someone-else")
        cut = await session.runner.interrupt(utterance_id="u-1")

    assert (0, False) == (declined.epoch, declined.interrupted)
    assert (1, True) == (cut.epoch, cut.interrupted)


async def test_caller_that_goes_away_cancels_nothing() -> None:
    """An HTTP caller that hangs up has interrupted all the same."""
    world = World()
    hold = asyncio.Event()
    world.prepare = lambda room: setattr(room, "holds_clear", hold)
    async with world.session() as session:
        speak(session, 2)
        await settle()
        interrupting = asyncio.create_task(session.runner.interrupt())
        await settle()
        interrupting.cancel()
        await settle()
        hold.set()
        await settle()

        assert interrupting.cancelled()
        assert [(1, True)] == cuts(session)


async def test_session_may_end_in_the_middle() -> None:
    """An end while the room has not confirmed: accounted first, then done, then ended."""
    world = World()
    world.prepare = lambda room: setattr(room, "holds_clear", asyncio.Event())
    async with world.session() as session:
        speak(session, 2)
        await world.clock.run(1 * S)
        interrupting = asyncio.create_task(session.runner.interrupt())
        await settle()
        await session.runner.stop("deleted")
        accepted = await interrupting
        await world.clock.run(1 * S)

    assert accepted.interrupted
    assert ["interrupt.accepted", "utterance.done", "session.ended"] == [
        t for t in session.types()[-4:] if t != "session.state"
    ]
    assert 1 == len(session.of("interrupt.accepted"))


async def test_nothing_is_handed_over_before_the_account() -> None:
    """Audio that comes right after a cut waits for it, and goes out under the new epoch."""
    world = World()
    hold = asyncio.Event()
    world.prepare = lambda room: setattr(room, "holds_clear", hold)
    async with world.session() as session:
        speak(session, 2)
        await settle()
        interrupting = asyncio.create_task(session.runner.interrupt())
        await settle()
        speak(session)
        await settle()
        early = [sent for sent in world.room.audio if sent.epoch == 1]
        hold.set()
        await interrupting
        await settle()

        assert [] == early
        assert "echo" == world.room.log[-1]
        assert ["interrupt", "echo"] == after_cut(world.room)[1:3]


async def test_track_counts_what_the_device_got() -> None:
    """On the track the room's own count tells what was handed over."""
    world = World()
    async with world.session(audio_path=AudioPathName.TRACK) as session:
        speak(session, 2)
        await world.clock.run(500 * MS)
        (cut,) = (await session.runner.interrupt()).utterances
        await world.clock.run(3 * S)
        (done,) = session.of("utterance.done")

    assert world.room.handed * 1000 // 24_000 == cut.sent_ms
    assert 500 <= cut.sent_ms <= 540
    assert done["played_ms"] <= cut.sent_ms


async def test_paused_speech_can_be_cut() -> None:
    """An interrupt ends a pause: what comes next plays."""
    world = World()
    async with world.session() as session:
        speaker = session.runner.speaker
        speaker.voice.pause(world.clock.now())
        speak(session)
        accepted = await session.runner.interrupt()
        speak(session)
        await settle()

        assert (0, 1000) == (accepted.utterances[0].sent_ms, accepted.dropped_ms)
        assert {1} == {sent.epoch for sent in world.room.audio}
        assert AudioFormat() == speaker.voice.intake.format


async def test_replica_hears_of_a_cut_that_was_made_without_a_room() -> None:
    """It plays on what it has until it is told, first of all, in the next room."""
    world = World()
    hold = asyncio.Event()
    async with world.session() as session:
        speak(session, 5)
        await world.clock.run(1 * S)
        world.prepare = lambda room: setattr(room, "holds_join", hold)
        world.room.loses()
        await settle()
        accepted = await session.runner.interrupt()
        hold.set()
        await world.clock.run(1 * S)

    assert accepted.interrupted
    assert ["join", "interrupt", "leave"] == world.rooms[1].log


async def test_replica_hears_of_a_cut_in_a_room_that_is_lost_meanwhile() -> None:
    """The account is given all the same."""
    world = World()
    async with world.session() as session:
        speak(session, 5)
        await world.clock.run(1 * S)
        first = world.room
        first.holds_clear = asyncio.Event()
        interrupting = asyncio.create_task(session.runner.interrupt())
        await settle()
        first.loses()
        first.holds_clear.set()
        accepted = await interrupting
        await world.clock.run(1 * S)

    assert accepted.interrupted
    assert ["join", "interrupt", "leave"] == world.rooms[1].log


async def test_replica_of_another_conversation_hears_of_no_cut_before_it() -> None:
    """It would fall silent in the middle of what came after."""
    world = World()
    async with world.session() as session:
        speak(session, 5)
        await world.clock.run(1 * S)
        first = world.room
        first.holds_clear = asyncio.Event()
        interrupting = asyncio.create_task(session.runner.interrupt())
        await settle()
        session.runner.post(e.ReplacementWanted())
        await settle()
        first.holds_clear.set()
        accepted = await interrupting
        late = await session.runner.interrupt()
        speak(session)
        await world.clock.run(3 * S)

        assert accepted.interrupted
        assert not late.interrupted
        assert ["interrupted", "played"] == [m["status"] for m in session.of("utterance.done")]
        # The second cut was made in the second room.
        assert ["join", "clear 2", "interrupt", "echo"] == world.rooms[1].log[:4]


async def test_cut_without_a_conversation_is_told_to_nobody() -> None:
    """What was cut nobody holds any more."""
    world = World()
    async with world.session() as session:
        world.prepare = alone
        session.runner.post(e.ReplacementWanted())
        await settle()
        speak(session)
        accepted = await session.runner.interrupt()
        world.rooms[1].report(e.ParticipantJoined(REPLICA))
        speak(session)
        await world.clock.run(3 * S)

        assert (1000, True) == (accepted.dropped_ms, accepted.interrupted)
        assert "interrupt" not in world.rooms[1].log
        assert ["interrupted", "played"] == [m["status"] for m in session.of("utterance.done")]
