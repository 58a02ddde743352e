"""What is handed over, what was played, and what became of every utterance and mark."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from app.core import wire_out as out
from app.core.pcm import Chunk, earliest, ms_to_samples, samples_to_ms
from app.core.playout import Playout, Queued
from app.core.run import Run
from app.core.speech import Speech
from app.core.utterances import Utterance, Utterances
from app.core.watchdog import Watchdog

Outcome = Literal["played", "interrupted", "failed"]

CLOSING_SILENCE = Chunk(bytes(ms_to_samples(40) * 2), 0, ms_to_samples(40))
"""What carries ``done`` on ``echo``: which chunk is the last is not known when it is handed over.

Pipecat ends its utterances in the same way.
"""

SMALLEST = ms_to_samples(10)
"""Samples; a room that refuses a chunk of this size refuses it for another reason."""

START_BY_CLOCK_NS = 2_000_000_000
"""How long after the first hand-over a silent replica is taken to speak."""


class Delivery(Struct, frozen=True, gc=False):
    """A chunk on its way to the room."""

    epoch: int
    run: Run
    utterance: Utterance | None
    chunk: Chunk
    done: bool = False
    """It ends the run: nothing waits behind it."""
    tries: int = 0
    """How often the room has refused it."""


class Playback:
    """Plain calls with ``now`` in ns; what there is to tell is put into ``told``."""

    def __init__(
        self,
        utterances: Utterances,
        playout: Playout,
        speech: Speech,
        watchdog: Watchdog,
        told: list[out.ServerMessage],
        *,
        closing: bool,
    ) -> None:
        """Make one; ``closing``: a run ends with a message of its own, as on ``echo``."""
        self._utterances = utterances
        self._playout = playout
        self._speech = speech
        self._watchdog = watchdog
        self._told = told
        self._closing = closing
        self.released = False
        """The replica listens."""
        self.paused = False
        self.refusing = False
        """The room refused something, and whether that is handed over again is not settled."""
        self.draining = False
        """This replica gets nothing more but the end of what it has: the next one gets the rest."""

    # --- handing over

    def next(self, now: int) -> Delivery | None:
        """Take the next chunk to hand over now; then call ``handed``, if it was.

        Nothing is handed over while an interrupt waits for the room to confirm it.
        """
        if not self.released or self._speech.cuts:
            return None
        if self.draining or not self._playout.waiting:
            return self._close(now)
        if self.paused:
            return None
        run = self._speech.current()
        if run is None and self._speech.gate(now) > now:
            return None
        item = self._playout.due(now)
        if item is None:
            return None
        if run is None or run.closed:
            run = self._speech.open_run()
        return Delivery(self._utterances.epoch, run, item.utterance, item.chunk, tries=item.tries)

    def next_due(self, now: int) -> int | None:
        """When ``next`` has a chunk, in ns; None when only an event can bring that about."""
        if not self.released or self.paused or self.draining or self._speech.cuts:
            return None
        due = self._playout.next_deadline()
        return None if due is None else max(due, self._speech.gate(now))

    def handed(self, delivery: Delivery, now: int) -> bool:
        """The room took the chunk; returns what ``Watchdog.handed`` does."""
        utterance, chunk = delivery.utterance, delivery.chunk
        if utterance is not None:
            utterance.sent += chunk.samples
            if utterance.first_sent_at is None:
                utterance.first_sent_at = now
        self._speech.hand(delivery.run, utterance, chunk, now)
        if delivery.done:
            delivery.run.close(now)
        return self._watchdog.handed(chunk, now)

    def lose_replica(self, now: int) -> None:
        """The replica has left: the next one speaks what is not handed over."""
        self._speech.lose_replica(now)

    def lost(self, delivery: Delivery) -> None:
        """The room did not deliver a chunk that it had taken: nobody will hear it."""
        delivery.run.lose(delivery.utterance, delivery.chunk)
        if delivery.utterance is not None:
            delivery.utterance.take_back(delivery.chunk.samples)

    def is_over(self, delivery: Delivery) -> bool:
        """Whether a chunk is not to be heard any more: cut, given up, or accounted for."""
        utterance = delivery.utterance
        is_over = utterance is not None and (utterance.done or utterance.abandoned)
        return is_over or delivery.epoch != self._utterances.epoch

    def put_back(self, delivery: Delivery) -> None:
        """The room did not take a chunk that ``next`` gave: it goes next, unless it was cut."""
        utterance = delivery.utterance
        if utterance is not None and not self.is_over(delivery):
            self._playout.put_back(Queued(utterance, delivery.chunk, delivery.tries))

    def give_back(self, delivery: Delivery) -> None:
        """The room lost the last chunk that it had taken, before anybody heard it: it goes next."""
        utterance, chunk = delivery.utterance, delivery.chunk
        self._speech.give_back(chunk.length)
        if self.is_over(delivery):
            self.lost(delivery)
            return
        delivery.run.give_back(utterance, chunk)
        self._speech.go_on(delivery.run)
        if utterance is not None:
            utterance.give_back(chunk.samples)
        self.put_back(delivery)

    def renew(self) -> None:
        """The room is lost, and all that it had was given back: the next is another one."""
        self._speech.renew()

    # --- moving over to another replica

    def pauses(self, now: int) -> bool:
        """Whether to drain now would break into no speech."""
        waits = self._playout.head() is not None and not self.paused
        run = self._speech.current()
        if run is None:  # whatever waits, waits for the replica's silence
            return not self._speech.settling
        return not waits and (run.closed or not self._speech.sounds(now))

    def silent_at(self) -> int:
        """When the replica has nothing more to play, by the best estimate, in ns; 0: long ago."""
        return self._speech.silent_at()

    def rests_at(self) -> int | None:
        """While draining: when the replica has said all it has, in ns; None: not yet to be said."""
        run = self._speech.current()
        is_open = run is not None and run.total and not run.closed
        return None if is_open else self._speech.rests_at()

    @property
    def consumed_here(self) -> int:
        """Track samples that the device of this room has consumed."""
        return self._speech.consumed_here

    def move(self, now: int) -> None:
        """The replica is another one from here on: what this one had is accounted for."""
        self.draining = False
        self._watchdog.cut()
        self._speech.move(now)

    def shrink(self, samples: int) -> None:
        """Hand over no more at once than this, or ``SMALLEST``: the room does not take it."""
        self._playout.largest = max(SMALLEST, samples)

    def refused(self, delivery: Delivery) -> None:
        """The room refused the last chunk that it had taken: it goes next."""
        if delivery.utterance is None:
            delivery.run.refusals += 1
        self.give_back(replace(delivery, tries=delivery.tries + 1))

    def _close(self, now: int) -> Delivery | None:
        """End the run, unless the open utterance will go on in it."""
        run = self._speech.current()
        if run is None or run.closed or not run.total:
            return None
        goes_on = self._utterances.open is not None and self._utterances.open.received
        if goes_on and not self.draining:
            return None
        if not self._closing:
            run.close(now)
            return None
        epoch, tries = self._utterances.epoch, run.refusals
        return Delivery(epoch, run, None, CLOSING_SILENCE, done=True, tries=tries)

    # --- what the replica and the device tell

    def started(self, form: str, inference_id: str | None, now: int) -> None:
        """The replica began to speak; ``form`` tells Tavus's twins apart."""
        if not self._speech.is_news("started", form, now):
            return
        self._told.append(out.ReplicaStartedSpeaking())
        self._watchdog.started(now)
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
        if not self._speech.is_news("stopped", form, now):
            return
        duration_ms = None if duration is None else samples_to_ms(duration)
        self._told.append(out.ReplicaStoppedSpeaking(duration_ms, interrupted))
        self._watchdog.stopped()
        self._speech.stopped(inference_id, duration, interrupted=bool(interrupted), now=now)
        self.tick(now)

    def consumed(self, samples: int, now: int) -> None:
        """The audio device consumed track audio."""
        self._watchdog.consumed()
        self._speech.consume(samples)
        self.tick(now)

    # --- what became of it

    def tick(self, now: int) -> None:
        """Bring positions to ``now`` and tell what came about: starts, marks, ends."""
        self._speech.update(now)
        line, cut = self._utterances.line, self._utterances.cut
        for utterance in self._handed():
            self._tell_start(utterance, now)
            if _is_at_mark(utterance):
                self._tell_passed(utterance)
                self._tell_marks(utterance)
        while line and _is_due(self._finishes_at(line[0]), now):
            self.finish(line.popleft(), "played", now)
        for utterance in tuple(cut):
            if _is_due(self._settles_at(utterance), now):
                cut.remove(utterance)
                self.finish(utterance, "interrupted", now)

    def next_deadline(self) -> int | None:
        """When ``tick`` has something to tell, in ns; the past means now."""
        line = self._utterances.line
        at = self._finishes_at(line[0]) if line else None
        for utterance in self._utterances.cut:
            at = earliest(at, self._settles_at(utterance))
        for utterance in self._handed():
            if utterance.started_at is None:
                at = earliest(at, self._starts_at(utterance))
            elif utterance.marks:
                at = earliest(at, self._reaches(utterance, utterance.marks[0][0]))
        return at

    def finish(self, utterance: Utterance, outcome: Outcome, now: int) -> None:
        """Account for an utterance that is over, with its marks: once."""
        status: Outcome = "failed" if utterance.failure else outcome
        if outcome == "played" and utterance.played and utterance.started_at is None:
            self._start(utterance, now)
        utterance.done = True
        self._speech.forget(utterance)
        if status == "played":
            while utterance.marks:
                self._tell_mark(utterance, "played")
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
        """Tell what became of the marks of an utterance that is over, as far as it was played."""
        self._tell_marks(utterance)
        while utterance.marks:
            self._tell_mark(utterance, "flushed")

    def progress(self, now: int) -> out.PlaybackProgress | None:
        """How far the playing utterance is, None when none plays.

        None also while it is behind what was told, since the room lost some of it.
        """
        self.tick(now)
        for utterance in self._utterances.line:
            if utterance.started_at is not None and utterance.played < utterance.received:
                if utterance.played < utterance.told:
                    return None
                utterance.told = utterance.played
                return out.PlaybackProgress(
                    utterance.utterance_id, utterance.played_ms, utterance.source
                )
        return None

    def plays_on_ms(self, now: int) -> int:
        """Milliseconds of speech that the room holds and has not played."""
        self._speech.update(now)
        return samples_to_ms(sum(u.sent - u.played for u in self._utterances.line))

    def spoken_at(self, at: int) -> tuple[int, int] | None:
        """Number of the utterance that sounded at ``at``, lately, and how many ms of it before.

        None when none did, as far as is known: an event that comes late changes the answer.
        """
        spoken = self._speech.spoken_at(at)
        return None if spoken is None else (spoken[0].number, samples_to_ms(spoken[1]))

    def is_playing(self, now: int) -> bool:
        """Whether something sounds or is about to."""
        moving = self.released and not self.paused and self._playout.head() is not None
        return moving or self._speech.sounds(now)

    # --- inside

    def _handed(self) -> Iterator[Utterance]:
        """The utterances in line of which something was handed over."""
        for utterance in self._utterances.line:
            if utterance.sent:
                yield utterance
            if utterance.open or utterance.unsent:
                return

    def _finishes_at(self, utterance: Utterance) -> int | None:
        """When the end of an utterance in line is certain; 0: it is; None: not yet to be said."""
        if utterance.open or utterance.unsent or self.refusing or self._speech.cuts:
            return None  # an interrupt is told first
        run = self._speech.run_of(utterance) if utterance.sent else None
        return 0 if run is None else run.finishes_at(utterance)

    def _settles_at(self, utterance: Utterance) -> int | None:
        """When an interrupted utterance is accounted for; None: first the room has its say."""
        if self._speech.cuts:
            return None
        run = self._speech.run_of(utterance) if utterance.sent else None
        return 0 if run is None else run.finishes_at(utterance)

    def _starts_at(self, utterance: Utterance) -> int | None:
        """When an utterance that was handed over begins, by the best source that speaks."""
        run = self._speech.run_of(utterance)
        if run is None:  # it was with a replica of which nothing more will be learned
            return _silent_until(utterance) if utterance.played else None
        at = run.passes(utterance, 1)
        return at if at is None or run.started else max(at, _silent_until(utterance))

    def _reaches(self, utterance: Utterance, position: int) -> int | None:
        run = self._speech.run_of(utterance)
        return None if run is None else run.passes(utterance, max(1, position))

    def _tell_start(self, utterance: Utterance, now: int) -> None:
        if utterance.started_at is not None:
            return
        run = self._speech.run_of(utterance)
        told = run is not None and run.begun(utterance, now)
        if told or (utterance.played and _silent_until(utterance) <= now):
            self._start(utterance, now)

    def _start(self, utterance: Utterance, now: int) -> None:
        utterance.started_at = now
        told = out.UtteranceStarted(utterance.utterance_id, utterance.number, utterance.source)
        self._told.append(told)

    def _tell_marks(self, utterance: Utterance) -> None:
        """Tell the marks that were played."""
        while _is_at_mark(utterance):
            self._tell_mark(utterance, "played")

    def _tell_passed(self, utterance: Utterance) -> None:
        """Tell the marks before this utterance, which sounds: they may be in lost audio."""
        for before in takewhile(lambda each: each is not utterance, self._utterances.line):
            while before.marks:
                self._tell_mark(before, "flushed" if before.failure else "played")

    def _tell_mark(self, utterance: Utterance, outcome: Literal["played", "flushed"]) -> None:
        position, name = utterance.marks.popleft()
        if outcome == "played":  # what was told is not taken back by a better source
            utterance.told = max(utterance.told, position)
        offset_ms = samples_to_ms(position)
        self._told.append(out.MarkReached(name, offset_ms, outcome, utterance.utterance_id))


def _is_at_mark(utterance: Utterance) -> bool:
    """Whether its next mark was played: not before the utterance is known to sound."""
    played = 0 if utterance.started_at is None else utterance.played
    return bool(played and utterance.marks) and utterance.marks[0][0] <= played


def _silent_until(utterance: Utterance) -> int:
    """When a replica that says nothing about an utterance is taken to speak it."""
    return (utterance.first_sent_at or 0) + START_BY_CLOCK_NS


def _is_due(at: int | None, now: int) -> bool:
    return at is not None and at <= now


def _since(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else (end - start) // 1_000_000
