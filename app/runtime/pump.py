"""Hands audio from the buffer to the room: all that may be now, and again when more may be."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.core import tavus
from app.core.events import MessageFailed
from app.core.playback import Delivery
from app.core.spec import AudioPathName
from app.core.voice import Voice
from app.runtime.alarm import Alarm, CallAt
from app.runtime.clock import Clock
from app.runtime.handed import Handed
from app.runtime.room import Room


class Pump:
    """One session's hand-over. No task: whoever brings audio, room or time calls ``run``."""

    def __init__(
        self,
        voice: Voice,
        clock: Clock,
        call_at: CallAt,
        *,
        path: AudioPathName,
        done_as_string: bool,
        touch: Callable[[int], None],
        on_handed: Callable[[Delivery, bool], bool],
        on_retry: Callable[[], None],
    ) -> None:
        """Make one without a room.

        ``touch`` is called, with the time, when what waited is handed over; ``on_handed`` after
        every chunk, with what ``Playback.handed`` said: it returns whether the chunk's utterance
        goes on, so that nothing is to be handed over until more of that comes. ``on_retry`` is
        called when what the room refused was put back into the buffer, or given up.
        """
        self._voice = voice
        self._playout = voice.playout
        self._clock = clock
        self._path = path
        self._done_as_string = done_as_string
        self._touch = touch
        self._on_handed = on_handed
        self._on_retry = on_retry
        self._handed = Handed(voice.playback)
        self._alarm = Alarm(call_at, self.run)
        self._room: Room | None = None
        self._conversation_id = ""

    def enter(self, room: Room, conversation_id: str, on_ready: Callable[[], None]) -> None:
        """Hand over to ``room`` from now on; ``on_ready``, which calls ``run``, is given to it."""
        self._room = room
        self._conversation_id = conversation_id
        room.attend(on_ready)

    def stop(self) -> None:
        """Hand over nothing more."""
        self._room = None
        self._alarm.stop()

    def settle(self) -> None:
        """Put back at once what waits for a new try, or let go of it."""
        self._handed.retry()

    def cleared(self, samples: int) -> None:
        """The room's device dropped what it had not begun; it got ``samples`` since joining."""
        self._handed.cleared(samples)

    def failed(self, failure: MessageFailed) -> None:
        """A message was not delivered after all."""
        self._handed.failed(failure, self._clock.now())

    @property
    def rests(self) -> bool:
        """Whether nothing is on its way back from the room."""
        return self._handed.retry_at is None

    def lose(self, unanswered: Collection[int], consumed: int) -> None:
        """Hand over nothing more: what this room had not played goes first to the next.

        The arguments are those of ``Handed.lose``.
        """
        self.stop()
        self._handed.lose(unanswered, consumed)

    def forget(self) -> None:
        """What was handed over is accounted for, whatever the room says of it later."""
        self._handed.forget()

    def heard(self) -> None:
        """Hand over the audio that came, unless what waits before it waits for its time."""
        if self._playout.waiting and self._alarm.at is None:
            self._run(self._clock.now())

    def run(self) -> None:
        """Hand over all that may be now; be called again when it is time for more."""
        now = self._clock.now()
        if self._run(now):
            self._touch(now)

    def _run(self, now: int) -> bool:
        """Hand over; returns whether there was anything."""
        handed = False
        playback = self._voice.playback
        while self._room is not None:
            if (retry_at := self._handed.retry_at) is not None:
                if now < retry_at:
                    self._alarm.set(retry_at)
                    break
                self._handed.retry()
                self._on_retry()
            if not self._room.ready_for(self._path):
                break
            delivery = playback.next(now)
            if delivery is None:
                self._alarm.set(playback.next_due(now))
                break
            self._hand(self._room, delivery)
            is_watched = playback.handed(delivery, now)
            handed = True
            if self._on_handed(delivery, is_watched) and not self._playout.waiting:
                self._alarm.stop()  # what it was set for has come sooner
                break
        return handed

    def _hand(self, room: Room, delivery: Delivery) -> None:
        if self._path is AudioPathName.TRACK:
            room.write_audio(delivery.epoch, delivery.chunk)
            self._handed.frame(delivery)
            return
        message = tavus.echo_message(
            self._conversation_id,
            delivery.run.inference_id,
            delivery.chunk.pcm,
            done=delivery.done,
            done_as_string=self._done_as_string,
        )
        number = room.send_audio(message, delivery.epoch, delivery.chunk.silence)
        self._handed.message(number, delivery)
