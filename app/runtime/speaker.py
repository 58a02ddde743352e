"""Runs a session's voice: hands over when it may, tells what came of it, acts when it is time.

The voice itself knows no clock and waits for nothing; here are its clock, its alarm and its room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from app.core import wire_out as out
from app.core.events import MessageFailed, ReplicaStalled, RoomLost, VoiceRested
from app.core.intake import Bounds
from app.core.move import Move
from app.core.pcm import earliest
from app.core.playback import Delivery
from app.core.producer import Producer
from app.core.spec import AudioPathName, SessionSpec
from app.core.voice import Voice, VoiceOptions
from app.runtime.alarm import Alarm, CallAt, Callback
from app.runtime.bus import Bus
from app.runtime.clock import NS_PER_S
from app.runtime.interrupts import Interrupts
from app.runtime.pump import Pump
from app.runtime.resources import Resources
from app.runtime.room import Room
from app.runtime.tasks import Tasks
from app.runtime.teller import Teller
from app.settings import Settings


class Speaker:
    """One session's. Whoever does something to ``voice`` or ``producer`` calls ``changed``."""

    def __init__(  # noqa: PLR0917  # what it speaks, on what, to whom
        self,
        spec: SessionSpec,
        res: Resources,
        bus: Bus,
        tasks: Tasks,
        call_at: CallAt,
        safe: Callable[[Callback], Callback],
        touch: Callable[[int], None],
        report: Callable[[ReplicaStalled | VoiceRested], None],
    ) -> None:
        """Make one outside of any room.

        ``safe`` wraps the hand-over: a bug in it is the session's, not the room's or a client's.
        ``touch`` is called, with the time, while it speaks; ``report`` is told when the move that
        was prepared may be, and when the replica shows no life.
        """
        settings = res.settings
        self._clock = res.clock
        self.touch = touch
        """Something counts as activity, at a time in ns."""
        self._report = report
        self._lead_ms = spec.lead_ms
        self._move: Move | None = None
        self._alarm = Alarm(call_at, self._on_alarm)
        self._is_in = False
        self._is_over = False
        self._is_listening = False
        self._is_linked = False
        self.voice = Voice(voice_options(spec, settings))
        self.producer = Producer(settings.resume_window_ms * 1_000_000)
        self.teller = Teller(self.voice, bus, self.producer, res.metrics, res.clock, call_at)
        self.hearing = asyncio.Lock()
        """Held while one message of a producer is handled: a take-over waits for its end."""
        self._pump = Pump(
            self.voice,
            self._clock,
            call_at,
            path=spec.audio_path,
            done_as_string=settings.echo_done == "string",
            touch=touch,
            on_handed=self._on_handed,
            on_retry=self._publish,
        )
        self._hand_over = safe(self._pump.run)
        self._pass_on = safe(self._pump.heard)
        self._interrupts = Interrupts(
            self.voice,
            self._pump,
            self._clock,
            tasks,
            res.metrics,
            is_track=spec.audio_path is AudioPathName.TRACK,
            on_change=self.changed,
        )

    def enter(self, room: Room, conversation_id: str) -> None:
        """Speak in this room from now on; the second time does nothing."""
        if not self._is_in:
            self._is_in = True
            self._interrupts.enter(room, conversation_id)
            self._pump.enter(room, conversation_id, self._hand_over)
        self.link(holds=True)

    def lost(self, loss: RoomLost) -> None:
        """The room is lost: keep what it had not played for the next one."""
        self._part(loss.unanswered, loss.consumed)

    def part(self) -> None:
        """Speak in this room no more: what it did not take, or not play, is for the next one."""
        self._move = None
        self._part((), self.voice.playback.consumed_here)

    def expect_end(self, ends_at: int) -> None:
        """Hand over only what can be spoken before Tavus ends the conversation at ``ends_at``."""
        if self._move is None:
            self._move = Move(self.voice.playback, ends_at=ends_at, lead_ms=self._lead_ms)

    def prepare_move(self) -> int:
        """Come to rest, then say so; returns when no pause is waited for any longer, in ns."""
        assert self._move is not None  # the end was expected
        self._move.allow(self._clock.now())
        return self._move.latest

    def stay(self) -> None:
        """Go on in this room: there is no other after all."""
        if self._move is not None:
            self._move.forbid(self._clock.now())

    def move(self, room: Room, conversation_id: str) -> None:
        """Speak in the room of another conversation from now on."""
        self.part()
        self.voice.playback.move(self._clock.now())
        self.enter(room, conversation_id)

    def listen(self) -> None:
        """The replica listens: speak."""
        self._is_listening = True
        self._release()

    def hold(self, *, gone: bool) -> None:
        """The replica does not listen; when it is ``gone``, what it held is lost."""
        self._is_listening = False
        if gone:
            self._pump.settle()  # what the room refused the replica never had
            self.voice.playback.lose_replica(self._clock.now())
            self._pump.forget()
        self._release()

    def link(self, *, holds: bool) -> None:
        """Speak only while messages reach the room."""
        self._is_linked = holds
        self._release()

    def watching(self, *, watched: bool) -> None:
        """Somebody wants pictures of the replica, or nobody any more."""
        self.voice.watchdog.watching(self._clock.now(), watched=watched)
        self.changed()

    def picture(self) -> None:
        """A picture of the replica came."""
        self.voice.watchdog.picture(self._clock.now())

    def failed(self, failure: MessageFailed) -> None:
        """A message was not delivered after all."""
        self._pump.failed(failure)

    def interrupt(
        self, request_id: str | None, guard: str | None, reason: str | None, *, in_band: bool
    ) -> asyncio.Future[out.InterruptAccepted]:
        """Cut now; the future has the account."""
        accepted = self._interrupts.begin(request_id, guard, reason, in_band=in_band)
        self.changed()
        return accepted

    def changed(self) -> None:
        """Something changed: tell it, hand over what may be, be called again in time."""
        if self._is_over:
            return
        self._publish()
        if self._move is not None:
            if self._move.tick(self._clock.now(), at_rest=self._pump.rests):
                self._move = None
                self._report(VoiceRested())  # what comes of it is a change of its own
                return
            self._publish()
        self._hand_over()

    def heard(self, now: int) -> None:
        """A producer's audio was taken: do as ``changed`` does what that calls for.

        Audio of an open utterance brings about no more, until it is handed over, than that it is
        acknowledged: every packet comes here.
        """
        voice = self.voice
        is_plain = voice.has_only_speech and self._move is None
        self.teller.heard(now)
        if is_plain:
            self._pass_on()
        else:
            self.changed()

    def consumed(self, samples: int, at: int) -> None:
        """The device has played a frame, at ``at``: do as ``changed`` does what that calls for.

        The room says by itself that it takes another frame.
        """
        self.voice.playback.consumed(samples, at)
        if self._move is not None or not self.voice.is_under_way:
            self.changed()

    def progress(self, now: int) -> out.PlaybackProgress | None:
        """How far the playing utterance is at ``now``, None when none plays."""
        progress = self.voice.playback.progress(now)
        if self.voice.has_news:
            self.changed()
        return progress

    def finish(self) -> None:
        """Cut the audio and account for all that is left: nothing is said after that."""
        self._is_over = True
        self._move = None
        self._alarm.stop()
        self.teller.stop()
        self._pump.stop()
        self._pump.settle()  # what the room refused was not sent
        self._interrupts.settle()
        self.voice.finish(self._clock.now())
        self.teller.publish()

    def _part(self, unanswered: Collection[int], consumed: int) -> None:
        self.link(holds=False)
        self._interrupts.leave()
        self._pump.lose(unanswered, consumed)
        self._is_in = False

    def _release(self) -> None:
        listens = self._is_listening and self._is_linked
        self.voice.playback.released = listens
        self.voice.watchdog.listens(self._clock.now(), listens=listens)

    def _publish(self) -> None:
        self.voice.intake.flow()
        if self.teller.publish():
            self.touch(self._clock.now())  # an utterance counts as activity to its end
        at = earliest(self.voice.next_deadline(), self.voice.watchdog.next_deadline())
        at = earliest(at, self.producer.next_deadline())
        if self._move is not None:
            at = earliest(at, self._move.next_deadline(self._clock.now()))
        self._alarm.set(at)

    def _on_handed(self, delivery: Delivery, is_watched: bool) -> bool:  # noqa: FBT001  # a callback
        if is_watched or not self.voice.is_routine(delivery):
            self._publish()
            return False
        return True

    def _on_alarm(self) -> None:
        now = self._clock.now()
        self.voice.tick(now)
        if self.producer.expire(now):
            self.voice.intake.suspended = False
            self.voice.intake.end()
        for stall in self.voice.watchdog.stalls(now):
            self._report(ReplicaStalled(stall))
        self.changed()


def voice_options(spec: SessionSpec, settings: Settings) -> VoiceOptions:
    """How the voice of a session is made."""
    return VoiceOptions(
        audio_path=spec.audio_path,
        lead_ms=spec.lead_ms,
        overlap=settings.echo_overlap == "send",
        quality=settings.resample_quality,
        low_delay=settings.low_delay,
        queued_utterances=settings.queued_utterances,
        stall_ns=int(settings.replica_stall_s * NS_PER_S),
        bounds=Bounds(
            buffer_ms=settings.buffer_ms,
            high_ms=settings.high_ms,
            low_ms=settings.low_ms,
            utterance_gap_ms=settings.utterance_gap_ms,
            late_audio_gap_ms=settings.late_audio_gap_ms,
        ),
    )
