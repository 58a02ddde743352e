"""One connection of a client to a session's stream: what it may send, and what it is told."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import assert_never

from app.core import wire_in
from app.core import wire_out as out
from app.core.pcm import AudioFormat
from app.core.spec import Status
from app.errors import BridgeError, ResumeFailed
from app.runtime.bus import Subscription
from app.runtime.clock import NS_PER_S
from app.runtime.runner import Runner
from app.settings import Settings

SLICE_BYTES = 64 * 1024
"""Audio is processed in slices of this size, with a turn of the event loop between them: one 1 MiB
message of µ-law is 131 s of speech and 145 ms of work."""

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""The largest message taken; the server closes with 1009 above it."""

HEARTBEAT_MS = 20_000
"""Period of the WebSocket pings, and how long a pong is waited for."""

BAD_MESSAGES, BAD_WINDOW_NS = 25, 10 * NS_PER_S
"""So many bad messages within this time close the connection."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asked for in the address of the stream."""

    format: AudioFormat
    declared: bool
    resume: str | None = None
    seq: int | None = None
    progress_ms: int | None = None


class Connection:
    """A producer's connection, from ``hello`` to ``detach``."""

    def __init__(
        self, number: int, runner: Runner, settings: Settings, wishes: Wishes, version: str
    ) -> None:
        """Attach to the session: takes the producer slot and says ``hello``."""
        self.number = number
        self._runner = runner
        self._settings = settings
        self._wishes = wishes
        self._version = version
        self._bad: list[int] = []
        self.subscription: Subscription = runner.bus.subscribe()
        self._attach()

    def _attach(self) -> None:
        runner, wishes = self._runner, self._wishes
        token = secrets.token_urlsafe(24)
        missed: list[str] | None = None
        known = wishes.resume is not None and runner.producer.knows(wishes.resume)
        if known:
            missed = runner.bus.missed(runner.bus.seq if wishes.seq is None else wishes.seq)
        seq = runner.bus.seq
        displaced = runner.listener
        if missed is not None:
            runner.producer.resume(self.number, token)
            seq = seq if wishes.seq is None else wishes.seq
        else:
            runner.producer.take(self.number, token)
            runner.voice.intake.attach(wishes.format, declared=wishes.declared)
        runner.voice.intake.suspended = False
        runner.listener = self.subscription
        if displaced is not None:
            displaced.close(4409)
        self.subscription.tell(self._hello(token, seq, resumed=missed is not None))
        for text in missed or ():
            self.subscription.put(text)
        if wishes.resume is not None and missed is None:
            self.subscription.tell(out.error_message(ResumeFailed()))
        if runner.status is Status.READY and not missed:
            self.subscription.tell(out.SessionReady())
        runner.touch()
        runner.changed()

    def _hello(self, token: str, seq: int, *, resumed: bool) -> out.Hello:
        runner, settings = self._runner, self._settings
        utterance = runner.voice.open
        return out.Hello(
            protocol=out.PROTOCOL,
            version=self._version,
            session=runner.session_id,
            role="produce",
            room=settings.room_kind.value,
            format=runner.voice.intake.format,
            epoch=runner.voice.epoch,
            seq=seq,
            received=runner.producer.received,
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

    def detach(self, *, clean: bool) -> None:
        """The connection is gone; ``clean``: its client closed it. The second time does nothing."""
        runner = self._runner
        runner.bus.unsubscribe(self.subscription)
        self.subscription.close(1000)
        if runner.listener is self.subscription:
            runner.listener = None
            runner.voice.intake.suspended = not clean
        if runner.producer.lose(self.number, runner.clock.now(), clean=clean):
            runner.voice.intake.end()
        runner.changed()

    def holds(self) -> bool:
        """Whether this connection is still the session's producer."""
        return self._runner.producer.connection == self.number

    # --- what the client sends

    async def binary(self, data: bytes) -> None:
        """Take one binary message: audio."""
        self._runner.touch()
        try:
            await self._audio(data, None)
        except BridgeError as error:
            self._refuse(error, None)
        self._handled(at_once=False)

    async def text(self, text: str) -> None:
        """Take one text message; a wrong one is answered with ``error``."""
        message: wire_in.ClientMessage | None = None
        ref: str | None = None
        try:
            message = wire_in.parse(text)
            ref = message.id
            if not isinstance(message, wire_in.Ping):
                self._runner.touch()
            await self._obey(message)
        except BridgeError as error:
            if message is None:
                ref = wire_in.ref_of(text)
                if wire_in.starts_utterance(text):
                    self._runner.voice.intake.refuse_start()
            self._refuse(error, ref)
        self._handled(at_once=isinstance(message, wire_in.UtteranceEnd))

    async def _obey(self, message: wire_in.ClientMessage) -> None:
        runner = self._runner
        voice, now = runner.voice, runner.clock.now()
        match message:
            case wire_in.UtteranceStart(utterance_id, fmt, epoch, ref):
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
                runner.begin_interrupt(ref, utterance_id, reason, in_band=True)
            case wire_in.TavusSend(event_type, properties):
                await runner.interact(event_type, properties or {})
            case _:
                assert_never(message)

    async def _audio(self, data: bytes, ref: str | None) -> None:
        """Take the audio of one message, in slices; the connection is not read meanwhile."""
        runner = self._runner
        intake = runner.voice.intake
        if not self.holds() or not intake.admit(len(data), runner.clock.now(), ref):
            return
        if len(data) <= SLICE_BYTES:
            intake.audio(data, runner.clock.now())
            return
        view = memoryview(data)
        for start in range(0, len(data), SLICE_BYTES):
            if not self.holds() or runner.over:
                return
            intake.audio(view[start : start + SLICE_BYTES], runner.clock.now())
            runner.changed()
            await asyncio.sleep(0)

    def _handled(self, *, at_once: bool) -> None:
        """Count the message and acknowledge it; only the producer's own messages count."""
        runner = self._runner
        if self.holds():
            runner.producer.received += 1
            runner.ack(now=runner.clock.now(), at_once=at_once)
        runner.changed()

    def _refuse(self, error: BridgeError, ref: str | None) -> None:
        """Answer a wrong message; too many of them close the connection."""
        self.subscription.tell(out.error_message(error, ref))
        now = self._runner.clock.now()
        self._bad = [at for at in self._bad if now - at < BAD_WINDOW_NS] + [now]
        if len(self._bad) >= BAD_MESSAGES:
            self.subscription.close(4400)

    # --- what the client is told unasked

    async def progress(self) -> None:
        """Tell the position every ``progress_ms``, when it has moved, until cancelled."""
        period = self._wishes.progress_ms
        if not period:
            return
        runner, clock = self._runner, self._runner.clock
        told: tuple[str, int] | None = None
        while True:
            await clock.sleep_until(clock.now() + period * 1_000_000)
            message = runner.voice.playback.progress(clock.now())
            runner.changed()
            if message is not None and (message.utterance_id, message.played_ms) != told:
                told = (message.utterance_id, message.played_ms)
                self.subscription.tell(message)
