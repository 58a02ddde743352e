"""Runs one session: facts in, the table's orders carried out, facts of what they came to.

Between a fact and its orders there is no ``await``. What takes time (Tavus, the room, a cut) is a
named task that reports back as a fact. What the voice has to tell is published after every change.
A bug of ours, wherever it shows, is one more cause for the session to end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.core import commands as c
from app.core import events as e
from app.core import wire_out as out
from app.core.audience import Audience
from app.core.media import Media
from app.core.occupants import Occupants
from app.core.roles import Role
from app.core.session import Session
from app.core.session_table import Fact
from app.core.spec import SessionSpec, SessionView, Status
from app.core.tokens import SpentTokens
from app.errors import BridgeError, Internal, ReplicaStalled, SessionOver
from app.runtime.alarm import Callback
from app.runtime.bus import Bus
from app.runtime.clock import Handle
from app.runtime.conversation import Answer, Conversation
from app.runtime.conversations import Conversations
from app.runtime.frames import Frames
from app.runtime.journal import Claim
from app.runtime.listener import Listener
from app.runtime.portrait import Portrait
from app.runtime.renewer import Renewer
from app.runtime.resources import Resources
from app.runtime.room_facts import RoomFacts
from app.runtime.speaker import Speaker
from app.runtime.tasks import Tasks
from app.runtime.timers import Timers

log = logging.getLogger(__name__)

ENDED, DRAINED = 4410, 4503
"""How the streams of a session that is over are closed."""

USER_SPEECH = "user_speech"
"""The reason of an interrupt that a person's voice has caused."""

MAX_REASON = 256
"""Characters of a reason that everybody is told."""

STALLED = {
    e.Stall.SPEECH: "the replica was sent audio but tells nothing of speaking it",
    e.Stall.PICTURE: "the replica's picture is wanted but does not come",
}
"""``replica_stalled`` in words."""


class Runner:
    """One session."""

    def __init__(
        self,
        session_id: str,
        spec: SessionSpec,
        res: Resources,
        *,
        claim: Claim | None = None,
        on_created: Callable[[Runner, BridgeError | None], None],
        on_over: Callable[[Runner], None],
    ) -> None:
        """Make one that costs nothing until ``start``; ``claim`` is its ``Idempotency-Key``.

        ``on_created`` is called when Tavus has answered, with its refusal if it refused;
        ``on_over`` when the session has ended for its clients; each once.
        """
        clock = res.clock
        self.session_id = session_id
        self.spec = spec
        self.clock = clock
        self.bus = Bus(clock)
        self.audience = Audience()
        self.spent = SpentTokens()
        self._settled = asyncio.Event()
        """Ready, or over."""
        self.gone = asyncio.Event()
        """Over, and Tavus has confirmed that nothing costs money any more."""
        self._portrait = Portrait(session_id, spec, res.settings.room_kind.value, clock)
        self.metrics = res.metrics
        self._replaces_stalled = res.settings.replace_stalled
        self._on_created = on_created
        self._on_over = on_over
        self._session = Session(renews=spec.renew)
        self._told: Status | None = None
        self._created = asyncio.Event()
        self._refusal: BridgeError | None = None
        self._tasks = Tasks(self._on_bug)
        self._conversations = Conversations(
            session_id,
            spec,
            res,
            self._tasks,
            self._on_report,
            self._on_room_fact,
            self._on_media,
            claim,
        )
        self._occupants = Occupants()
        self._timers = Timers(
            clock,
            self._call_at,
            spec,
            replica_lost_timeout_s=res.settings.replica_lost_timeout_s,
            is_active=self._is_active,
            announce=self.bus.publish,
            report=self.post,
        )
        self.speaker = Speaker(
            spec,
            res,
            self.bus,
            self._tasks,
            self._call_at,
            self._safe,
            self._timers.touch,
            self._on_voice,
        )
        self.frames = Frames(
            clock,
            res.metrics,
            self.speaker,
            self._occupants.number_of,
            listens=spec.interrupt_on_user_speech,
        )
        self._listener = Listener(
            clock,
            self.speaker,
            self._occupants.number_of,
            self._on_user_speech,
            user_speech_ms=res.settings.user_speech_ms,
        )
        self._room_facts = RoomFacts(
            self._occupants, self.speaker, self.bus, res.metrics, self.post
        )
        self._renewer = Renewer(
            session_id,
            clock,
            self._conversations,
            self.speaker,
            self._room_facts,
            self.frames,
            self._timers,
            self.bus,
            res.metrics,
        )

    # --- for the edge

    @property
    def over(self) -> bool:
        """Whether the session has ended for its clients."""
        return self._session.over

    @property
    def refused(self) -> bool:
        """Whether Tavus made no conversation."""
        return self._refusal is not None

    @property
    def status(self) -> Status:
        """The public status."""
        return self._session.status

    def resumes(self, token: str) -> Role | None:
        """The role of the stream with this resume token; None when there is none."""
        if self.speaker.producer.knows(token):
            return Role.PRODUCE
        seat = self.audience.find(token)
        return None if seat is None else seat.role

    def view(self) -> SessionView:
        """The session as it is now."""
        conversation = self._conversations.current
        if self._session.moves_soon and self._conversations.next is not None:
            conversation = self._conversations.next.conversation
        return self._portrait.view(self._session, conversation.created)

    def start(self) -> None:
        """Ask Tavus for the conversation; goes on whoever waits for it."""
        try:
            self._tell_state()
            self.post(e.StartRequested())
        except Exception:
            log.exception("%s could not start", self.session_id)
            self._on_answer(e.ConversationRefused(Internal()))

    async def wait_created(self) -> None:
        """Return when the conversation exists. Raises why there is none, or what ended it."""
        await self._created.wait()
        error = self._refusal or self._session.error
        if error is not None:
            raise error.copy()

    async def wait_ready(self) -> None:
        """Return when the replica listens. Raises why it never will."""
        await self._settled.wait()
        if self._session.error is not None:
            raise self._session.error.copy()
        if self.over:
            raise SessionOver(f"the session ended: {self._session.reason}")

    def touch(self) -> None:
        """Something counts as activity."""
        self._timers.touch(self.clock.now())

    async def interrupt(
        self,
        *,
        request_id: str | None = None,
        utterance_id: str | None = None,
        reason: str | None = None,
    ) -> out.InterruptAccepted:
        """Barge in from outside the producer's connection. Raises ``SessionOver``.

        The cut is made, and accounted for, even when the caller does not wait for it.
        """
        self.touch()
        cutting = self.begin_interrupt(request_id, utterance_id, reason, in_band=False)
        return await asyncio.shield(cutting)

    def begin_interrupt(
        self, request_id: str | None, guard: str | None, reason: str | None, *, in_band: bool
    ) -> asyncio.Future[out.InterruptAccepted]:
        """Cut now, account for it when the room has confirmed. Raises ``SessionOver``."""
        if self.over:
            raise SessionOver
        reason = None if reason is None else reason[:MAX_REASON]
        log.info("%s: interrupt (%s)", self.session_id, reason or "no reason given")
        return self.speaker.interrupt(request_id, guard, reason, in_band=in_band)

    async def interact(self, event_type: str, properties: dict[str, Any]) -> None:
        """Send a Tavus interaction.

        Raises ``SessionOver``, ``SessionNotReady``, ``InvalidRequest``, ``TooLarge``, and
        ``RoomFailed`` when the room does not take it.
        """
        if self.over:
            raise SessionOver
        self.touch()
        await self._conversations.current.interact(
            event_type, properties, is_ready=self.status is Status.READY
        )

    def take_callback(self, message: dict[str, Any]) -> None:
        """Take what Tavus posted about a conversation of this session; twice changes nothing."""
        with self._ending_on_bug("callback"):
            about, successor = self._conversations.about(message), self._conversations.next
            if self.over or about is None:
                return
            if about is self._conversations.current:
                self._room_facts.take_callback(message)
            elif successor is not None:
                successor.take_message(message)

    async def stop(self, reason: str) -> None:
        """End the session; returns after the cut. The second time does nothing."""
        self.post(e.StopRequested(reason))

    async def close(self) -> None:
        """Let go of an ended session's tasks, once it has left its rooms."""
        await self._conversations.left()
        await self._tasks.close()

    def tell_draining(self, deadline_ms: int) -> None:
        """Tell everybody that the service shuts down."""
        self.bus.publish(out.ServerDraining(deadline_ms))

    # --- facts and orders

    def post(self, fact: Fact) -> None:
        """Take a fact and carry out what follows from it.

        An end is carried out to its last order, whatever breaks: the last ones save money.
        """
        for command in self._session.handle(fact):
            try:
                self._execute(command)
            except Exception:
                if not self.over:
                    raise
                log.exception("%s: %s broke", self.session_id, command)
        if self._session.settled:
            self.gone.set()
        self.speaker.changed()

    def _execute(self, command: c.Command) -> None:
        match command:
            case c.CreateConversation():
                self._conversations.create()
            case c.JoinRoom(after_ms):
                self._join(after_ms)
            case c.StartTimer(timer):
                self._timers.start(timer)
            case c.StopTimer(timer):
                self._timers.stop(timer)
            case c.ReleaseAudio():
                self.speaker.listen()
            case c.HoldAudio(gone):
                self.speaker.hold(gone=gone)
            case c.TellState():
                self._tell_state()
            case c.TellReplica(joined):
                self.bus.publish(out.ReplicaJoined() if joined else out.ReplicaLeft())
            case c.TellStall(stall):
                self._tell_stall(stall)
            case c.TellParticipant(participant, joined):
                number = self._occupants.number(participant)
                kind = out.ParticipantJoined if joined else out.ParticipantLeft
                self.bus.publish(kind(participant.participant_id, number, participant.name))
            case c.Finish():
                self._finish()
            case c.LeaveRoom():
                self._conversations.leave()
            case c.EndConversation():
                self._conversations.end()
            case _:
                self._renewer.execute(command)

    def _on_report(
        self, report: Answer | e.NextCreated | e.NextRefused | e.NextReady | e.NextFailed
    ) -> None:
        if isinstance(report, Answer):
            self._on_answer(report)
        else:
            with self._ending_on_bug("report"):
                self.post(report)

    def _join(self, after_ms: int) -> None:
        self._conversations.join(after_ms)
        room = self._conversations.current.room
        assert room is not None  # the one that is being joined
        self.frames.enter(room)

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer, e.ConversationRefused):
            self._refusal = answer.error
        if isinstance(answer, e.ConversationCreated):
            conversation = self._conversations.current
            self._timers.follow(conversation.asked_at, conversation.ends_at)
        self.post(answer)
        if isinstance(answer, e.ConversationCreated) and answer.over:
            self.post(e.ConversationShutDown("test_mode"))
        if not isinstance(answer, e.ConversationEnded):
            self._on_created(self, self._refusal)
            self._created.set()

    def _tell_state(self) -> None:
        before, self._told = self._told, self._session.status
        self.metrics.session_moved(before, self._told)
        self.bus.publish(out.SessionState(self._told, self._session.reason))
        if self._told is Status.READY:
            self._portrait.ready()
            self.bus.publish(out.SessionReady())
            self._settled.set()

    def _tell_stall(self, stall: e.Stall) -> None:
        """Tell it and count it."""
        error = ReplicaStalled(STALLED[stall])
        log.warning("%s: %s", self.session_id, error.detail)
        self.metrics.replica_stalled(stall.value)
        self.bus.publish(out.error_message(error))

    def _finish(self) -> None:
        """Account for all that is left, tell the end, close the streams.

        A bug in the accounts is logged and goes no further: what follows saves money.
        """
        reason = self._session.reason or "internal"
        self._timers.stop_all()
        try:
            self.metrics.session_ended(reason)
            self.speaker.finish()
        except Exception:
            log.exception("%s: the end could not be accounted for", self.session_id)
        self._portrait.ended()
        self.bus.publish(out.SessionEnded(reason, self._session.detail))
        self.bus.close(DRAINED if reason == "drained" else ENDED)
        self._settled.set()
        self._on_over(self)

    def _is_active(self, now: int) -> bool:
        return self.speaker.voice.is_active(now)

    def _on_voice(self, fact: e.VoiceRested | e.ReplicaStalled) -> None:
        self.post(fact)
        if isinstance(fact, e.ReplicaStalled) and self._replaces_stalled:
            # Once a stall: should the next replica be dead, too, that one is kept.
            self.post(e.ReplacementWanted())

    # --- the room

    def _on_room_fact(self, conversation: Conversation, fact: e.RoomFact) -> None:
        with self._ending_on_bug("room fact"):
            successor = self._conversations.next
            if self.over:
                return
            if successor is not None and conversation is successor.conversation:
                successor.take(fact)
                return
            if isinstance(fact, e.RoomJoined):
                assert conversation.room is not None  # it reports this
                self.speaker.enter(conversation.room, conversation.conversation_id)
            self._room_facts.take(fact)

    def _on_media(self, media: Media) -> None:
        with self._ending_on_bug("media"):
            if not self.over:
                self.frames.take(media)
                if self.spec.interrupt_on_user_speech:
                    self._listener.take(media)

    def _on_user_speech(self) -> None:
        self.begin_interrupt(None, None, USER_SPEECH, in_band=False)

    # --- tasks and bugs

    def _call_at(self, at: int, callback: Callback) -> Handle:
        return self.clock.call_at(at, self._safe(callback))

    def _safe(self, callback: Callback) -> Callback:
        """Wrap what is called from outside of the session, so that a bug in it ends the session."""

        def call() -> None:
            try:
                callback()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is logged there
                self._on_bug(f"{self.session_id} callback", error)

        return call

    @contextmanager
    def _ending_on_bug(self, where: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, it is logged there
            self._on_bug(f"{self.session_id} {where}", error)

    def _on_bug(self, where: str, error: BaseException) -> None:
        log.error("%s died", where, exc_info=error)
        self.post(e.StopRequested("internal"))
