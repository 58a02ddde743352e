"""Which run the next audio belongs to, and which run a speaking event of the replica is about.

Tavus tells each event up to four times (old and new names, two roles), so events are told apart by
counting: the n-th event of one form is the n-th event of any other form. They belong to runs by
order. Whether their ``inference_id`` is ours or one that Tavus made depends on its version: an id
that is ours is believed, and events with another one are from then on no business of ours; but when
the first one is not ours, only one that agrees with the order is believed.
"""

from __future__ import annotations

from collections import deque

from app.core.pcm import Chunk
from app.core.run import HOLD_NS, Run
from app.core.utterances import Utterance

DOUBLE_NS = 50_000_000
"""Within this time the same news again is a message that came twice: to stop and to start again a
replica needs its pre-buffer."""


class Speech:
    """All runs whose end is not settled, oldest first."""

    def __init__(self, *, overlap: bool, joined: bool) -> None:
        """Make one.

        ``overlap``: a new run need not wait for the end of the one before.
        ``joined``: a run goes on until the replica has stopped, since on ``track`` the replica
        hears one stream and not utterances.
        """
        self._overlap = overlap
        self._joined = joined
        self._number = 0
        self._seen: dict[tuple[str, str], int] = {}
        self._told: dict[str, int] = {}
        self._last = ("", 0)
        self._ids_are_ours: bool | None = None
        self._runs: deque[Run] = deque()
        self._over: Run | None = None
        """The last one that was let go of."""
        self._track_handed = 0
        self._track_before = 0
        """Of them, in rooms before this one."""
        self._track_consumed = 0
        self.cuts = 0
        """Interrupts that the room has not confirmed: what was handed over is not certain."""

    # --- handing over

    def current(self) -> Run | None:
        """The run that the next chunk would continue, if there is one."""
        run = self._runs[-1] if self._runs else None
        if run is None or run.cut_at is not None:
            return None
        if run.closed and (run.complete or not self._joined):
            return None
        return run

    def gate(self, now: int) -> int:
        """When audio may be handed over, in ns: ``now`` or earlier means at once."""
        if self._overlap or not self._runs or self.current() is not None:
            return now
        run = self._runs[-1]
        if run.cut_at is not None or run.complete:
            return now
        return run.played_by(run.total) + HOLD_NS

    def open_run(self) -> Run:
        """The run to hand audio over under: the current one, or a new one."""
        run = self.current()
        if run is None:
            before = self._runs[-1] if self._runs else None
            goes_on = before is not None and before.cut_at is None and not before.complete
            free_at = before.played_by(before.total) if before is not None and goes_on else 0
            self._number += 1
            run = Run(f"ab-{self._number}", free_at, self._track_handed)
            self._runs.append(run)
        elif run.closed:
            run.reopen()
        return run

    def lose_replica(self, now: int) -> None:
        """The replica has left, and what it held with it.

        The rest of a run goes on under an id that has not died with it.
        """
        current = self.current()
        if current is not None and current.total:
            self._number += 1
            current.inference_id = f"ab-{self._number}"
        for run in self._runs:
            if run.cut_at is None and not self._joined:
                run.lose_rest(now)

    def move(self, now: int) -> None:
        """The replica is another one from here on, in a conversation of its own.

        Nothing more will be learned of what the one before was handed.
        """
        for run in self._runs:
            if run.cut_at is None and not self._joined:
                run.lose_rest(now)
            run.spread(now)
        self._runs.clear()
        self._seen.clear()
        self._told.clear()
        self._last = ("", 0)
        self._ids_are_ours = None

    def hand(self, run: Run, utterance: Utterance | None, chunk: Chunk, now: int) -> None:
        """Record that a chunk was handed to the room, as part of ``run``."""
        run.hand(utterance, chunk, now)
        if self._joined:
            self._track_handed += chunk.samples + chunk.silence

    @property
    def consumed_here(self) -> int:
        """Track samples that the device of this room has consumed."""
        return self._track_consumed - self._track_before

    def give_back(self, samples: int) -> None:
        """The last ``samples`` of all that was handed over will be handed over anew."""
        if self._joined:
            self._track_handed -= samples

    def go_on(self, run: Run) -> None:
        """The end of ``run`` was given back, as was all that came after it: runs that have nothing.

        What is handed over next belongs to ``run``, and so does the end that comes behind it.
        """
        while run in self._runs and self._runs[-1] is not run and not self._runs[-1].total:
            self._runs.pop()

    def renew(self) -> None:
        """The room is another one, whose device got nothing yet."""
        self._track_before = self._track_handed

    # --- interrupts

    def cut(self, now: int) -> None:
        """Everything handed over is interrupted at ``now``; ``confirm`` must follow."""
        self.cuts += 1
        for run in self._runs:
            if run.cut_at is None:
                run.cut_at = now

    def confirm(self, track_handed: int | None) -> None:
        """The room obeyed a cut; ``track_handed``: the track samples its device got in all."""
        self.cuts -= 1
        if track_handed is None:
            return
        back = max(0, self._track_handed - self._track_before - track_handed)
        self._track_handed -= back
        for run in reversed(self._runs):
            back = run.take_back(back)

    # --- what the replica and the device tell

    def is_news(self, kind: str, form: str, now: int) -> bool:
        """Count an event of one form; False when it or another form told the same before."""
        seen = self._seen[kind, form] = self._seen.get((kind, form), 0) + 1
        if seen <= self._told.get(kind, 0):
            return False
        self._told[kind] = seen
        (last, at), self._last = self._last, (kind, now)
        return kind != last or now - at >= DOUBLE_NS

    def started(self, inference_id: str | None, now: int) -> None:
        """The replica began to speak, or went on after a pause."""
        run = self._about(inference_id, self._beginning(now))
        if run is not None:
            run.start(now)

    def stopped(
        self, inference_id: str | None, duration: int | None, *, interrupted: bool, now: int
    ) -> None:
        """The replica stopped; ``duration`` in samples, None when Tavus did not say."""
        run = self._about(inference_id, self._ending(duration, now, interrupted=interrupted))
        if run is None:
            return
        if run.speaking_since is None:
            if run.cut_at is not None and not run.started:
                self._give_start_back(run)
            elif not run.can_have_spoken(duration, now):
                return
        run.stop(duration, now)

    def consume(self, samples: int) -> None:
        """The audio device consumed ``samples`` of the track, padding included."""
        self._track_consumed += samples
        for run in self._runs:
            run.consumed = max(0, min(run.total, self._track_consumed - run.track_base))

    def _about(self, inference_id: str | None, by_order: Run | None) -> Run | None:
        """The run that an event is about, by its id or by the order of events."""
        if inference_id is None:
            return by_order
        handed = (run for run in self._runs if run.total)
        named = next((run for run in handed if run.inference_id == inference_id), None)
        if named is not None and (named is by_order or self._ids_are_ours is None):
            self._ids_are_ours = True
        elif by_order is not None and self._ids_are_ours is None:
            self._ids_are_ours = False
        return named if self._ids_are_ours else by_order

    def _beginning(self, now: int) -> Run | None:
        """The run that begins or goes on: the oldest that is silent and not over by the clock."""
        handed = [run for run in self._runs if run.total]
        # An interrupted run that has not begun may never begin: one that is alive is meant.
        alive = [run for run in handed if run.cut_at is None]
        silent = [run for run in alive if run.speaking_since is None and not _is_over(run, now)]
        late = [run for run in handed if not run.started]
        return next(iter(silent or alive[-1:] or late), None)

    def _ending(self, duration: int | None, now: int, *, interrupted: bool) -> Run | None:
        """The run that ends or pauses: the oldest that speaks, if it is known to."""
        cut = [run for run in self._runs if run.cut_at is not None and run.total]
        alive = [run for run in self._runs if run.cut_at is None and run.total]
        likely = cut + alive if interrupted else alive + cut
        speaking = [run for run in likely if run.speaking_since is not None]
        if interrupted and cut:
            return next((run for run in speaking if run.cut_at is not None), cut[0])
        silent = (run for run in likely if run.can_have_spoken(duration, now))
        return next(iter(speaking), None) or next(silent, None)

    def _give_start_back(self, cut: Run) -> None:
        """A start that was counted for the run after ``cut`` was the start of ``cut``."""
        for run in self._runs:
            if run.cut_at is None and run.speaking_since is not None and not run.heard:
                cut.start(run.speaking_since)
                run.started, run.speaking_since = False, None
                return

    # --- positions

    def update(self, now: int) -> None:
        """Move every utterance's position to ``now`` and let go of the runs that are over."""
        over: list[Run] = []
        for run in self._runs:
            at = run.settles_at() if run.cut_at is None or not self.cuts else None
            if at is not None and at <= now:
                over.append(run)
                if run.cut_at is not None and self._told.get("started"):
                    run.give_up_start()
            run.spread(now)
        for run in over:
            self._runs.remove(run)
            self._over = run

    def spoken_at(self, at: int) -> tuple[Utterance, int] | None:
        """Which utterance sounded at ``at``, lately, and how many samples of it before that."""
        for run in (*reversed(self._runs), self._over):
            spoken = None if run is None else run.spoken_at(at)
            if spoken is not None:
                return spoken
        return None

    def run_of(self, utterance: Utterance) -> Run | None:
        """The run that holds the utterance, None when nothing more will be learned about it."""
        for run in self._runs:
            if run.holds(utterance):
                return run
        return None

    def forget(self, utterance: Utterance) -> None:
        """An utterance is accounted for."""
        run = self.run_of(utterance)
        if run is not None:
            run.forget(utterance)

    def sounds(self, now: int) -> bool:
        """Whether the replica has something to play at ``now``, by the best estimate."""
        return self.silent_at() > now

    @property
    def settling(self) -> bool:
        """Whether the position of something interrupted is still to be told."""
        return bool(self.cuts) or any(
            run.cut_at is not None and not run.stopped for run in self._runs
        )

    def silent_at(self) -> int:
        """When the replica has nothing more to play, by the best estimate; 0: long ago."""
        return max(
            (run.played_by(run.total) for run in self._runs if run.total and run.cut_at is None),
            default=0,
        )

    def rests_at(self) -> int | None:
        """When the replica has said all that it was handed, and said that it has, or should have.

        In ns; 0: it has. None: the room has yet to confirm a cut.
        """
        if self.cuts:
            return None
        return max((run.rests_at() for run in self._runs if run.total), default=0)


def _is_over(run: Run, now: int) -> bool:
    """Whether a silent run has been heard and has nothing more to say, if only by the clock."""
    late = run.closed and run.started and run.played_by(run.total) + HOLD_NS <= now
    return late or run.complete
