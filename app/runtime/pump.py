"""Hands audio from the buffer to the room: what is due now, then wait for the next deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from app.core import tavus
from app.core.events import MessageFailed
from app.core.playback import Delivery
from app.core.voice import Voice
from app.runtime.clock import Clock
from app.runtime.handed import Handed
from app.runtime.room import Room


class Pump:
    """One session's hand-over."""

    def __init__(
        self,
        voice: Voice,
        clock: Clock,
        *,
        is_track: bool,
        done_as_string: bool,
        on_handed: Callable[[], None],
    ) -> None:
        """Make one that rests; ``on_handed`` is called after every chunk."""
        self._voice = voice
        self._clock = clock
        self._is_track = is_track
        self._done_as_string = done_as_string
        self._on_handed = on_handed
        self._wake = asyncio.Event()
        self._rest = asyncio.Event()
        self._rest.set()
        self._handed = Handed(voice.playback)
        self._in_hand: Delivery | None = None
        """What the room has yet to take."""
        self._failures = 0
        self._is_idle = False
        """It waits for something to hand over, and for no moment."""

    def wake(self) -> None:
        """Look again: audio came, or a hold was released."""
        self._wake.set()

    def heard(self) -> None:
        """Look again if this is the audio that was waited for, not if more waits already."""
        if self._is_idle and self._voice.playback.next_due(self._clock.now()) is not None:
            self._wake.set()

    async def settle(self) -> None:
        """Wait until no chunk is on its way to the room, nor back from it."""
        await self._rest.wait()
        self._handed.retry()

    def cleared(self, samples: int) -> None:
        """The room's device dropped what it had not begun; it got ``samples`` since joining."""
        self._handed.cleared(samples)

    def failed(self, failure: MessageFailed) -> None:
        """A message was not delivered after all."""
        self._failures += 1
        self._handed.failed(failure, self._clock.now())

    @property
    def rests(self) -> bool:
        """Whether nothing is on its way to the room, nor back from it."""
        return self._in_hand is None and self._handed.retry_at is None

    def lose(self, unanswered: Collection[int], consumed: int) -> None:
        """There is another room: what this one had not played goes first there; end ``run`` now.

        The arguments are those of ``Handed.lose``.
        """
        if self._in_hand is not None:
            self._voice.playback.put_back(self._in_hand)
            self._in_hand = None
        self._handed.lose(unanswered, consumed)

    def forget(self) -> None:
        """What was handed over is accounted for, whatever the room says of it later."""
        self._handed.forget()

    async def run(self, room: Room, conversation_id: str) -> None:
        """Hand over to ``room`` until cancelled, or until the room takes nothing more."""
        playback = self._voice.playback
        while True:
            self._wake.clear()
            if (retry_at := self._handed.retry_at) is not None:
                if self._clock.now() >= retry_at:
                    self._handed.retry()
                else:
                    await self._wait(retry_at)
                continue
            delivery = playback.next(self._clock.now())
            if delivery is None:
                await self._wait(playback.next_due(self._clock.now()))
                continue
            self._rest.clear()
            self._in_hand, failures = delivery, self._failures
            try:
                handed = await self._hand(room, conversation_id, delivery)
                self._in_hand = None
                if handed:
                    playback.handed(delivery, self._clock.now())
                else:
                    playback.put_back(delivery)
            finally:
                self._rest.set()
            if handed:
                self._on_handed()
            elif delivery.epoch == self._voice.epoch and failures == self._failures:
                return  # neither a cut nor a refusal of what went before: the room is gone

    async def _hand(self, room: Room, conversation_id: str, delivery: Delivery) -> bool:
        if self._is_track:
            if handed := await room.write_audio(delivery.epoch, delivery.chunk):
                self._handed.frame(delivery)
            return handed
        message = tavus.echo_message(
            conversation_id,
            delivery.run.inference_id,
            delivery.chunk.pcm,
            done=delivery.done,
            done_as_string=self._done_as_string,
        )
        message_id = await room.send_message(
            message, epoch=delivery.epoch, silence=delivery.chunk.silence
        )
        if message_id:
            self._handed.message(message_id, delivery)
        return message_id != 0

    async def _wait(self, deadline: int | None) -> None:
        if deadline is None:
            self._is_idle = True
            await self._wake.wait()
            self._is_idle = False
            return
        alarm = self._clock.call_at(deadline, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
