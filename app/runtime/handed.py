"""What the room took and may yet give back: it refuses a message, or is lost with what it held."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from app.core.events import MessageFailed
from app.core.pcm import Chunk
from app.core.playback import Delivery, Playback

WHOLE = 8
"""Of how many handed-over messages the audio is kept, which is heavy. Only the last ones can come
back, and no more of those than a room may have unanswered: four. Behind one that it refused nothing
more is handed over before that is settled."""

REMEMBERED = 256
"""How many messages before them are remembered in case the room says that one failed: as many as go
out, in pieces of 20 ms, in the 5 s after which the last of these comes."""

FRAMES = 16
"""How many frames of track audio are remembered: more than a room may have under way."""

TRIES = 5
"""How often a refused chunk is handed over again."""

FIRST_HOLD_NS = 100_000_000
"""Before the first new try, doubled each time; those sent behind it are answered meanwhile."""


@dataclass(slots=True)
class _Stretch:
    """Messages that were numbered in a row and are alike but for their audio: a long speech is one.

    They take no memory each, and can only be taken off the accounts.
    """

    first: int
    end: int
    """One more than the last number."""
    delivery: Delivery
    """Each of them, without its audio."""

    def goes_on(self, number: int, delivery: Delivery) -> bool:
        """Whether this is the next of them."""
        mine, chunk = self.delivery, delivery.chunk
        return (
            number == self.end
            and mine.run is delivery.run
            and mine.utterance is delivery.utterance
            and (mine.chunk.samples, mine.chunk.silence) == (chunk.samples, chunk.silence)
        )


class Handed:
    """One session's. Audio that comes back goes to the front of the buffer, in its order.

    No chunk is handed over again when a later one was taken, or may have been: in the wrong place
    it would be worse than a short gap.
    """

    def __init__(self, playback: Playback) -> None:
        """Have handed over nothing."""
        self._playback = playback
        self._whole: deque[tuple[int, Delivery]] = deque()
        """The last messages, which may come back."""
        self._past: list[_Stretch] = []
        """Those before them."""
        self._refused: dict[int, MessageFailed] = {}
        self._unsure = 0
        """The last message of which nobody knows whether it arrived."""
        self._frames: deque[tuple[int, Delivery]] = deque(maxlen=FRAMES)
        """Each with the number of track samples handed over up to its end."""
        self._samples = 0
        """Track samples handed over since joining, less what was cleared."""
        self.retry_at: int | None = None
        """Until then nothing is handed over, in ns; then call ``retry``."""

    def message(self, number: int, delivery: Delivery) -> None:
        """The room took a message."""
        self._whole.append((number, delivery))
        if len(self._whole) > WHOLE:
            self._let_go(*self._whole.popleft())

    def frame(self, delivery: Delivery) -> None:
        """The room took a frame."""
        self._samples += delivery.chunk.length
        self._frames.append((self._samples, delivery))

    def failed(self, failure: MessageFailed, now: int) -> None:
        """The room did not deliver a message after all.

        When it only never said what became of it, the audio counts as not sent but is not repeated:
        half a word twice is worse than a short gap.
        """
        delivery = dict(self._whole).get(failure.message_id)
        if delivery is None:
            self._lose_past(failure.message_id)
            return
        if not failure.definite:
            self._unsure = max(self._unsure, failure.message_id)
        is_final = delivery.tries >= TRIES or self._playback.is_over(delivery)
        if is_final or not failure.definite:
            self._whole.remove((failure.message_id, delivery))
            self._playback.lost(delivery)
            return
        self._refused[failure.message_id] = failure
        at = now + (FIRST_HOLD_NS << delivery.tries)
        self.retry_at = at if self.retry_at is None else max(at, self.retry_at)
        self._playback.refusing = True

    def retry(self) -> None:
        """Put back what was refused, or let go of it."""
        self.retry_at = None
        self._playback.refusing = False
        self._take_back(set(self._refused))

    def forget(self) -> None:
        """The messages are accounted for, whatever the room says of them later."""
        self._whole.clear()
        self._past.clear()
        self._refused.clear()
        self._unsure = 0
        self.retry_at = None
        self._playback.refusing = False

    def cleared(self, samples: int) -> None:
        """The device dropped what it had not begun; it got ``samples`` since joining."""
        self._frames.clear()
        self._samples = samples

    def lose(self, unanswered: Collection[int], consumed: int) -> None:
        """There is another room: what this one had not delivered or played goes to that.

        ``unanswered``: messages of which this one had not said what became of them; ``consumed``:
        the track samples that its device played since joining.
        """
        self._take_back({*self._refused, *unanswered})
        self.forget()
        for end, delivery in reversed(self._frames):
            if end > consumed:
                self._playback.give_back(delivery)
        self.cleared(0)
        self._playback.renew()

    def _let_go(self, number: int, delivery: Delivery) -> None:
        """Keep of a message no more than is needed to take it off the accounts."""
        past, chunk = self._past, delivery.chunk
        if past and past[-1].goes_on(number, delivery):
            past[-1].end += 1
        else:
            hollow = replace(delivery, chunk=Chunk(b"", chunk.samples, chunk.silence))
            past.append(_Stretch(number, number + 1, hollow))
        while past[0].end <= number - REMEMBERED:
            del past[0]

    def _lose_past(self, number: int) -> None:
        """Take a message off the accounts whose audio is gone, if it is known, once."""
        for at, stretch in enumerate(self._past):
            if stretch.first <= number < stretch.end:
                parts = (
                    _Stretch(stretch.first, number, stretch.delivery),
                    _Stretch(number + 1, stretch.end, stretch.delivery),
                )
                self._past[at : at + 1] = [part for part in parts if part.first < part.end]
                self._playback.lost(stretch.delivery)
                return

    def _take_back(self, numbers: set[int]) -> None:
        """Put back those of these messages after which none was taken; let go of the others."""
        large = [
            delivery.chunk.length
            for number, delivery in self._whole
            if number in self._refused and self._refused[number].too_large
        ]
        if large:
            self._playback.shrink(max(large) // 2)
        is_last = True
        kept: deque[tuple[int, Delivery]] = deque()
        for number, delivery in reversed(self._whole):
            is_last = is_last and number > self._unsure
            if number not in numbers:
                is_last = False
                kept.appendleft((number, delivery))
            elif not is_last:
                self._playback.lost(delivery)
            elif number in self._refused:
                self._playback.refused(delivery)
            else:
                self._playback.give_back(delivery)
        self._whole = kept
        self._refused.clear()
        for number in numbers:
            self._lose_past(number)
