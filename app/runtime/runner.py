"""Runs one session: facts in, the table's orders carried out, facts of what they came to.

Between a fact and its orders there is no ``await``. What takes time (Tavus, the room, a cut) is a
named task that reports back as a fact. What the voice has to tell is published after every change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from app.core import commands as c
from app.core import events as e
from app.core import tavus
from app.core import wire_out as out
from app.core.countdown import Countdown
from app.core.intake import Bounds
from app.core.producer import Producer
from app.core.session import Fact, Session, State
from app.core.spec import AudioPathName, SessionSpec, SessionView, Status
from app.core.voice import Cut, Voice, VoiceOptions
from app.errors import BridgeError, Internal, RoomFailed, SessionNotReady, SessionOver
from app.runtime.bus import Bus, Subscription
from app.runtime.clock import NS_PER_S, Clock, Handle
from app.runtime.metrics import Metrics
from app.runtime.pump import Pump
from app.runtime.room import ReportFact, Room
from app.runtime.tasks import Tasks
from app.runtime.tavus_api import TavusApi
from app.settings import Settings

log = logging.getLogger(__name__)

CUT_DEADLINE_S = 0.25
"""The longest that an interrupt waits for the sink's confirmation."""

ACK_NS = 100_000_000
"""How often audio is acknowledged while it arrives; the contract says at least every 200 ms."""

LEAVE_DEADLINE_S = 5.0
"""The longest that leaving a room may take."""

RoomFactory = Callable[[e.ConversationCreated, ReportFact, Tasks], Room]
"""Makes the room of a conversation; facts go to the given function, tasks live with the session."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What all sessions share."""

    settings: Settings
    clock: Clock
    tavus: TavusApi
    make_room: RoomFactory
    metrics: Metrics
    enders: Tasks
    """Tasks that end conversations; they outlive their sessions."""


class Runner:
    """One session."""

    def __init__(
        self, session_id: str, spec: SessionSpec, res: Resources, on_over: Callable[[Runner], None]
    ) -> None:
        """Make one that costs nothing until ``start``; ``on_over`` is called once at its end."""
        settings = res.settings
        self.session_id = session_id
        self.spec = spec
        self.clock = res.clock
        self.voice = Voice(voice_options(spec, settings))
        self.bus = Bus(res.clock)
        self.producer = Producer(settings.resume_window_ms * 1_000_000)
        self.listener: Subscription | None = None
        """The producer's connection: told what concerns it alone."""
        self.created = asyncio.Event()
        """Tavus has answered, one way or the other."""
        self.settled = asyncio.Event()
        """Ready, or over."""
        self.gone = asyncio.Event()
        """Over, and Tavus has confirmed that nothing costs money any more."""
        self._res = res
        self._on_over = on_over
        self._session = Session()
        self._status: Status | None = None
        self._tasks = Tasks(self._on_task_error)
        self._conversation: e.ConversationCreated | None = None
        self._room: Room | None = None
        self._in_room = False
        self._replicas: set[str] = set()
        self._people: dict[str, int] = {}
        self._cut_lock = asyncio.Lock()
        self._pumping: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        now = res.clock.now()
        self._idle = Countdown(int(spec.idle_timeout_s * NS_PER_S), now)
        self._lifetime = Countdown(int(spec.max_duration_s * NS_PER_S), now)
        self._timers: dict[c.Timer, Handle] = {}
        self._alarm: Handle | None = None
        self._alarm_at = 0
        self._ack_at: int | None = None
        self._acked_at = 0
        self._pump = Pump(
            self.voice,
            res.clock,
            track=spec.audio_path is AudioPathName.TRACK,
            done_as_string=settings.echo_done == "string",
            on_handed=self._on_handed,
        )
        self._created_at = res.clock.wall()
        self._ready_at: datetime | None = None
        self._ended_at: datetime | None = None

    # --- for the edge

    @property
    def over(self) -> bool:
        """Whether the session has ended for its clients."""
        return self._session.over

    @property
    def status(self) -> Status:
        """The public status."""
        return self._session.status

    def view(self) -> SessionView:
        """The session as it is now."""
        conversation = self._conversation
        session = self._session
        return SessionView(
            session_id=self.session_id,
            status=session.status,
            room=self._res.settings.room_kind.value,
            spec=self.spec,
            created_at=self._created_at,
            expires_at=self._created_at + timedelta(seconds=self.spec.max_duration_s),
            conversation_id=conversation.conversation_id if conversation else None,
            conversation_url=conversation.conversation_url if conversation else None,
            meeting_token=conversation.meeting_token if conversation else None,
            ready_at=self._ready_at,
            ended_at=self._ended_at,
            end_reason=session.reason,
            error=session.error,
        )

    async def start(self) -> None:
        """Ask Tavus for the conversation; returns when it has answered.

        Raises the ``TavusError`` that it answered with; then the session is over.
        """
        self._tell_state()
        self.post(e.StartRequested())
        await self.created.wait()
        if self._conversation is None and self._session.error is not None:
            raise self._session.error

    async def wait_ready(self) -> None:
        """Return when the replica listens. Raises why it never will."""
        await self.settled.wait()
        if self.over:
            raise self._session.error or SessionOver(f"the session ended: {self._session.reason}")

    def touch(self) -> None:
        """Something counts as activity."""
        self._idle.restart(self.clock.now())

    async def interrupt(
        self,
        *,
        request_id: str | None = None,
        utterance_id: str | None = None,
        reason: str | None = None,
    ) -> out.InterruptAccepted:
        """Barge in from outside the producer's connection. Raises ``SessionOver``."""
        self.touch()
        cutting = self.begin_interrupt(request_id, utterance_id, reason, in_band=False)
        return await asyncio.shield(cutting)

    def begin_interrupt(
        self, request_id: str | None, guard: str | None, reason: str | None, *, in_band: bool
    ) -> asyncio.Future[out.InterruptAccepted]:
        """Cut now, account for it when the room has confirmed. Raises ``SessionOver``."""
        if self.over:
            raise SessionOver
        arrived = self.clock.now()
        accepted: asyncio.Future[out.InterruptAccepted] = asyncio.Future()
        cut = self.voice.cut(arrived, guard=guard, in_band=in_band)
        if cut is None:
            accepted.set_result(self.voice.decline(request_id))
        else:
            log.info("%s interrupted (%s)", self.session_id, reason or "no reason given")
            work = self._finish_cut(cut, request_id, arrived, accepted)
            self._tasks.spawn(f"{self.session_id} interrupt", work)
        self.changed()
        return accepted

    async def interact(self, event_type: str, properties: dict[str, Any]) -> None:
        """Send a Tavus interaction.

        Raises ``SessionOver``, ``SessionNotReady``, ``InvalidRequest``, ``TooLarge``.
        """
        if self.over:
            raise SessionOver
        self.touch()
        conversation, room = self._conversation, self._room
        message = tavus.interaction_message(
            conversation.conversation_id if conversation else "", event_type, properties
        )
        if room is None or self.status is not Status.READY:
            raise SessionNotReady
        async with asyncio.timeout(CUT_DEADLINE_S):
            await room.send_message(message)

    async def stop(self, reason: str) -> None:
        """End the session; returns after the cut. The second time does nothing."""
        self.post(e.StopRequested(reason))

    async def close(self) -> None:
        """Let go of an ended session's tasks, once it has left its room."""
        if self._leaving is not None:
            await asyncio.wait({self._leaving})
        await self._tasks.close()

    # --- facts and orders

    def post(self, fact: Fact) -> None:
        """Take a fact and carry out what follows from it."""
        for command in self._session.handle(fact):
            self._execute(command)
        if self._session.state is State.OVER:
            self.gone.set()
        self.changed()

    def _execute(self, command: c.Command) -> None:
        match command:
            case c.CreateConversation():
                self._spawn("create", self._create())
            case c.JoinRoom():
                self._spawn("join", self._join())
            case c.StartTimer(timer):
                self._start_timer(timer)
            case c.StopTimer(timer):
                self._stop_timer(timer)
            case c.ReleaseAudio():
                self.voice.playback.released = True
            case c.HoldAudio():
                self.voice.playback.released = False
            case c.TellState():
                self._tell_state()
            case c.TellReplica(joined):
                self.bus.publish(out.ReplicaJoined() if joined else out.ReplicaLeft())
            case c.TellParticipant(participant, joined):
                self._tell_participant(participant, joined=joined)
            case c.Finish():
                self._finish()
            case c.LeaveRoom():
                self._leaving = self._spawn("leave", self._leave())
            case c.EndConversation():
                name = f"{self.session_id} end"
                self._res.enders.spawn(name, self._end_conversation())
            case _:
                assert_never(command)

    async def _create(self) -> None:
        settings = self._res.settings
        name = tavus.conversation_tag(
            settings.instance, self.session_id, self.spec.conversation_name
        )
        body = tavus.create_body(self.spec, name=name, callback_url=None)
        try:
            conversation = await self._res.tavus.create(body)
        except BridgeError as error:
            self._session.error = error
            self.post(e.ConversationRefused(error))
        else:
            self._conversation = conversation
            self.post(conversation)
            if conversation.over:
                self.post(e.ConversationShutDown("test_mode"))
        self.created.set()

    async def _join(self) -> None:
        conversation = self._conversation
        assert conversation is not None  # JoinRoom follows ConversationCreated only
        self._room = self._res.make_room(conversation, self._on_room_fact, self._tasks)
        await self._room.join()

    async def _leave(self) -> None:
        if self._room is not None:
            try:
                async with asyncio.timeout(LEAVE_DEADLINE_S):
                    await self._room.leave()
            except TimeoutError:
                log.warning("%s could not leave its room in time", self.session_id)

    async def _end_conversation(self) -> None:
        conversation = self._conversation
        assert conversation is not None  # nothing is ended that was never created
        delay_s = 0.5
        while True:
            try:
                await self._res.tavus.end(conversation.conversation_id)
            except BridgeError as error:
                log.warning("%s: ending at Tavus failed: %s", self.session_id, error.detail)
                await self.clock.sleep_until(self.clock.now() + int(delay_s * NS_PER_S))
                delay_s = min(delay_s * 2, 30.0)
            else:
                break
        self.post(e.ConversationEnded())

    def _finish(self) -> None:
        now = self.clock.now()
        for timer in tuple(self._timers):
            self._stop_timer(timer)
        self._stop_alarm()
        if self._pumping is not None:
            self._pumping.cancel()
        self.voice.finish(now)
        self._publish()
        session = self._session
        self._ended_at = self.clock.wall()
        reason = session.reason or "internal"
        self.bus.publish(out.SessionEnded(reason, session.detail))
        self.bus.close(4503 if reason == "drained" else 4410)
        self._res.metrics.session_ended(reason)
        self.settled.set()
        self._on_over(self)

    # --- the room

    def _on_room_fact(self, fact: e.RoomFact) -> None:
        if self.over:
            return
        match fact:
            case e.RoomJoined(participants):
                self._in_room = True
                self.post(fact)
                if self._room is not None and self._conversation is not None:
                    run = self._pump.run(self._room, self._conversation.conversation_id)
                    self._pumping = self._spawn("pump", run)
                for participant in participants:
                    self._on_participant(e.ParticipantJoined(participant))
            case e.ParticipantJoined() | e.ParticipantLeft():
                self._on_participant(fact)
            case e.AppMessageReceived(message, at):
                self._on_message(message, at)
            case e.AudioConsumed(samples, at):
                self.voice.playback.consumed(samples, at)
                self.changed()
            case e.MessageFailed(message_id, _, reason):
                log.warning("%s: a message was not delivered: %s", self.session_id, reason)
                self._pump.failed(message_id)
            case e.LinkInterrupted():
                self.voice.playback.released = False
            case e.LinkRestored():
                self.voice.playback.released = self.status is Status.READY
                self.changed()
            case e.RoomFailed():
                self.post(fact)
            case _:
                assert_never(fact)

    def _on_participant(self, fact: e.ParticipantJoined | e.ParticipantLeft) -> None:
        participant = fact.participant
        if not participant.is_replica:
            self.post(fact)
        elif isinstance(fact, e.ParticipantJoined):
            self._replicas.add(participant.participant_id)
            self.post(e.ReplicaJoined())
        else:
            self._replicas.discard(participant.participant_id)
            if not self._replicas:
                self.post(e.ReplicaLeft())

    def _on_message(self, message: dict[str, Any] | str, at: int) -> None:
        self.bus.publish(out.TavusEvent(message))
        event = tavus.read_app_message(message)
        playback = self.voice.playback
        match event:
            case tavus.ReplicaStarted(form, inference_id):
                playback.started(form, inference_id, at)
            case tavus.ReplicaStopped(form, inference_id, duration, interrupted):
                playback.stopped(form, inference_id, duration, interrupted=interrupted, now=at)
            case tavus.ReplicaPresent():
                self.post(e.ReplicaJoined())
            case tavus.ShutDown(reason):
                self.post(e.ConversationShutDown(reason))
            case None:
                return
        self.changed()

    async def _finish_cut(
        self,
        cut: Cut,
        request_id: str | None,
        arrived: int,
        accepted: asyncio.Future[out.InterruptAccepted],
    ) -> None:
        """Have the room stop, tell the replica, then account for the cut; cuts go in order."""
        track_handed: int | None = None
        async with self._cut_lock:
            room, conversation = self._room, self._conversation
            if room is not None and conversation is not None and self._in_room:
                try:
                    async with asyncio.timeout(CUT_DEADLINE_S):
                        handed = await room.clear_audio(cut.epoch)
                        await self._pump.settle()
                        if self.spec.audio_path is AudioPathName.TRACK:
                            track_handed = handed
                        await room.send_message(
                            tavus.interrupt_message(conversation.conversation_id)
                        )
                except TimeoutError:
                    log.warning("%s: the room did not confirm the cut", self.session_id)
            now = self.clock.now()
            report = self.voice.report(cut, track_handed, now, request_id)
        self._res.metrics.interrupted(now - arrived)
        if not accepted.cancelled():
            accepted.set_result(report)
        self.changed()

    # --- telling

    def changed(self) -> None:
        """Something about the voice changed: tell it, hand over, set the alarm anew."""
        if self.over:
            return
        self.voice.intake.flow()
        self._publish()
        self._pump.wake()
        self._set_alarm(self.clock.now())

    def ack(self, *, now: int, at_once: bool) -> None:
        """Acknowledge the producer's audio, now or when the next acknowledgement is due."""
        if at_once or now - self._acked_at >= ACK_NS:
            self._acked_at = now
            self._ack_at = None
            told = self.voice.intake.ack(self.producer.received)
            if told is not None and self.listener is not None:
                self.listener.tell(told)
        elif self._ack_at is None:
            self._ack_at = self._acked_at + ACK_NS

    def _publish(self) -> None:
        for message in self.voice.take():
            if isinstance(message, out.UtteranceDone):
                self._count(message)
            if isinstance(message, out.SessionMessage) and not isinstance(message, out.Error):
                self.bus.publish(message)
            elif self.listener is not None:
                self.listener.tell(message)

    def _count(self, done: out.UtteranceDone) -> None:
        self._res.metrics.utterance_done(
            done.status,
            done.source,
            received_ms=done.received_ms,
            sent_ms=done.sent_ms,
            dropped_ms=done.dropped_ms,
            first_sent_ms=done.latency.first_sent_ms,
            started_ms=done.latency.started_ms,
        )

    def _tell_state(self) -> None:
        before, self._status = self._status, self._session.status
        self._res.metrics.session_moved(before, self._status)
        self.bus.publish(out.SessionState(self._status, self._session.reason))
        if self._status is Status.READY:
            self._ready_at = self.clock.wall()
            self.bus.publish(out.SessionReady())
            self.settled.set()

    def _tell_participant(self, participant: e.Participant, *, joined: bool) -> None:
        number = self._people.setdefault(participant.participant_id, len(self._people) + 1)
        kind = out.ParticipantJoined if joined else out.ParticipantLeft
        self.bus.publish(kind(participant.participant_id, number, participant.name))

    def tell_draining(self, deadline_ms: int) -> None:
        """Tell everybody that the service shuts down."""
        self.bus.publish(out.ServerDraining(deadline_ms))

    # --- time

    def _start_timer(self, timer: c.Timer) -> None:
        self._stop_timer(timer)
        now = self.clock.now()
        fact: Fact
        match timer:
            case c.Timer.READY:
                after_s, fact = self.spec.ready_timeout_s, e.ReadyTimedOut()
            case c.Timer.REPLICA_LOST:
                after_s, fact = self._res.settings.replica_lost_timeout_s, e.ReplicaLostTimedOut()
            case c.Timer.IDLE | c.Timer.LIFETIME:
                self._watch(timer)
                return
            case _:
                assert_never(timer)
        end = now + int(after_s * NS_PER_S)
        self._timers[timer] = self.clock.call_at(end, lambda: self.post(fact))

    def _stop_timer(self, timer: c.Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _watch(self, timer: c.Timer) -> None:
        """Look after a planned end: announce it, let it come, or see that it was put off."""
        now = self.clock.now()
        idle = timer is c.Timer.IDLE
        countdown = self._idle if idle else self._lifetime
        if idle and self.voice.is_active(now):
            countdown.restart(now)
        if now >= countdown.end:
            self.post(e.IdleTimedOut() if idle else e.LifetimeReached())
            return
        left = countdown.notice(now)
        if left is not None:
            reason = "idle" if idle else "max_duration"
            self.bus.publish(out.SessionExpiring(left // 1_000_000, reason))
        at = countdown.next_deadline()
        self._timers[timer] = self.clock.call_at(at, lambda: self._watch(timer))

    def _set_alarm(self, now: int) -> None:
        times = (self.voice.next_deadline(now), self._ack_at, self.producer.next_deadline())
        at = min((at for at in times if at is not None), default=None)
        if self._alarm is not None:
            if at is not None and self._alarm_at <= at:
                # Early is harmless: the alarm looks again.
                return
            self._alarm.cancel()
            self._alarm = None
        if at is not None:
            self._alarm_at = at
            self._alarm = self.clock.call_at(at, self._on_alarm)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _on_alarm(self) -> None:
        self._alarm = None
        now = self.clock.now()
        self.voice.tick(now)
        if self._ack_at is not None and self._ack_at <= now:
            self.ack(now=now, at_once=True)
        if self.producer.expire(now):
            self.voice.intake.end()
            self.voice.intake.suspended = False
        self.changed()

    def _on_handed(self) -> None:
        self.voice.intake.flow()
        self._publish()
        self._set_alarm(self.clock.now())

    # --- tasks

    def _spawn(self, name: str, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.spawn(f"{self.session_id} {name}", coro)

    def _on_task_error(self, name: str, error: BaseException) -> None:
        log.error("task %s died", name, exc_info=error)
        self.created.set()
        if isinstance(error, BridgeError):
            self.post(e.RoomFailed(RoomFailed(error.detail)))
        else:
            self._session.error = Internal()
            self.post(e.StopRequested("internal"))


def voice_options(spec: SessionSpec, settings: Settings) -> VoiceOptions:
    """How the voice of a session is made."""
    return VoiceOptions(
        audio_path=spec.audio_path,
        lead_ms=spec.lead_ms,
        overlap=settings.echo_overlap == "send",
        quality=settings.resample_quality,
        queued_utterances=settings.queued_utterances,
        bounds=Bounds(
            buffer_ms=settings.buffer_ms,
            high_ms=settings.high_ms,
            low_ms=settings.low_ms,
            utterance_gap_ms=settings.utterance_gap_ms,
            late_audio_gap_ms=settings.late_audio_gap_ms,
        ),
    )
