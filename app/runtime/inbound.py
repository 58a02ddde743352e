"""What one client sends: audio and control messages, each taken, obeyed or refused, and counted."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import nullcontext
from typing import assert_never

from app.core import wire_in
from app.core import wire_out as out
from app.core.audience import Seat
from app.core.roles import Role, needed_for
from app.errors import BridgeError, RoleForbidden
from app.runtime.bus import Subscription, no_frame
from app.runtime.clock import NS_PER_S
from app.runtime.frames import Viewer
from app.runtime.runner import Runner

log = logging.getLogger(__name__)

SLICE_BYTES = 64 * 1024
"""Audio is processed in slices of this size, with a turn of the event loop between them: one 1 MiB
message of µ-law is 131 s of speech and 145 ms of work."""

BAD_MESSAGES, BAD_WINDOW_NS = 25, 10 * NS_PER_S
"""So many bad messages within this time close the connection."""

BAD_MESSAGES_CODE = 4400
"""How a connection is closed that sent too many bad messages."""

BUG = 1011
"""How a connection is closed that a bug of ours has ended."""


class Inbound:
    """What one attached client sends."""

    def __init__(
        self,
        runner: Runner,
        subscription: Subscription,
        role: Role,
        seat: Seat | None,
        viewer: Viewer,
    ) -> None:
        """Take what comes from a client that may send what ``role`` may.

        It is answered through ``subscription``: once that is closed, nothing counts any more.
        ``seat`` is of whoever is not the producer; ``viewer`` gets the frames it asks for.
        """
        self._runner = runner
        self._speaker = runner.speaker
        self._clock = runner.clock
        self._subscription = subscription
        self._role = role
        self._seat = seat
        self._viewer = viewer
        self._bad: deque[int] = deque(maxlen=BAD_MESSAGES)
        """When the last bad messages came, in ns."""

    def take(self, data: bytes, more: bool) -> bool:  # noqa: FBT001  # as ``Take`` says
        """Take a packet of audio at once; False for a message that ``binary`` must have.

        That is one that takes long, or must wait for the one before it. ``more``: another packet
        follows at once.
        """
        if self._seat is not None or len(data) > SLICE_BYTES or self._speaker.hearing.locked():
            return False
        if self._subscription.close_code is None:
            try:
                self._packet(data, more=more)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is logged there
                self.die(error)
        return True

    async def binary(self, data: bytes) -> None:
        """Take one binary message: audio."""
        if self._seat is not None:
            if not self._is_closed():
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
            self._speaker.heard(self._clock.now())

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
                self._speaker.heard(self._clock.now())
                return
            if isinstance(message, wire_in.UtteranceEnd):
                self._speaker.teller.acknowledge(self._clock.now())
            self._speaker.changed()

    def die(self, error: Exception) -> None:
        """A bug of ours ends the connection."""
        log.error("a stream of session %s died", self._runner.session_id, exc_info=error)
        self._subscription.close(BUG)

    def _packet(self, data: bytes, *, more: bool) -> None:
        """Take audio that is no longer than a slice: the way of nearly all that ever comes."""
        speaker, now = self._speaker, self._clock.now()
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

    def _is_closed(self) -> bool:
        """Whether nothing this client says counts any more: it is replaced, or at its end."""
        return self._subscription.close_code is not None

    def _count(self) -> None:
        (self._seat or self._speaker.producer).received += 1

    async def _obey(self, message: wire_in.ClientMessage) -> None:
        runner, voice, now = self._runner, self._speaker.voice, self._clock.now()
        role = needed_for(message)
        if not self._role.covers(role):
            raise RoleForbidden(f"the role {self._role} may not send this: it needs {role}")
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
                self._subscription.tell(out.Pong(ts, ref))
            case wire_in.Interrupt(utterance_id, reason, ref):
                in_band = self._seat is None  # else its audio comes over another socket
                runner.begin_interrupt(ref, utterance_id, reason, in_band=in_band)
            case wire_in.TavusSend(event_type, properties):
                await runner.interact(event_type, properties or {})
            case wire_in.FramesSubscribe(video, audio, user_audio, ref):
                runner.frames.subscribe(self._viewer, message.choices())
                self._subscription.media = self._viewer.take
                self._subscription.tell(out.FramesSubscribed(video, audio, user_audio, ref))
            case wire_in.FramesUnsubscribe(ref):
                runner.frames.unsubscribe(self._viewer)
                self._subscription.media = no_frame
                self._subscription.tell(self._viewer.stats(ref))
            case _:
                assert_never(message)

    async def _audio(self, data: bytes, ref: str | None) -> None:
        """Take the audio of one message, in slices; the connection is not read meanwhile.

        An interrupt that comes between two slices closes the utterance, and the rest is discarded
        as late. The end of the session ends the message too.
        """
        intake = self._speaker.voice.intake
        if not intake.admit(len(data), self._clock.now(), ref):
            return
        if len(data) <= SLICE_BYTES:
            intake.audio(data, self._clock.now())
            return
        view = memoryview(data)
        for start in range(0, len(data), SLICE_BYTES):
            if self._runner.over:
                return
            intake.audio(view[start : start + SLICE_BYTES], self._clock.now())
            self._speaker.changed()
            await asyncio.sleep(0)

    def _refuse(self, error: BridgeError, ref: str | None) -> None:
        """Answer a wrong message; too many close the connection, but not those worth a retry."""
        self._speaker.teller.publish()  # what came of it before it went wrong
        self._subscription.tell(out.error_message(error, ref))
        if error.retryable:
            return
        now = self._clock.now()
        self._bad.append(now)
        if len(self._bad) == BAD_MESSAGES and now - self._bad[0] < BAD_WINDOW_NS:
            self._subscription.close(BAD_MESSAGES_CODE)
