"""The one audio buffer of a session: what is accepted and not yet handed to the room.

``push`` puts a chunk at the end, ``due`` takes what may be handed over now, ``next_deadline`` says
when to ask again and ``clear`` drops everything. ``lead`` bounds how far ahead of real time audio is
handed over: 0 is real time; None leaves the keeping of time to the sink.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.core.pcm import Chunk
from app.core.playhead import Playhead
from app.core.utterances import Utterance


@dataclass(frozen=True, slots=True)
class Queued:
    """A chunk and the utterance it belongs to."""

    utterance: Utterance
    chunk: Chunk


class Playout:
    """Never sleeps and never asks what time it is: ``now`` is an argument, in ns."""

    def __init__(self, lead: int | None) -> None:
        """Make an empty one; ``lead`` in samples."""
        self._lead = lead
        self._queue: deque[Queued] = deque()
        self._pace = Playhead()

    def __len__(self) -> int:
        """Chunks that wait."""
        return len(self._queue)

    def push(self, utterance: Utterance, chunks: list[Chunk]) -> None:
        """Put ``chunks`` of ``utterance`` at the end."""
        self._queue.extend(Queued(utterance, chunk) for chunk in chunks)

    def head(self) -> Queued | None:
        """The chunk to go next, if any."""
        return self._queue[0] if self._queue else None

    def due(self, now: int) -> Queued | None:
        """Take the next chunk if it may be handed over at ``now``."""
        if not self._queue:
            return None
        if self._lead is not None:
            ahead = self._pace.ahead(now)
            if ahead and ahead + len(self._queue[0].chunk.pcm) // 2 > self._lead:
                return None
        item = self._queue.popleft()
        if self._lead is not None:
            self._pace.hand(len(item.chunk.pcm) // 2, now)
        return item

    def next_deadline(self) -> int | None:
        """When the next chunk becomes due, in ns; None when there is none."""
        if not self._queue:
            return None
        if self._lead is None:
            return 0
        size = len(self._queue[0].chunk.pcm) // 2
        position = self._pace.handed - max(0, self._lead - size)
        return self._pace.reaches(position) or 0

    def drop(self, utterance: Utterance) -> None:
        """Drop what waits of one utterance."""
        self._queue = deque(item for item in self._queue if item.utterance is not utterance)

    def clear(self) -> None:
        """Drop everything, and forget what the sink still holds: it is told to stop."""
        self._queue.clear()
        self._pace = Playhead()
