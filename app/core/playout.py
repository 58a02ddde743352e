"""The one audio buffer of a session: what is accepted and not yet handed to the room.

``push`` puts a chunk at the end, ``due`` takes what may be handed over now, ``next_deadline`` says
when to ask again and ``clear`` drops everything. ``lead`` bounds how far ahead of real time audio
is handed over: 0 is real time; None leaves the keeping of time to the sink.

Real time is counted from the first chunk. Who asks late gets what should have gone before, so that
small delays do not add up to a gap; after a dry buffer or a hold, counting begins anew.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from app.core.pcm import Chunk, samples_to_ns
from app.core.utterances import Utterance

LATE_NS = 100_000_000
"""Asking later than this is no late wake-up but the end of a hold: a burst of everything that was
held would be too much. As long as the pre-buffer that bridges it in the replica."""


_EVER = 1 << 62
"""Nanoseconds: 146 years."""


class Queued(Struct, frozen=True, gc=False):
    """A chunk and the utterance it belongs to."""

    utterance: Utterance
    chunk: Chunk
    tries: int = 0
    """How often the room has refused it."""


class Playout:
    """Never sleeps and never asks what time it is: ``now`` is an argument, in ns."""

    def __init__(self, lead: int | None) -> None:
        """Make an empty one; ``lead`` in samples."""
        self._lead = _EVER if lead is None else samples_to_ns(lead)
        self._queue: deque[Queued] = deque()
        self.largest: int | None = None
        """Samples that the sink takes at once, if it takes less than what is pushed."""
        self._dry = True
        """Nothing waited behind the last chunk: a gap behind it is not a late call's."""
        self.waiting = 0
        """Samples of speech that wait."""
        self._plays_until = 0
        """When all that was handed over is played in real time, in ns; 0: long ago."""

    def push(self, utterance: Utterance, chunks: list[Chunk]) -> int:
        """Put ``chunks`` of ``utterance`` at the end; returns their samples of speech."""
        samples = 0
        for chunk in chunks:
            self._queue.append(Queued(utterance, chunk))
            samples += chunk.samples
        self.waiting += samples
        return samples

    def put_back(self, item: Queued) -> None:
        """Put at the front again what ``due`` gave: the sink did not get it."""
        self._queue.appendleft(item)
        self.waiting += item.chunk.samples
        self._plays_until = max(0, self._plays_until - samples_to_ns(item.chunk.length))
        self._dry = False

    def head(self) -> Queued | None:
        """The chunk to go next, if any."""
        return self._queue[0] if self._queue else None

    def due(self, now: int) -> Queued | None:
        """Take the next chunk if it may be handed over at ``now``."""
        if not self._queue:
            return None
        chunk = self._queue[0].chunk
        lasts = samples_to_ns(chunk.samples + chunk.silence)
        if now < self._plays_until - max(0, self._lead - lasts):
            return None
        item = self._queue.popleft()
        if self.largest is not None and chunk.length > self.largest:
            chunk, rest = chunk.split(self.largest)
            self._queue.appendleft(Queued(item.utterance, rest, item.tries))
            item = Queued(item.utterance, chunk, item.tries)
            lasts = samples_to_ns(chunk.length)
        self.waiting -= chunk.samples
        if now - self._plays_until > (0 if self._dry else LATE_NS):
            self._plays_until = now
        self._plays_until += lasts
        self._dry = not self._queue
        return item

    def next_deadline(self) -> int | None:
        """When the next chunk becomes due, in ns, the past meaning at once; None without one."""
        if not self._queue:
            return None
        lasts = samples_to_ns(self._queue[0].chunk.length)
        return self._plays_until - max(0, self._lead - lasts)

    def drop(self, utterance: Utterance) -> None:
        """Drop what waits of one utterance."""
        self._queue = deque(item for item in self._queue if item.utterance is not utterance)
        self.waiting = sum(item.chunk.samples for item in self._queue)

    def clear(self) -> None:
        """Drop everything, and forget what the sink still holds: it is told to stop."""
        self._queue.clear()
        self.waiting = 0
        self._dry = True
        self._plays_until = 0
