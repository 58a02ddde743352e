"""A ``Room`` in another process: a place in a room worker, at the end of its link.

What is handed over is bounded by credits, so writing to the link cannot block. When the worker
dies, or the room says that we may try again, the room is lost: who holds the session joins anew, in
another ``RemoteRoom``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

import msgspec

from app import errors
from app.core import events as e
from app.core import room_link as link
from app.core.media import Wants
from app.core.pcm import Chunk
from app.core.spec import AudioPathName
from app.runtime.clock import NS_PER_S, Clock, deadline
from app.runtime.credits import Credits, Frames
from app.runtime.room import ReportFact, ReportMedia
from app.runtime.worker import Worker
from app.runtime.workers import Workers

JOIN_NS = 25 * NS_PER_S
"""For a join that the worker itself gives 15 s, then the track; only a broken worker meets it."""

CLEAR_NS = NS_PER_S // 4
"""The longest that an interrupt may wait for the worker's word; then the worker is killed."""

MESSAGES_AHEAD = 4
"""App messages that may be unanswered."""

FRAMES_AHEAD = 6
"""Frames of 20 ms on their way to the device: two in it, the others to bridge a stall of 80 ms."""


class RemoteRoom:
    """Our participant in a room that a worker holds."""

    def __init__(  # noqa: PLR0917  # who and where, then whom to tell, then what to run on
        self,
        url: str,
        token: str | None,
        name: str,
        replica_name: str,
        report: ReportFact,
        show: ReportMedia,
        clock: Clock,
        workers: Workers,
        *,
        is_track: bool,
    ) -> None:
        """Be outside. ``url`` is the ``conversation_url``, ``token`` its ``meeting_token``.

        ``name`` is ours; ``replica_name`` the replica's, empty when it is not known.
        """
        self._url = url
        self._token = token
        self._name = name
        self._replica_name = replica_name
        self._report_fact = report
        self._show = show
        self._clock = clock
        self._workers = workers
        self._is_track = is_track
        self._worker: Worker | None = None
        self._number = 0
        self._wants = Wants()
        self._is_ordered = False
        """The worker knows of the room."""
        self._is_in = False
        """We were let in; before that a message would be lost without a word."""
        self._answered = asyncio.Event()
        """The join went well or failed."""
        self._has_left = asyncio.Event()
        self._leaving = False
        self._dead = False
        self._messages = Credits(MESSAGES_AHEAD)
        self._frames = Frames(FRAMES_AHEAD)
        self._message_ids = 0
        self._unanswered: dict[int, None] = {}
        """Ids of messages, oldest first."""
        self._clears: dict[int, list[asyncio.Future[int]]] = {}

    # --- Room

    async def join(self) -> None:
        """Enter the room; then ``RoomJoined``, ``RoomLost`` or ``RoomFailed`` is reported."""
        if self._gone:
            return
        self._worker, self._number = worker, _ = self._workers.seat(self)
        try:
            await worker.wait_started()
        except errors.RoomFailed:
            return  # the worker's end is told by itself
        if self._leaving:
            return  # its place was given back
        names = self._name, self._is_track, self._replica_name
        worker.send(link.Join(self._number, self._url, self._token, *names))
        self._is_ordered = True
        if self._wants:
            self.watch(self._wants)
        try:
            async with deadline(self._clock, self._clock.now() + JOIN_NS):
                await self._answered.wait()
        except TimeoutError:
            worker.kill("it did not answer for a join")

    async def leave(self) -> None:
        """Leave and let go of everything. Can be called twice and at any time."""
        self._leaving = True
        self._let_go()
        if self._worker is None:
            return
        if not self._is_ordered:
            # It may be long in starting, and whoever leaves does not wait for ever.
            self._worker.vacate(self._number)
            return
        self._worker.leave(self._number)
        await self._has_left.wait()

    def attend(self, on_ready: Callable[[], None]) -> None:
        """Call this whenever audio may be handed over again."""
        self._frames.attend(on_ready)
        self._messages.attend(on_ready)

    def ready_for(self, path: AudioPathName) -> bool:
        """Whether one more piece of audio may be handed over now."""
        if not self._is_in or self._gone:
            return False
        return (self._frames if path is AudioPathName.TRACK else self._messages).ready

    def write_audio(self, epoch: int, chunk: Chunk) -> None:
        """Hand over a frame of track audio."""
        self._frames.wrote(epoch, chunk.length)
        self._order(link.Write(self._number, epoch, chunk.pcm))

    def send_audio(
        self,
        message: str,
        epoch: int,  # noqa: ARG002  # only a sandbox has a use for it, and for `silence`
        silence: int,  # noqa: ARG002
    ) -> int:
        """Hand over audio as an app message."""
        self._messages.grab()
        return self._send(message)

    async def send_message(self, message: str) -> int:
        """Hand over one app message, waiting while 4 are unanswered."""
        return await self._messages.use(lambda: self._send(message)) if self._is_in else 0

    def clear_audio(self, epoch: int) -> asyncio.Future[int]:
        """Drop all audio older than ``epoch`` that is not yet with the device.

        A worker that does not answer in time is killed: nobody knows what it still plays.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        worker = self._worker
        if self._gone or worker is None:
            answer.set_result(self._frames.consumed)  # nothing reaches the device any more
            return answer
        self._clears.setdefault(epoch, []).append(answer)
        alarm = self._clock.call_at(
            self._clock.now() + CLEAR_NS, lambda: worker.kill("it did not stop its audio in time")
        )
        answer.add_done_callback(lambda _: alarm.cancel())
        worker.send(link.Clear(self._number, epoch))
        return answer

    def watch(self, wants: Wants) -> None:
        """Give these pictures and this sound from now on; the worker fetches and encodes them."""
        self._wants = wants
        if self._is_ordered and not self._gone and self._worker is not None:
            self._worker.send(link.Watch(self._number, wants))

    async def ping(self) -> None:
        """Raise ``RoomFailed`` (of ``app.errors``) when the worker is dead."""
        if self._gone or self._worker is None or self._worker.dead:
            raise errors.RoomFailed("there is no link to the room")

    # --- Tenant

    def take(self, report: link.OfRoom) -> None:
        """Tell what happened in the room."""
        match report:
            case link.Joined(_, participants, ours):
                self._is_in = True
                self._answered.set()
                self._report(e.RoomJoined(participants, ours))
            case link.Failed(_, reason, again):
                self._fail(reason, again=again)
            case link.Left():
                self._has_left.set()
            case link.Came(_, participant):
                self._report(e.ParticipantJoined(participant))
            case link.Went(_, participant):
                self._report(e.ParticipantLeft(participant))
            case link.Said(_, message):
                self._say(message)
            case link.Consumed(_, samples):
                self._frames.played(samples)
                self._report(e.AudioConsumed(samples, self._clock.now()))
            case link.Cleared(_, epoch, samples):
                self._frames.cleared(epoch, samples)
                for answer in self._clears.pop(epoch, []):
                    if not answer.done():
                        answer.set_result(samples)
            case link.Sent(_, number):
                self._answer(number)
            case link.Refused(_, number, reason, too_large):
                # Told before its place is free: nothing overtakes what was refused.
                self._report(e.MessageFailed(number, True, reason, too_large))
                self._answer(number)
            case link.Unanswered(_, number):
                self._report(e.MessageFailed(number, False, "the room did not confirm it"))
                self._answer(number)
            case link.Interrupted():
                self._report(e.LinkInterrupted())
            case link.Restored():
                self._report(e.LinkRestored())
            case _:
                assert_never(report)

    def see(self, media: link.OfMedia) -> None:
        """Show what is to be seen or heard."""
        if not self._gone:
            self._show(media.picture if isinstance(media, link.Shown) else media.sound)

    def worker_lost(self, why: str) -> None:
        """The worker is dead, and our place with it."""
        self._has_left.set()
        self._fail(f"the room worker is gone: {why}", again=True)

    # --- inside

    @property
    def _gone(self) -> bool:
        return self._leaving or self._dead

    def _order(self, order: link.Order) -> None:
        if self._worker is not None:
            self._worker.send(order)

    def _send(self, message: str) -> int:
        self._message_ids += 1
        number = self._message_ids
        self._unanswered[number] = None
        self._order(link.Send(self._number, number, message))
        return number

    def _answer(self, number: int) -> None:
        if number in self._unanswered:
            del self._unanswered[number]
            self._messages.give()

    def _say(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return  # somebody's app message: it must not cost us the room
        if isinstance(message, dict | str):
            self._report(e.AppMessageReceived(message, self._clock.now()))

    def _fail(self, reason: str, *, again: bool) -> None:
        """Our place in the room is gone: once."""
        if self._gone:
            return
        error = errors.RoomFailed(reason)
        unanswered = tuple(self._unanswered)
        self._dead = True
        self._let_go()
        if again:
            self._report(e.RoomLost(error, unanswered, self._frames.consumed))
        else:
            self._report(e.RoomFailed(error))

    def _report(self, fact: e.RoomFact) -> None:
        if not self._leaving:
            self._report_fact(fact)

    def _let_go(self) -> None:
        """Free everybody who waits for the room."""
        self._answered.set()
        self._frames.close()
        self._messages.close()
        for answers in self._clears.values():
            for answer in answers:
                if not answer.done():
                    answer.set_result(self._frames.consumed)
        self._clears.clear()
