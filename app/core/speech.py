"""What the replica does with what we handed over: its speaking events become positions.

Audio handed over without a break forms a *run*: one Tavus ``inference_id`` on ``echo``, one stretch
of the track on ``track``. A run knows whose samples it holds, in order, and so can split a position
of the replica over the utterances. Three sources tell the position, the best one that spoke wins:

- ``replica``: Tavus's speaking events. Between start and stop the clock counts on from the start;
  the stop's ``duration`` is exact. Several pairs add up (the replica stops when audio is late).
- ``track``: what the audio device consumed.
- ``clock``: where a real-time player with a 100 ms pre-buffer would be.

Tavus tells each event up to four times (old and new names, two roles) and sometimes under an
``inference_id`` of its own, so events are told apart by counting: the n-th event of one form is the
n-th event of any other form. They belong to runs by order; an id that is ours is a bonus.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.core.pcm import Chunk, ms_to_samples, ns_to_samples, samples_to_ns
from app.core.playhead import Playhead
from app.core.utterances import Utterance
from app.core.wire_out import Source

PREBUFFER = ms_to_samples(100)
"""Samples a replica wants before it starts (Pipecat's ``mock_tavus_server.py``)."""

SLACK = ms_to_samples(250)
"""A stop that leaves less than this unplayed is the end of the run, not a pause in it."""

HOLD_NS = 500_000_000
"""How long after the estimated end the next utterance waits for the replica's stop event."""

SETTLE_NS = 2_000_000_000
"""How long a stop event is waited for: after an interrupt, and after the estimated end."""


@dataclass(slots=True)
class Segment:
    """Samples of one utterance inside a run; of none: silence."""

    utterance: Utterance | None
    samples: int


@dataclass(slots=True, eq=False)
class Run:
    """Audio handed over without a break."""

    inference_id: str
    track_base: int
    """Track samples handed over before this run, padding included."""
    head: Playhead = field(default_factory=lambda: Playhead(PREBUFFER))
    segments: list[Segment] = field(default_factory=list)
    total: int = 0
    """Samples handed over, silence included."""
    closed: bool = False
    cut_at: int | None = None
    started: bool = False
    """The replica told that it began."""
    speaking_since: int | None = None
    heard: int = 0
    """Samples of the speaking stretches that ended."""
    timed: bool = False
    """A stretch ended without a ``duration``: ``heard`` is partly an estimate."""
    stopped: bool = False
    """The replica told that it stopped, and nothing came since."""
    consumed: int = 0
    settled: bool = False

    def position(self, now: int) -> tuple[int, Source]:
        """Samples played at ``now``, silence included, and who says so."""
        if self.cut_at is not None:
            now = min(now, self.cut_at)
        if self.started:
            since = self.speaking_since
            speaking = 0 if since is None else ns_to_samples(max(0, now - since))
            return min(self.total, self.heard + speaking), "replica"
        if self.consumed and self.cut_at is None:
            return min(self.total, self.consumed), "track"
        return min(self.total, self.head.at(now)), "clock"

    def reaches(self, position: int) -> int | None:
        """When ``position`` is played by the best source, in ns; None when that cannot be said."""
        if self.started:
            if self.speaking_since is None:
                return None
            return self.speaking_since + samples_to_ns(max(0, position - self.heard))
        return self.head.reaches(position)

    def end(self) -> int | None:
        """When all of it is played, at the best estimate."""
        by_clock = self.head.reaches(self.total)
        by_replica = self.reaches(self.total) if self.started else None
        ends = [end for end in (by_clock, by_replica) if end is not None]
        return max(ends) if ends else None

    def complete(self) -> bool:
        """Whether the replica said that it played all there is."""
        return self.closed and self.stopped and self.total - self.heard <= SLACK


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
        self.runs: deque[Run] = deque()
        self.track_handed = 0
        """Track samples handed over since the room was joined, padding included."""
        self.track_consumed = 0

    # --- handing over

    def current(self) -> Run | None:
        """The run that the next chunk would continue, if there is one."""
        if not self.runs or self.runs[-1].cut_at is not None or self.runs[-1].settled:
            return None
        run = self.runs[-1]
        if run.closed and not (self._joined and not run.complete()):
            return None
        return run

    def gate(self, now: int) -> int:
        """When audio may be handed over, in ns: ``now`` or earlier means at once."""
        if self.current() is not None or self._overlap or not self.runs:
            return now
        run = self.runs[-1]
        if run.cut_at is not None or run.settled or run.complete():
            return now
        end = run.end()
        return now if end is None else end + HOLD_NS

    def open_run(self) -> Run:
        """The run to hand audio over under: the current one, or a new one."""
        run = self.current()
        if run is None:
            self._number += 1
            run = Run(f"ab-{self._number}", self.track_handed)
            self.runs.append(run)
        return run

    def hand(self, run: Run, utterance: Utterance | None, chunk: Chunk, now: int) -> None:
        """Record that a chunk was handed to the room, as part of ``run``."""
        if run.closed:
            run.closed = False
            run.head.reopen()
        run.stopped = False
        self._append(run, utterance, chunk.samples)
        self._append(run, None, chunk.silence)
        if self._joined:
            self.track_handed += chunk.samples + chunk.silence
        run.head.hand(chunk.samples + chunk.silence, now)

    def close(self, run: Run, now: int) -> None:
        """Nothing follows in ``run``."""
        run.head.close(now)
        run.closed = True

    def correct(self, track_handed: int) -> None:
        """The track's device got ``track_handed`` samples in all: the rest was not handed over."""
        back = max(0, self.track_handed - track_handed)
        self.track_handed -= back
        for run in reversed(self.runs):
            while back and run.segments:
                segment = run.segments[-1]
                part = min(back, segment.samples)
                segment.samples -= part
                run.total -= part
                back -= part
                if segment.utterance is not None:
                    segment.utterance.take_back(part)
                if not segment.samples:
                    run.segments.pop()

    def cut(self, now: int) -> None:
        """Everything handed over was interrupted at ``now``."""
        for run in self.runs:
            if run.cut_at is None:
                run.cut_at = now

    def _append(self, run: Run, utterance: Utterance | None, samples: int) -> None:
        if not samples:
            return
        if not run.segments or run.segments[-1].utterance is not utterance:
            run.segments.append(Segment(utterance, 0))
        run.segments[-1].samples += samples
        run.total += samples

    # --- what the replica and the device tell

    def is_twin(self, kind: str, form: str) -> bool:
        """Count an event of one form; True when another form told the same before."""
        seen = self._seen[kind, form] = self._seen.get((kind, form), 0) + 1
        if seen <= self._told.get(kind, 0):
            return True
        self._told[kind] = seen
        return False

    def started(self, inference_id: str | None, now: int) -> None:
        """The replica began to speak, or went on after a pause."""
        waiting = self._waiting(inference_id)
        # An interrupted run that has not begun may never begin: one that is alive is meant.
        alive = [run for run in waiting if run.cut_at is None]
        run = next(iter(alive or waiting), None)
        if run is not None and run.speaking_since is None:
            run.started = True
            run.stopped = False
            run.speaking_since = now

    def stopped(
        self, inference_id: str | None, duration: int | None, *, interrupted: bool, now: int
    ) -> None:
        """The replica stopped; ``duration`` in samples, None when Tavus did not say."""
        waiting = self._waiting(inference_id)
        if interrupted:
            first = [run for run in waiting if run.cut_at is not None]
        else:
            first = [run for run in waiting if run.speaking_since is not None]
        run = next(iter(first or waiting), None)
        if run is None:
            return
        if run.cut_at is not None and not run.started:
            self._give_back_start(run)
        if duration is not None:
            run.heard += duration
            run.started = True
        elif run.speaking_since is not None:
            run.heard += ns_to_samples(max(0, now - run.speaking_since))
            run.timed = True
        run.heard = min(run.heard, run.total)
        run.speaking_since = None
        run.stopped = True

    def consume(self, samples: int) -> None:
        """The audio device consumed ``samples`` of the track, padding included."""
        self.track_consumed += samples
        for run in self.runs:
            run.consumed = max(0, min(run.total, self.track_consumed - run.track_base))

    def _waiting(self, inference_id: str | None) -> list[Run]:
        """The runs that an event can be about, the likeliest by id or else the oldest first."""
        waiting = [run for run in self.runs if not run.settled and run.total]
        return [run for run in waiting if run.inference_id == inference_id] or waiting

    def _give_back_start(self, cut: Run) -> None:
        """A start that was counted for the run after ``cut`` was the start of ``cut``."""
        for run in self.runs:
            if run.cut_at is None and run.speaking_since is not None and not run.heard:
                cut.started, cut.speaking_since = True, run.speaking_since
                run.started, run.speaking_since = False, None
                return

    # --- positions

    def update(self, now: int) -> None:
        """Move every utterance's position to ``now`` and settle the runs that are over."""
        for run in self.runs:
            if not run.settled:
                self._spread(run, now)
                at = self._settles_at(run)
                run.settled = at is not None and at <= now
        while self.runs and self.runs[0].settled:
            self.runs.popleft()

    def plays_on(self, now: int) -> int:
        """Samples that the room holds and has not played at ``now``."""
        alive = (run for run in self.runs if run.cut_at is None and not run.settled)
        return sum(run.total - run.position(now)[0] for run in alive)

    def reaches(self, utterance: Utterance, position: int) -> int | None:
        """When ``position`` of the utterance is played; None when only an event can tell."""
        run = self._run_of(utterance)
        if run is None:
            return None
        offset, _ = self._edges(run, utterance)
        return run.reaches(offset + position)

    def begun(self, utterance: Utterance, now: int) -> bool:
        """Whether the replica told that it speaks, and by now speaks this utterance."""
        run = self._run_of(utterance)
        if run is None or not run.started:
            return False
        offset, _ = self._edges(run, utterance)
        return run.position(now)[0] >= offset and (not offset or utterance.played > 0)

    def finishes_at(self, utterance: Utterance) -> int | None:
        """When the end of an utterance is certain, in ns, if nothing else is handed over for it.

        0: it is; None: only an event can tell.
        """
        run = self._run_of(utterance)
        if run is None:
            return 0
        _, edge = self._edges(run, utterance)
        settles = self._settles_at(run)
        if all(s.utterance in (None, utterance) for s in run.segments) or edge >= run.total:
            return settles
        if run.started:
            return 0 if run.heard >= edge else run.reaches(edge) or settles
        reach = run.head.reaches(edge)
        return None if reach is None else reach + SETTLE_NS

    def next_deadline(self) -> int | None:
        """When ``update`` has a run to settle, in ns."""
        times = (self._settles_at(run) for run in self.runs if not run.settled)
        return min((at for at in times if at is not None), default=None)

    def _run_of(self, utterance: Utterance) -> Run | None:
        for run in self.runs:
            if not run.settled and any(s.utterance is utterance for s in run.segments):
                return run
        return None

    def _edges(self, run: Run, utterance: Utterance) -> tuple[int, int]:
        """Where the utterance begins and ends in its run."""
        edge = start = end = 0
        begun = False
        for segment in run.segments:
            if segment.utterance is utterance:
                start = start if begun else edge
                begun = True
                end = edge + segment.samples
            edge += segment.samples
        return start, end

    def _spread(self, run: Run, now: int) -> None:
        position, source = run.position(now)
        if run.cut_at is not None and (run.timed or not run.stopped):
            # Only a duration says where an interrupted replica really was.
            source = "clock"
        whole = run.complete() and run.timed
        played: dict[Utterance, int] = {}
        for segment in run.segments:
            part = segment.samples if whole else max(0, min(position, segment.samples))
            position -= segment.samples
            if segment.utterance is not None:
                played[segment.utterance] = played.get(segment.utterance, 0) + part
        for utterance, samples in played.items():
            if not utterance.done:
                utterance.play_to(samples, source)
        while len(run.segments) > 1 and all(_is_past(s) for s in run.segments[:2]):
            run.segments[0:2] = [Segment(None, run.segments[0].samples + run.segments[1].samples)]

    def _settles_at(self, run: Run) -> int | None:
        """When the run is given up waiting for; 0 when there is nothing to wait for."""
        if run.cut_at is not None:
            return 0 if run.stopped or not run.total else run.cut_at + SETTLE_NS
        if not run.closed:
            return None
        if run.complete():
            return 0
        end = run.end()
        return None if end is None else end + SETTLE_NS


def _is_past(segment: Segment) -> bool:
    return segment.utterance is None or segment.utterance.done
