"""What the room took and may yet give back: it refuses a message, or is lost with what it held."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from app.core.events import MessageFailed
from app.core.playback import Delivery, Playback

REMEMBERED = 256
"""How many handed-over messages are remembered in case the room says that one failed: as many as
go out, in pieces of 20 ms, in the 5 s after which the last of these comes."""

WHOLE = 16
"""Of how many of them the audio is kept, which is heavy. Only the last ones can come back, and no
more of those than a room may have unanswered: four, and what it refused before it was held."""

FRAMES = 16
"""How many frames of track audio are remembered: more than a room may have under way."""

TRIES = 5
"""How often a refused chunk is handed over again."""

FIRST_HOLD_NS = 100_000_000
"""Before the first new try, doubled each time; those sent behind it are answered meanwhile."""


class Handed:
    """One session's. Audio that comes back goes to the front of the buffer, in its order.

    No chunk is handed over again when a later one was taken, or may have been: in the wrong place
    it would be worse than a short gap.
    """

    def __init__(self, playback: Playback) -> None:
        """Have handed over nothing."""
        self._playback = playback
        self._messages: deque[tuple[int, Delivery]] = deque(maxlen=REMEMBERED)
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
        messages = self._messages
        messages.append((number, delivery))
        if len(messages) > WHOLE:
            messages[-1 - WHOLE][1].chunk.pcm = b""

    def frame(self, delivery: Delivery) -> None:
        """The room took a frame."""
        self._samples += delivery.chunk.length
        self._frames.append((self._samples, delivery))

    def failed(self, failure: MessageFailed, now: int) -> None:
        """The room did not deliver a message after all.

        When it only never said what became of it, the audio counts as not sent but is not repeated:
        half a word twice is worse than a short gap.
        """
        delivery = dict(self._messages).get(failure.message_id)
        if delivery is None:
            return
        if not failure.definite:
            self._unsure = max(self._unsure, failure.message_id)
        if not failure.definite or delivery.tries >= TRIES:
            self._messages.remove((failure.message_id, delivery))
            self._playback.lost(delivery)
            return
        self._refused[failure.message_id] = failure
        at = now + (FIRST_HOLD_NS << delivery.tries)
        self.retry_at = at if self.retry_at is None else max(at, self.retry_at)

    def retry(self) -> None:
        """Put back what was refused, or let go of it."""
        self.retry_at = None
        self._take_back(set(self._refused))

    def forget(self) -> None:
        """The messages are accounted for, whatever the room says of them later."""
        self._messages.clear()
        self._refused.clear()
        self._unsure = 0
        self.retry_at = None

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

    def _take_back(self, numbers: set[int]) -> None:
        """Put back those of these messages after which none was taken; let go of the others."""
        large = [
            delivery.chunk.length
            for number, delivery in self._messages
            if number in self._refused and self._refused[number].too_large
        ]
        if large:
            self._playback.shrink(max(large) // 2)
        is_last = True
        kept: deque[tuple[int, Delivery]] = deque(maxlen=REMEMBERED)
        for number, delivery in reversed(self._messages):
            is_last = is_last and number > self._unsure and bool(delivery.chunk.pcm)
            if number not in numbers:
                is_last = False
                kept.appendleft((number, delivery))
            elif not is_last:
                self._playback.lost(delivery)
            elif number in self._refused:
                self._playback.refused(delivery)
            else:
                self._playback.give_back(delivery)
        self._messages = kept
        self._refused.clear()
