"""An honest replica in virtual time: it plays what it gets in real time and says so.

It starts once 100 ms wait or the end was announced, falls silent when it runs dry, and can be
interrupted. What it really played is kept, to hold positions against.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.core.pcm import ns_to_samples, samples_to_ns

PREBUFFER = 2400


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of the replica; ``duration`` in samples, None for a start."""

    kind: str
    at: int
    inference_id: str
    duration: int | None = None
    interrupted: bool = False


@dataclass(slots=True)
class Speech:
    """What was sent under one ``inference_id``: whose samples, speech and silence, in order."""

    inference_id: str
    pieces: deque[tuple[str, int, int]] = field(default_factory=deque)
    received: int = 0
    played: int = 0
    done: bool = False
    track: bool = False
    """It is heard as it comes, and its end is silence."""


class ReplicaModel:
    """Call ``advance`` at ``next_at`` or later; ``events`` collects what it says."""

    def __init__(self) -> None:
        self.events: list[Heard] = []
        self.truth: dict[str, int] = {}
        """Samples really played, by utterance."""
        self._queue: deque[Speech] = deque()
        self._dead: set[str] = set()
        self._anchor: int | None = None
        self._base = 0

    def hear(
        self,
        now: int,
        inference_id: str,
        piece: tuple[str, int, int],
        *,
        done: bool,
        track: bool = False,
    ) -> None:
        """Take audio: samples of speech of an utterance, then of silence."""
        self.advance(now - 1)  # what comes just in time leaves no gap
        assert track or inference_id not in self._dead
        speech = next((s for s in self._queue if s.inference_id == inference_id), None)
        if speech is None:
            speech = Speech(inference_id, track=track)
            self._queue.append(speech)
        speech.pieces.append(piece)
        speech.received += piece[1] + piece[2]
        speech.done = speech.done or done
        self._settle(now)

    def interrupt(self, now: int) -> None:
        """Stop and forget everything."""
        self.advance(now)
        if self._anchor is not None:
            self._fall_silent(now, interrupted=True)
        self._dead |= {speech.inference_id for speech in self._queue}
        self._queue.clear()

    @property
    def speaks(self) -> bool:
        """Whether it sounds."""
        return self._anchor is not None

    def next_at(self) -> int | None:
        """When it runs dry."""
        if self._anchor is None:
            return None
        return self._anchor + samples_to_ns(self._queue[0].received - self._base)

    def advance(self, now: int) -> None:
        """Play up to ``now``."""
        while (at := self.next_at()) is not None and at <= now:
            self._fall_silent(at, interrupted=False)
            self._settle(at)
        if self._anchor is not None:
            self._play(self._base + ns_to_samples(now - self._anchor))

    def _settle(self, now: int) -> None:
        while self._anchor is None and self._queue:
            speech = self._queue[0]
            waiting = speech.received - speech.played
            if waiting >= PREBUFFER or ((speech.done or speech.track) and waiting):
                self._anchor, self._base = now, speech.played
                self.events.append(Heard("started", now, speech.inference_id))
            elif speech.done:
                self._queue.popleft()
            else:
                return

    def _fall_silent(self, now: int, *, interrupted: bool) -> None:
        assert self._anchor is not None
        speech = self._queue[0]
        self._play(min(speech.received, self._base + ns_to_samples(now - self._anchor)))
        duration = speech.played - self._base
        self.events.append(Heard("stopped", now, speech.inference_id, duration, interrupted))
        self._anchor = None

    def _play(self, position: int) -> None:
        speech = self._queue[0]
        left = position - speech.played
        speech.played = position
        while left:
            name, samples, silence = speech.pieces.popleft()
            part = min(left, samples)
            quiet = min(left - part, silence)
            self.truth[name] = self.truth.get(name, 0) + part
            left -= part + quiet
            if samples > part or silence > quiet:
                speech.pieces.appendleft((name, samples - part, silence - quiet))
