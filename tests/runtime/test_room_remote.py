from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app import errors
from app.core import events as e
from app.core.media import Media, Picture, PictureChoice, PictureCodec, Sound, Wants
from app.core.pcm import Chunk
from app.core.spec import AudioPathName
from app.runtime.clock import SystemClock
from app.runtime.room_remote import CLEAR_NS, FRAMES_AHEAD, JOIN_NS, RemoteRoom
from app.runtime.worker import BEAT_NS
from app.runtime.workers import Workers
from tests.support.clock import FakeClock, settle
from tests.support.processes import until
from tests.support.room_worker import ANNA

FRAME = Chunk(bytes(960), 480)


class Rig:
    """A pool of fake workers, and rooms in it."""

    def __init__(self, how: str = "good", clock: FakeClock | None = None) -> None:
        self.clock = clock or SystemClock()
        command = (sys.executable, "-m", "tests.support.room_worker", how)
        self.workers = Workers(self.clock, command, rooms_per_worker=4, on_lost=lambda: None)
        self.facts: list[e.RoomFact] = []
        self.media: list[Media] = []

    def room(self, name: str = "r") -> RemoteRoom:
        """A room that is not joined."""
        return RemoteRoom(
            f"https://x.daily.co/{name}",
            None,
            "Bridge",
            "Anna",
            self.facts.append,
            self.media.append,
            self.clock,
            self.workers,
            is_track=True,
        )

    async def joined(self, name: str = "r") -> RemoteRoom:
        """A room that we are in; what was told until then is forgotten."""
        room = self.room(name)
        await room.join()
        await self.until(e.RoomJoined)
        self.facts.clear()
        return room

    async def until(self, kind: type[e.RoomFact]) -> list[Any]:
        """The facts of this type, once there is one."""
        await until(f"a {kind.__name__}", lambda: self.of(kind))
        return self.of(kind)

    def of(self, kind: type[e.RoomFact]) -> list[Any]:
        """The facts of this type."""
        return [fact for fact in self.facts if isinstance(fact, kind)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """On the machine's own clock."""
    made = Rig()
    yield made
    await made.workers.close()


@pytest.fixture
async def slow() -> AsyncIterator[Rig]:
    """On a clock that is moved by hand."""
    made = Rig(clock=FakeClock())
    yield made
    await made.workers.close()


async def test_joining_tells_who_is_there(rig: Rig) -> None:
    """And leaving is over when the worker says so; twice is once."""
    room = rig.room()
    await room.join()
    (joined,) = await rig.until(e.RoomJoined)
    await room.ping()
    await room.leave()
    await room.leave()

    assert ((ANNA,), "p-ours") == (joined.participants, joined.participant_id)
    with pytest.raises(errors.RoomFailed):
        await room.ping()


@pytest.mark.parametrize(("name", "kind"), [("fails", e.RoomFailed), ("again", e.RoomLost)])
async def test_a_join_that_fails(rig: Rig, name: str, kind: type[Any]) -> None:
    """For good, or so that it may be tried again."""
    room = rig.room(name)
    await room.join()
    (fact,) = await rig.until(kind)
    await room.leave()

    assert "the room refused us" == fact.error.detail
    assert [fact] == rig.facts


@pytest.mark.parametrize("how", ["broken", "mute"])
async def test_a_worker_that_does_not_start(how: str) -> None:
    """The room is lost; nobody waits for ever."""
    clock = FakeClock()
    rig = Rig(how, clock)
    room = rig.room()
    joining = asyncio.create_task(room.join())
    while not joining.done():
        await asyncio.sleep(0.01)
        await clock.run(100_000_000)
    await joining
    await settle()

    assert 1 == len(rig.of(e.RoomLost))
    await rig.workers.close()


async def test_a_room_that_is_left_before_its_worker_has_started() -> None:
    """Gives its place back at once, and whoever asked for it may be gone; the worker ends."""
    rig = Rig("mute", FakeClock())
    room, other = rig.room(), rig.room("other")
    joining = [asyncio.create_task(each.join()) for each in (room, other)]
    await settle()
    (worker,) = rig.workers.alive
    joining[0].cancel()
    await room.leave()

    assert 1 == worker.rooms
    await other.leave()
    assert 0 == worker.rooms
    assert worker.stopping
    await rig.workers.close()
    await asyncio.wait(joining)
    assert [] == rig.facts


async def test_a_room_that_is_left_before_it_is_joined_takes_no_place() -> None:
    """The join that comes after all does nothing."""
    rig = Rig(clock=FakeClock())
    room = rig.room()
    await room.leave()
    await room.join()

    assert () == rig.workers.alive


async def test_no_message_is_taken_before_we_are_in_the_room() -> None:
    """It would be lost without a word, and its credit with it."""
    rig = Rig("mute", FakeClock())
    room = rig.room()
    joining = asyncio.create_task(room.join())
    await settle()

    assert 0 == await room.send_message("{}")
    assert {} == room._unanswered
    await room.leave()
    await rig.workers.close()
    await joining


async def test_a_join_that_is_never_answered_costs_the_worker(slow: Rig) -> None:
    """The worker has deadlines of its own: one that meets ours is broken."""
    joining = asyncio.create_task(slow.room("unanswered").join())
    await settle()
    (worker,) = slow.workers.alive
    await worker.wait_started()
    assert isinstance(slow.clock, FakeClock)
    end = slow.clock.now() + JOIN_NS
    while slow.clock.now() < end:
        await until("it lives", lambda: worker._heard)
        await slow.clock.run(BEAT_NS)
    await joining
    await settle()

    assert "did not answer for a join" in slow.of(e.RoomLost)[0].error.detail


async def test_leaving_before_the_worker_has_started(rig: Rig) -> None:
    """Nothing is told any more, and the place is free again."""
    room = rig.room()
    joining = asyncio.create_task(room.join())
    await asyncio.sleep(0)
    await asyncio.gather(joining, room.leave())
    await until("the worker is gone", lambda: not rig.workers.alive)

    assert [] == rig.facts


async def test_frames_are_credited(rig: Rig) -> None:
    """So many are ahead of the device; then the next one waits."""
    room = await rig.joined()
    calls: list[bool] = []
    room.attend(lambda: calls.append(room.ready_for(AudioPathName.TRACK)))
    for _ in range(FRAMES_AHEAD):
        assert room.ready_for(AudioPathName.TRACK)
        room.write_audio(0, FRAME)

    assert not room.ready_for(AudioPathName.TRACK)
    await until("two have sounded", lambda: len(rig.of(e.AudioConsumed)) == 2)  # as many as do

    assert [True] == calls
    room.write_audio(0, FRAME)
    room.write_audio(0, FRAME)
    handed = await room.clear_audio(1)

    assert 4 * 480 == handed
    assert room.ready_for(AudioPathName.TRACK)
    await room.leave()

    assert not room.ready_for(AudioPathName.TRACK)


async def test_a_worker_that_does_not_clear_is_killed(slow: Rig) -> None:
    """Nobody knows what it still plays; the room is lost, whoever asked has stopped waiting."""
    room = await slow.joined("silent")
    room.write_audio(0, FRAME)
    await slow.until(e.AudioConsumed)
    clearing = room.clear_audio(1)
    assert isinstance(slow.clock, FakeClock)
    await slow.clock.run(CLEAR_NS)
    await settle()

    assert 480 == await clearing

    assert "did not stop its audio in time" in slow.of(e.RoomLost)[0].error.detail
    assert 480 == await room.clear_audio(2)  # what is known: nothing reaches the device any more


async def test_what_becomes_of_messages(rig: Rig) -> None:
    """Refused, too large, or never answered: each is told once, with its number."""
    room = await rig.joined()
    numbers = [await room.send_message(text) for text in ("fine", "refuse", "large", "lost")]
    await until("three have failed", lambda: len(rig.of(e.MessageFailed)) == 3)
    await room.leave()

    assert [1, 2, 3, 4] == numbers
    assert [(2, True, False), (3, True, True), (4, False, False)] == [
        (fact.message_id, fact.definite, fact.too_large) for fact in rig.of(e.MessageFailed)
    ]
    assert 0 == await room.send_message("too late")


async def test_four_messages_may_be_unanswered(rig: Rig) -> None:
    """Audio is not asked for then, and anything else waits, also while a clear does."""
    room = await rig.joined("silent")
    for number in range(1, 5):
        assert room.ready_for(AudioPathName.ECHO)
        assert number == room.send_audio("x", 0, 0)

    assert not room.ready_for(AudioPathName.ECHO)
    other = asyncio.create_task(room.send_message("x"))
    await settle()
    clearing = room.clear_audio(1)
    await settle()

    assert not other.done()
    leaving = asyncio.create_task(room.leave())

    assert 0 == await other
    assert 0 == await clearing
    await leaving


async def test_a_lost_worker_loses_the_room(rig: Rig) -> None:
    """With what is known of messages and audio; nobody waits for it any more."""
    room = await rig.joined("silent")
    for _ in range(FRAMES_AHEAD):
        room.write_audio(0, FRAME)
    await until("two have sounded", lambda: len(rig.of(e.AudioConsumed)) == 2)
    first = room.send_audio("x", 0, 0)
    second = await room.send_message("y")
    (worker,) = rig.workers.alive
    worker.kill("it is late")
    (lost,) = await rig.until(e.RoomLost)

    assert not room.ready_for(AudioPathName.TRACK)
    assert "the room worker is gone: it is late" == lost.error.detail
    assert ((first, second), 2 * 480) == (lost.unanswered, lost.consumed)
    assert [lost] == [fact for fact in rig.facts if not isinstance(fact, e.AudioConsumed)]
    await room.leave()


async def test_what_happens_in_the_room_is_told(rig: Rig) -> None:
    """Objects and strings are app messages; anything else is nobody's."""
    room = await rig.joined()
    nested = "[" * 100_000
    for text in ("cut", "mend", "come", "go", 'say {"a":1}', 'say "b"', "say 1", f"say {nested}"):
        await room.send_message(text)
    await until("all is told", lambda: len(rig.facts) == 6)
    await room.leave()

    told = [type(fact) for fact in rig.facts]
    assert [e.LinkInterrupted, e.LinkRestored, e.ParticipantJoined, e.ParticipantLeft] == told[:4]
    assert [{"a": 1}, "b"] == [fact.message for fact in rig.of(e.AppMessageReceived)]


EVERYTHING = Wants(frozenset({PictureChoice(PictureCodec.JPEG, 25, 1280)}), sound=True, people=True)


@pytest.mark.parametrize("early", [True, False])
async def test_what_is_watched_is_shown(rig: Rig, early: bool) -> None:
    """Wished before the join or in the room; it comes from the worker as it is."""
    room = rig.room()
    if early:
        room.watch(EVERYTHING)
    await room.join()
    if not early:
        room.watch(EVERYTHING)
    await until("all was shown", lambda: len(rig.media) == 3)

    (choice,) = EVERYTHING.pictures
    assert [
        Picture(choice, 16, 10, b"picture", 7),
        Sound(b"sound!", 24_000, 8),
        Sound(b"person", 24_000, 9, "p1"),
    ] == rig.media


async def test_nothing_is_shown_of_a_room_that_was_left(rig: Rig) -> None:
    """What was on its way is dropped, and a wish comes too late."""
    room = await rig.joined()
    room.watch(EVERYTHING)
    await room.leave()
    before = len(rig.media)
    room.watch(EVERYTHING)
    other = await rig.joined("other")
    other.watch(EVERYTHING)
    await until("the other shows", lambda: len(rig.media) == before + 3)
