"""What the room took and may yet give back: it refuses a message, or is lost with what it held."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection

from msgspec.structs import replace

from app.core.events import MessageFailed
from app.core.pcm import Chunk
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
        self._messages: OrderedDict[int, Delivery] = OrderedDict()
        self._whole: deque[int] = deque()
        """Those whose audio is kept."""
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
        self._messages[number] = delivery
        self._whole.append(number)
        if len(self._whole) > WHOLE:
            self._hollow(self._whole.popleft())
        if len(self._messages) > REMEMBERED:
            self._messages.popitem(last=False)

    def frame(self, delivery: Delivery) -> None:
        """The room took a frame."""
        self._samples += delivery.chunk.length
        self._frames.append((self._samples, delivery))

    def failed(self, failure: MessageFailed, now: int) -> None:
        """The room did not deliver a message after all.

        When it only never said what became of it, the audio counts as not sent but is not repeated:
        half a word twice is worse than a short gap.
        """
        delivery = self._messages.get(failure.message_id)
        if delivery is None:
            return
        if not failure.definite:
            self._unsure = max(self._unsure, failure.message_id)
        if not failure.definite or delivery.tries >= TRIES:
            del self._messages[failure.message_id]
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
        self._whole.clear()
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

    def _hollow(self, number: int) -> None:
        """Keep of a message no more than is needed to take it off the accounts."""
        delivery = self._messages.get(number)
        if delivery is not None:
            chunk = delivery.chunk
            self._messages[number] = replace(
                delivery, chunk=Chunk(b"", chunk.samples, chunk.silence)
            )

    def _take_back(self, numbers: set[int]) -> None:
        """Put back those of these messages after which none was taken; let go of the others."""
        large = [
            self._messages[number].chunk.length
            for number, failure in self._refused.items()
            if failure.too_large
        ]
        if large:
            self._playback.shrink(max(large) // 2)
        is_last = True
        for number in sorted(self._messages, reverse=True):
            is_last = is_last and number > self._unsure and number in self._whole
            if number not in numbers:
                is_last = False
                continue
            delivery = self._messages.pop(number)
            refused = self._refused.pop(number, None) is not None
            if not is_last:
                self._playback.lost(delivery)
            elif refused:
                self._playback.refused(delivery)
            else:
                self._playback.give_back(delivery)
