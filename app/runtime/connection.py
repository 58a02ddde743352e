"""One connection of a client to a session's stream: how it comes, goes, and what it is told."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from app.core import wire_out as out
from app.core.audience import Seat
from app.core.pcm import AudioFormat
from app.core.resume_token import resume_token
from app.core.roles import Role
from app.core.spec import Status
from app.errors import ResumeFailed
from app.runtime.alarm import Alarm
from app.runtime.bus import Subscription
from app.runtime.frames import Viewer
from app.runtime.inbound import Inbound
from app.runtime.runner import Runner
from app.settings import Settings

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""The largest message taken; the server closes with 1009 above it."""

HEARTBEAT_MS = 20_000
"""Period of the WebSocket pings, and how long a pong is waited for."""

REPLACED = 4409
"""How a connection is closed that lost its slot to a newer one."""

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

    inbound: Inbound
    """What the client sends; there once ``attach`` has returned."""

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
        else:
            async with self._speaker.hearing:
                self._attach()
        self.inbound = Inbound(
            self._runner, self.subscription, self._wishes.role, self._seat, self._viewer
        )

    def _sit(self) -> None:
        """Take a seat beside the producer."""
        runner, resume = self._runner, self._wishes.resume
        self.subscription = runner.bus.subscribe()
        if runner.over:
            return
        seat = None if resume is None else runner.audience.find(resume)
        missed = None if seat is None else self._missed()
        token = self._new_token()
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
        token = self._new_token()
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

    def _new_token(self) -> str:
        return resume_token(self._wishes.role, secrets.token_urlsafe(24))

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
            received=(self._seat or self._speaker.producer).received,
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
            self.inbound.die(error)
            return
        if message is not None and (message.utterance_id, message.played_ms) != self._told:
            self._told = (message.utterance_id, message.played_ms)
            self.subscription.tell(message)
