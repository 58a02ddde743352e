"""Hands audio from the buffer to the room: what is due now, then wait for the next deadline."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from app.core import tavus
from app.core.playback import Delivery
from app.core.voice import Voice
from app.runtime.clock import Clock
from app.runtime.room import Room

REMEMBERED = 64
"""How many handed-over messages are remembered in case the room says that one failed."""


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
        self._sent: OrderedDict[int, Delivery] = OrderedDict()

    def wake(self) -> None:
        """Look again: audio came, or a hold was released."""
        self._wake.set()

    async def settle(self) -> None:
        """Wait until no chunk is on its way to the room."""
        await self._rest.wait()

    def failed(self, message_id: int) -> None:
        """A message was not delivered after all: what audio it held will not be heard."""
        delivery = self._sent.pop(message_id, None)
        if delivery is not None:
            self._voice.playback.lost(delivery)

    def forget(self) -> None:
        """What was handed over is accounted for, whatever the room says of it later."""
        self._sent.clear()

    async def run(self, room: Room, conversation_id: str) -> None:
        """Hand over to ``room`` until cancelled, or until the room takes nothing more."""
        playback = self._voice.playback
        while True:
            self._wake.clear()
            delivery = playback.next(self._clock.now())
            if delivery is None:
                await self._wait(playback.next_due(self._clock.now()))
                continue
            self._rest.clear()
            try:
                handed = await self._hand(room, conversation_id, delivery)
                if handed:
                    playback.handed(delivery, self._clock.now())
            finally:
                self._rest.set()
            if handed:
                self._on_handed()
            elif delivery.epoch == self._voice.epoch:
                return

    async def _hand(self, room: Room, conversation_id: str, delivery: Delivery) -> bool:
        if self._is_track:
            return await room.write_audio(delivery.epoch, delivery.chunk)
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
            self._sent[message_id] = delivery
            if len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        return message_id != 0

    async def _wait(self, deadline: int | None) -> None:
        if deadline is None:
            await self._wake.wait()
            return
        alarm = self._clock.call_at(deadline, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
