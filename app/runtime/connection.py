"""One connection of a client to a session's stream: what it may send, and what it is told."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import assert_never

from app.core import wire_in
from app.core import wire_out as out
from app.core.audience import Seat
from app.core.pcm import AudioFormat
from app.core.producer import Producer
from app.core.roles import Role, needed_for
from app.core.spec import Status
from app.errors import BridgeError, ResumeFailed, RoleForbidden
from app.runtime.alarm import Alarm
from app.runtime.bus import Subscription
from app.runtime.clock import NS_PER_S
from app.runtime.frames import Viewer
from app.runtime.runner import Runner
from app.settings import Settings

log = logging.getLogger(__name__)

SLICE_BYTES = 64 * 1024
"""Audio is processed in slices of this size, with a turn of the event loop between them: one 1 MiB
message of µ-law is 131 s of speech and 145 ms of work."""

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""The largest message taken; the server closes with 1009 above it."""

HEARTBEAT_MS = 20_000
"""Period of the WebSocket pings, and how long a pong is waited for."""

BAD_MESSAGES, BAD_WINDOW_NS = 25, 10 * NS_PER_S
"""So many bad messages within this time close the connection."""


BAD_MESSAGES_CODE, REPLACED = 4400, 4409
"""How a connection is closed that sent too many bad messages, or lost its slot to a newer one."""

BUG = 1011
"""How a connection is closed that a bug of ours has ended."""

MIN_PROGRESS_MS = 20
"""The shortest period of ``playback.progress``; shorter ones are taken for this."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asked for in the address of the stream, as far as it may have it."""

    format: AudioFormat = field(default_factory=AudioFormat)
    declared: bool = False
    """Whether the client chose the format."""
    role: Role = Role.PRODUCE
    """What it may send; a stream that is resumed keeps its own, which this is then."""
    resume: str | None = field(default=None, repr=False)
    seq: int | None = None
    progress_ms: int | None = None


class Connection:
    """A client's connection, from ``attach`` to ``detach``."""

    def __init__(
        self, number: int, runner: Runner, settings: Settings, wishes: Wishes, version: str
    ) -> None:
        """Make one that is not attached yet; ``number`` tells it from all others."""
        self.number = number
        self.clock = runner.clock
        self._runner = runner
        self._speaker = runner.speaker
        self._settings = settings
        self._wishes = wishes
        self._version = version
        self._bad: deque[int] = deque(maxlen=BAD_MESSAGES)
        self._seat: Seat | None = None
        """Of whoever is not the producer."""
        self.subscription = Subscription(runner.clock)
        """What there is to send to the client."""
        self._viewer = Viewer(runner.clock, runner.metrics, self._wake, self._tell)
        self._period = max(MIN_PROGRESS_MS, wishes.progress_ms or 0) * 1_000_000
        self._alarm = Alarm(runner.clock.call_at, self._progress)
        self._told: tuple[str, int] | None = None
        """The progress that was told last."""

    async def attach(self) -> None:
        """Take the producer's slot or a seat, and say ``hello`` and what was missed.

        A message of the producer before is handled to its end first, so that ``received`` tells
        the truth. In a session that is over nothing happens: the subscription is closed.
        """
        if self._wishes.role is not Role.PRODUCE:
            self._sit()
            return
        async with self._speaker.hearing:
            self._attach()

    def _sit(self) -> None:
        """Take a seat beside the producer."""
        runner, resume = self._runner, self._wishes.resume
        self.subscription = runner.bus.subscribe()
        if runner.over:
            return
        seat = None if resume is None else runner.audience.find(resume)
        missed = None if seat is None else self._missed()
        token = secrets.token_urlsafe(24)
        if seat is None or missed is None:
            self._seat = runner.audience.sit(self._wishes.role, token)
        else:
            self._seat = runner.audience.resume(seat, token)
        self._greet(token, missed)

    def _attach(self) -> None:
        runner, speaker, wishes = self._runner, self._speaker, self._wishes
        producer, intake = speaker.producer, speaker.voice.intake
        if runner.over:
            self.subscription = runner.bus.subscribe()
            return
        missed: list[str] | None = None
        if wishes.resume is not None and producer.knows(wishes.resume):
            missed = self._missed()
        token = secrets.token_urlsafe(24)
        if missed is None:
            intake.attach(wishes.format, declared=wishes.declared)
            producer.take(self.number, token)
        else:
            producer.resume(self.number, token)
        # What this brought about concerns the connection before.
        speaker.changed()
        displaced, speaker.teller.listener = speaker.teller.listener, None
        if displaced is not None:
            displaced.close(REPLACED)
        self.subscription = runner.bus.subscribe()
        self._greet(token, missed)
        speaker.teller.listener = self.subscription
        intake.reconnect(self.clock.now())
        speaker.changed()

    def _missed(self) -> list[str] | None:
        """What the session said since the connection before; None when it is not all held."""
        bus, seq = self._runner.bus, self._wishes.seq
        return bus.missed(bus.seq if seq is None else seq)

    def _greet(self, token: str, missed: list[str] | None) -> None:
        if self._wishes.progress_ms:
            self._alarm.set(self.clock.now() + self._period)
        tell = self.subscription.tell
        seq = self._runner.bus.seq - len(missed or ())
        tell(self._hello(token, seq, resumed=missed is not None))
        if self._runner.status is Status.READY:
            tell(out.SessionReady())
        for text in missed or ():
            self.subscription.put(text)
        if self._wishes.resume is not None and missed is None:
            tell(out.error_message(ResumeFailed()))

    def _hello(self, token: str, seq: int, *, resumed: bool) -> out.Hello:
        runner, settings = self._runner, self._settings
        voice = self._speaker.voice
        utterance = voice.open
        return out.Hello(
            protocol=out.PROTOCOL,
            version=self._version,
            session=runner.session_id,
            role=self._wishes.role,
            room=settings.room_kind.value,
            format=voice.intake.format,
            epoch=voice.epoch,
            seq=seq,
            received=self._stream.received,
            resume_token=token,
            resumed=resumed,
            limits=out.Limits(
                max_message_bytes=MAX_MESSAGE_BYTES,
                buffer_ms=settings.buffer_ms,
                high_ms=settings.high_ms,
                low_ms=settings.low_ms,
                queued_utterances=settings.queued_utterances,
                resume_window_ms=settings.resume_window_ms,
                idle_timeout_ms=int(runner.spec.idle_timeout_s * 1000),
            ),
            heartbeat_ms=HEARTBEAT_MS,
            open_utterance=None
            if utterance is None
            else out.OpenUtterance(utterance.utterance_id, utterance.accepted_bytes),
        )

    def detach(self, *, clean: bool, returns: bool = False) -> None:
        """The connection is gone; ``clean``: a close frame said so. Twice is as good as once.

        What is open is ended at once after a clean close, and kept for a while for a client that
        was lost. One without audio may come back, too, when its close frame said that it
        ``returns``.
        """
        runner, speaker = self._runner, self._speaker
        self._alarm.stop()
        runner.bus.unsubscribe(self.subscription)
        runner.frames.unsubscribe(self._viewer)
        self.subscription.close(1000)
        if self._seat is not None:
            runner.audience.leave(self._seat, clean=clean and not returns)
        if speaker.producer.connection != self.number:
            return
        speaker.teller.listener = None
        speaker.voice.intake.suspended = not clean
        if speaker.producer.lose(self.number, self.clock.now(), clean=clean):
            speaker.voice.intake.end()
        speaker.changed()

    # --- what the client sends

    def take(self, data: bytes, more: bool) -> bool:  # noqa: FBT001  # as ``Take`` says
        """Take a packet of audio at once; False for a message that ``binary`` must have.

        That is one that takes long, or must wait for the one before it. ``more``: another packet
        follows at once.
        """
        if self._seat is not None or len(data) > SLICE_BYTES or self._speaker.hearing.locked():
            return False
        if self.subscription.close_code is None:
            try:
                self._packet(data, more=more)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is logged there
                self._die(error)
        return True

    async def binary(self, data: bytes) -> None:
        """Take one binary message: audio."""
        if self._seat is not None:
            self._refuse(RoleForbidden(f"the role {self._seat.role} sends no audio"), None)
            self._count()
            return
        async with self._speaker.hearing:
            if self._is_closed():
                return
            if len(data) <= SLICE_BYTES:
                self._packet(data, more=False)
                return
            self._runner.touch()
            try:
                await self._audio(data, None)
            except BridgeError as error:
                self._refuse(error, None)
            self._count()
            self._speaker.heard(self.clock.now())

    def _packet(self, data: bytes, *, more: bool) -> None:
        """Take audio that is no longer than a slice: the way of nearly all that ever comes."""
        speaker, now = self._speaker, self.clock.now()
        speaker.touch(now)
        intake = speaker.voice.intake
        is_more = True
        try:
            if intake.admit(len(data), now):
                is_more = intake.audio(data, now, more=more)
        except BridgeError as error:
            self._refuse(error, None)
        speaker.producer.received += 1
        if is_more:
            speaker.heard(now)
        else:
            speaker.teller.heard(now)

    async def text(self, text: str) -> None:
        """Take one text message; a wrong one is answered with ``error``."""
        # What the producer says is handled whole before anything else of it; who only sits by,
        # such as one who interrupts, does not wait for that.
        async with self._speaker.hearing if self._seat is None else nullcontext():
            if self._is_closed():
                return
            message: wire_in.ClientMessage | None = None
            try:
                message = wire_in.parse(text)
                await self._obey(message)
            except BridgeError as error:
                is_producer = self._seat is None
                if message is None and is_producer and wire_in.starts_utterance(text):
                    self._speaker.voice.intake.refuse_start()
                self._refuse(error, message.id if message else wire_in.ref_of(text))
            self._count()
            if isinstance(message, wire_in.AudioAppend):
                self._speaker.heard(self.clock.now())
                return
            if isinstance(message, wire_in.UtteranceEnd):
                self._speaker.teller.acknowledge(self.clock.now())
            self._speaker.changed()

    def _die(self, error: Exception) -> None:
        """A bug of ours ends the connection."""
        log.error("a stream of session %s died", self._runner.session_id, exc_info=error)
        self.subscription.close(BUG)

    def _is_closed(self) -> bool:
        """Whether nothing this client says counts any more: it is replaced, or at its end."""
        return self.subscription.close_code is not None

    @property
    def _stream(self) -> Producer | Seat:
        return self._seat or self._speaker.producer

    def _count(self) -> None:
        self._stream.received += 1

    async def _obey(self, message: wire_in.ClientMessage) -> None:
        runner, voice, now = self._runner, self._speaker.voice, self.clock.now()
        role = needed_for(message)
        if not self._wishes.role.covers(role):
            raise RoleForbidden(f"the role {self._wishes.role} may not send this: it needs {role}")
        if not isinstance(message, wire_in.Ping):
            runner.touch()
        match message:
            case wire_in.UtteranceStart(utterance_id, fmt, epoch, ref):
                self._speaker.teller.flush(now)
                asked = None if fmt is None else fmt.audio_format()
                voice.intake.start(utterance_id, asked, epoch, now, ref)
            case wire_in.AudioAppend(audio, ref):
                await self._audio(audio, ref)
            case wire_in.UtteranceEnd(utterance_id, ref):
                voice.intake.end(utterance_id, ref)
            case wire_in.Mark(name):
                voice.intake.mark(name)
            case wire_in.PlaybackPause(ref):
                voice.pause(now, ref)
            case wire_in.PlaybackResume(ref):
                voice.resume(ref)
            case wire_in.SessionKeepalive():
                pass
            case wire_in.Ping(ts, ref):
                self.subscription.tell(out.Pong(ts, ref))
            case wire_in.Interrupt(utterance_id, reason, ref):
                in_band = self._seat is None  # else its audio comes over another socket
                runner.begin_interrupt(ref, utterance_id, reason, in_band=in_band)
            case wire_in.TavusSend(event_type, properties):
                await runner.interact(event_type, properties or {})
            case wire_in.FramesSubscribe(video, audio, user_audio, ref):
                runner.frames.subscribe(self._viewer, message.choices())
                self.subscription.media = self._viewer.take
                self.subscription.tell(out.FramesSubscribed(video, audio, user_audio, ref))
            case wire_in.FramesUnsubscribe(ref):
                runner.frames.unsubscribe(self._viewer)
                self.subscription.tell(self._viewer.stats(ref))
            case _:
                assert_never(message)

    async def _audio(self, data: bytes, ref: str | None) -> None:
        """Take the audio of one message, in slices; the connection is not read meanwhile.

        An interrupt that comes between two slices closes the utterance, and the rest is discarded
        as late. The end of the session ends the message too.
        """
        intake = self._speaker.voice.intake
        if not intake.admit(len(data), self.clock.now(), ref):
            return
        if len(data) <= SLICE_BYTES:
            intake.audio(data, self.clock.now())
            return
        view = memoryview(data)
        for start in range(0, len(data), SLICE_BYTES):
            if self._runner.over:
                return
            intake.audio(view[start : start + SLICE_BYTES], self.clock.now())
            self._speaker.changed()
            await asyncio.sleep(0)

    def _refuse(self, error: BridgeError, ref: str | None) -> None:
        """Answer a wrong message; too many close the connection, but not those worth a retry."""
        self._speaker.teller.publish()  # what came of it before it went wrong
        self.subscription.tell(out.error_message(error, ref))
        if error.retryable:
            return
        now = self.clock.now()
        self._bad.append(now)
        if len(self._bad) == BAD_MESSAGES and now - self._bad[0] < BAD_WINDOW_NS:
            self.subscription.close(BAD_MESSAGES_CODE)

    # --- what the client is told unasked

    def _wake(self) -> None:
        self.subscription.wake()

    def _tell(self, stats: out.FramesStats) -> None:
        self.subscription.tell(stats)

    def _progress(self) -> None:
        """Tell the position every ``progress_ms``, when it has moved."""
        now = self.clock.now()
        self._alarm.set(now + self._period)
        try:
            message = self._speaker.progress(now)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is logged there
            self._die(error)
            return
        if message is not None and (message.utterance_id, message.played_ms) != self._told:
            self._told = (message.utterance_id, message.played_ms)
            self.subscription.tell(message)
