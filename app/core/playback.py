"""What is handed over, what was played, and what became of every utterance and mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.core import wire_out as out
from app.core.pcm import Chunk, ms_to_samples, samples_to_ms
from app.core.playout import Playout
from app.core.speech import Run, Speech
from app.core.utterances import Utterance, Utterances

Outcome = Literal["played", "interrupted", "failed"]

CLOSING_SILENCE = Chunk(bytes(ms_to_samples(40) * 2), 0, ms_to_samples(40))
"""What carries ``done`` on ``echo``: which chunk is the last is not known when it is handed over.

Pipecat ends its utterances in the same way.
"""

START_BY_CLOCK_NS = 2_000_000_000
"""How long after the first hand-over a silent replica is taken to speak."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chunk on its way to the room."""

    epoch: int
    run: Run
    utterance: Utterance | None
    chunk: Chunk
    done: bool = False
    """It ends the run: nothing waits behind it."""


class Playback:
    """Plain calls with ``now`` in ns; what there is to tell is put into ``told``."""

    def __init__(
        self,
        utterances: Utterances,
        playout: Playout,
        speech: Speech,
        told: list[out.ServerMessage],
        *,
        closing: bool,
    ) -> None:
        """Make one; ``closing``: a run ends with a message of its own, as on ``echo``."""
        self._utterances = utterances
        self._playout = playout
        self._speech = speech
        self._told = told
        self._closing = closing
        self.released = False
        """The replica listens."""
        self.paused = False
        self.cuts = 0
        """Interrupts whose cut the room has not confirmed: nothing is handed over meanwhile."""

    # --- handing over

    def next(self, now: int) -> Delivery | None:
        """Take the next chunk to hand over now; then call ``handed``, if it was."""
        if not self.released or self.paused or self.cuts:
            return None
        if self._playout.head() is None:
            return self._close(now)
        if self._speech.gate(now) > now:
            return None
        item = self._playout.due(now)
        if item is None:
            return None
        run = self._speech.open_run()
        return Delivery(self._utterances.epoch, run, item.utterance, item.chunk)

    def next_due(self, now: int) -> int | None:
        """When ``next`` has a chunk, in ns; None when only an event can bring that about."""
        if not self.released or self.paused or self.cuts:
            return None
        due = self._playout.next_deadline()
        return None if due is None else max(due, self._speech.gate(now))

    def handed(self, delivery: Delivery, now: int) -> None:
        """The room took the chunk."""
        utterance, chunk = delivery.utterance, delivery.chunk
        if utterance is not None:
            utterance.sent += chunk.samples
            if utterance.first_sent_at is None:
                utterance.first_sent_at = now
        self._speech.hand(delivery.run, utterance, chunk, now)
        if delivery.done:
            self._speech.close(delivery.run, now)

    def lost(self, delivery: Delivery) -> None:
        """The room did not deliver a chunk that it had taken: nobody will hear it."""
        if delivery.utterance is not None:
            delivery.utterance.take_back(delivery.chunk.samples)

    def _close(self, now: int) -> Delivery | None:
        run = self._speech.current()
        if run is None or run.closed or not run.total:
            return None
        if any(u.open and u.sent for u in self._utterances.line):
            return None
        if not self._closing:
            self._speech.close(run, now)
            return None
        return Delivery(self._utterances.epoch, run, None, CLOSING_SILENCE, done=True)

    def next_deadline(self, now: int) -> int | None:
        """When ``tick`` has something to tell, in ns; the past means now."""
        times = [self._speech.next_deadline()]
        for utterance in self._utterances.line:
            if not utterance.sent:
                break
            if utterance.started_at is None:
                times.append((utterance.first_sent_at or now) + START_BY_CLOCK_NS)
                times.append(self._ahead(self._speech.reaches(utterance, 1), now))
            if utterance.marks:
                reach = self._speech.reaches(utterance, max(1, utterance.marks[0][0]))
                times.append(self._ahead(reach, now))
        front = self._utterances.line[0] if self._utterances.line else None
        if front is not None and not front.open and not front.unsent:
            times.append(self._speech.finishes_at(front))
        return min((at for at in times if at is not None), default=None)

    @staticmethod
    def _ahead(at: int | None, now: int) -> int | None:
        """A moment that has passed without effect is not worth another look."""
        return at if at is not None and at > now else None

    # --- what the replica and the device tell

    def started(self, form: str, inference_id: str | None, now: int) -> None:
        """The replica began to speak; ``form`` tells Tavus's twins apart."""
        if self._speech.is_twin("started", form):
            return
        self._told.append(out.ReplicaStartedSpeaking())
        self._speech.started(inference_id, now)
        self.tick(now)

    def stopped(
        self,
        form: str,
        inference_id: str | None,
        duration: int | None,
        *,
        interrupted: bool | None,
        now: int,
    ) -> None:
        """The replica stopped; ``duration`` in samples."""
        if self._speech.is_twin("stopped", form):
            return
        duration_ms = None if duration is None else samples_to_ms(duration)
        self._told.append(out.ReplicaStoppedSpeaking(duration_ms, interrupted))
        self._speech.stopped(inference_id, duration, interrupted=bool(interrupted), now=now)
        self.tick(now)

    def consumed(self, samples: int, now: int) -> None:
        """The audio device consumed track audio."""
        self._speech.consume(samples)
        self.tick(now)

    # --- what became of it

    def tick(self, now: int) -> None:
        """Bring positions to ``now`` and tell what came about: starts, marks, ends."""
        self._speech.update(now)
        for utterance in self._utterances.line:
            if not utterance.sent:
                break
            self._tell_start(utterance, now)
            self._tell_marks(utterance)
        line = self._utterances.line
        while line and self._is_finished(line[0], now):
            self.finish(line.popleft(), "played", now)
        for utterance in [u for u in self._utterances.cut if self._is_settled(u, now)]:
            self._utterances.cut.remove(utterance)
            self.finish(utterance, "interrupted", now)

    def finish(self, utterance: Utterance, outcome: Outcome, now: int) -> None:
        """Account for an utterance that is over, with its marks: once."""
        status: Outcome = "failed" if utterance.failure else outcome
        if utterance.played and utterance.started_at is None and outcome == "played":
            self._start(utterance, now)
        utterance.done = True
        if status == "played":
            for position, name in utterance.marks:
                self._tell_mark(utterance, position, name, "played")
            utterance.marks.clear()
        self.flush_marks(utterance)
        began = utterance.first_audio_at
        self._told.append(
            out.UtteranceDone(
                utterance_id=utterance.utterance_id,
                number=utterance.number,
                status=status,
                code=utterance.failure,
                received_ms=utterance.received_ms,
                sent_ms=utterance.sent_ms,
                played_ms=utterance.played_ms,
                dropped_ms=utterance.dropped_ms,
                source=utterance.source,
                latency=out.Latency(
                    _since(began, utterance.first_sent_at), _since(began, utterance.started_at)
                ),
            )
        )

    def flush_marks(self, utterance: Utterance) -> None:
        """Tell what became of an interrupted utterance's marks, as known at the cut."""
        self._tell_marks(utterance)
        for position, name in utterance.marks:
            self._tell_mark(utterance, position, name, "flushed")
        utterance.marks.clear()

    def progress(self, now: int) -> out.PlaybackProgress | None:
        """How far the playing utterance is, None when none plays."""
        self.tick(now)
        for utterance in self._utterances.line:
            if utterance.started_at is not None and utterance.played < utterance.received:
                utterance.told = utterance.played
                return out.PlaybackProgress(
                    utterance.utterance_id, utterance.played_ms, utterance.source
                )
        return None

    def plays_on_ms(self, now: int) -> int:
        """Milliseconds that the room holds and has not played."""
        return samples_to_ms(self._speech.plays_on(now))

    def is_playing(self, now: int) -> bool:
        """Whether something sounds or is about to."""
        moving = self.released and not self.paused and self._playout.head() is not None
        return moving or self._speech.plays_on(now) > 0

    def _is_finished(self, utterance: Utterance, now: int) -> bool:
        if utterance.open or utterance.unsent:
            return False
        if not utterance.sent:
            return True
        at = self._speech.finishes_at(utterance)
        return at is not None and at <= now

    def _is_settled(self, utterance: Utterance, now: int) -> bool:
        if self.cuts:
            return False
        at = self._speech.finishes_at(utterance) if utterance.sent else 0
        return at is not None and at <= now

    def _tell_start(self, utterance: Utterance, now: int) -> None:
        if utterance.started_at is not None:
            return
        silent_until = (utterance.first_sent_at or now) + START_BY_CLOCK_NS
        if self._speech.begun(utterance, now) or (utterance.played and silent_until <= now):
            self._start(utterance, now)

    def _start(self, utterance: Utterance, now: int) -> None:
        utterance.started_at = now
        told = out.UtteranceStarted(utterance.utterance_id, utterance.number, utterance.source)
        self._told.append(told)

    def _tell_marks(self, utterance: Utterance) -> None:
        while utterance.marks and utterance.marks[0][0] <= utterance.played and utterance.played:
            position, name = utterance.marks.popleft()
            self._tell_mark(utterance, position, name, "played")

    def _tell_mark(
        self, utterance: Utterance, position: int, name: str, outcome: Literal["played", "flushed"]
    ) -> None:
        offset_ms = samples_to_ms(position)
        self._told.append(out.MarkReached(name, offset_ms, outcome, utterance.utterance_id))


def _since(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else (end - start) // 1_000_000
