"""A run: audio handed over without a break, and how far the replica is with it.

On ``echo`` a run is one Tavus ``inference_id``, on ``track`` one stretch of the track. It knows
whose samples it holds, in order, and so can split a position over the utterances. Three sources
tell the position, the best one that spoke wins:

- ``replica``: Tavus's speaking events. Between start and stop the clock counts on from the start;
  the stop's ``duration`` is exact. Several pairs add up (the replica stops when audio is late).
- ``track``: what the audio device consumed.
- ``clock``: where a real-time player with a 100 ms pre-buffer would be.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.core.pcm import Chunk, ms_to_samples, ns_to_samples, samples_to_ns
from app.core.playhead import Playhead
from app.core.utterances import Utterance
from app.core.wire_out import Source

PREBUFFER = ms_to_samples(100)
"""Samples a replica wants before it starts (Pipecat's ``mock_tavus_server.py``)."""

SLACK = ms_to_samples(250)
"""A stop that leaves no more than this unplayed may be the end of the run, else it is a pause."""

HOLD_NS = 500_000_000
"""How long after the estimated end the next utterance waits for the replica's stop event."""

SETTLE_NS = 2_000_000_000
"""How long a stop event is waited for: after an interrupt, and after the estimated end."""

TOLERANCE_NS = 100_000_000
"""How much earlier than we know the replica may have begun: we hear late that it took the audio."""


@dataclass(slots=True)
class Place:
    """Where an utterance lies in its run, in samples."""

    start: int
    before: int = 0
    """Samples of the utterance that were handed over before this run."""
    samples: int = 0
    silence: int = 0
    """Padding behind the speech."""

    @property
    def end(self) -> int:
        """The end of the speech."""
        return self.start + self.samples


@dataclass(slots=True, eq=False)
class Run:
    """Positions are samples from the run's beginning, silence included; times are ns."""

    inference_id: str
    free_at: int = 0
    """When the replica has played what it got before this run."""
    track_base: int = 0
    """Track samples handed over before this run, padding included."""
    total: int = 0
    """Samples handed over."""
    said: int = 0
    """Of them, up to the end of the last utterance: what follows only carries the end."""
    closed: bool = False
    """Nothing follows."""
    refusals: int = 0
    """How often the room has refused to take the end."""
    cut_at: int | None = None
    started: bool = False
    """The replica told that it spoke."""
    speaking_since: int | None = None
    stopped: bool = False
    """The replica told that it fell silent, and nothing was handed over since."""
    dry: bool = False
    """It did so because it had nothing more."""
    heard: int = 0
    """Samples of the speaking stretches that ended."""
    measured: bool = False
    """A stretch ended without a ``duration``: ``heard`` is partly an estimate."""
    consumed: int = 0
    """Samples that the audio device consumed."""
    _stretch: tuple[int, int, int] | None = None
    """The last speaking stretch that ended: from when, until when, and ``heard`` before it."""
    _passed: tuple[Utterance, Place] | None = None
    """The utterance that was accounted for last."""
    _head: Playhead = field(default_factory=lambda: Playhead(PREBUFFER))
    _places: dict[Utterance, Place] = field(default_factory=dict)
    _first_at: int = 0
    _last_at: int = 0

    # --- handing over

    def hand(self, utterance: Utterance | None, chunk: Chunk, now: int) -> None:
        """Record that a chunk was handed over; without an utterance it only carries the end."""
        if not self.total:
            self._first_at = now
        self._last_at = max(now, self.free_at)
        self.stopped = self.dry = False
        length = chunk.samples + chunk.silence
        if utterance is not None:
            place = self._places.get(utterance)
            if place is None:
                before = utterance.sent - chunk.samples
                place = self._places[utterance] = Place(self.total, before)
            place.samples += chunk.samples
            place.silence += chunk.silence
            self.said = self.total + length
        self.total += length
        self._head.hand(length, self._last_at)

    @property
    def plays_on(self) -> bool:
        """Whether the last chunk found a player that played, by the clock."""
        return self._head.began_before(self._last_at)

    def close(self, now: int) -> None:
        """Nothing follows."""
        self.closed = True
        self._head.close(max(now, self.free_at))

    def reopen(self) -> None:
        """Something follows after all."""
        self.closed = False
        self._head.reopen()

    def lose(self, utterance: Utterance | None, chunk: Chunk) -> None:
        """A chunk did not reach the replica after all: what follows it moves up."""
        length = chunk.samples + chunk.silence
        self.total -= length
        self._head.take_back(length)
        if utterance is None:
            return
        self.said -= length
        place = self._places.get(utterance)
        if place is not None:
            place.samples -= chunk.samples
            place.silence -= chunk.silence
        for other in self._places.values():
            # Without a place it is accounted for already: all others follow it.
            if place is None or other.start > place.start:
                other.start -= length

    def give_back(self, utterance: Utterance | None, chunk: Chunk) -> None:
        """The last chunk did not reach the replica: it is not lost but will be handed over anew."""
        self.lose(utterance, chunk)
        if utterance is not None and utterance in self._places:
            place = self._places[utterance]
            if not place.samples and not place.silence:
                del self._places[utterance]  # it may be handed over in another run
        if self.closed:
            self.reopen()

    def take_back(self, samples: int) -> int:
        """The device dropped the last ``samples``; returns how many were not of this run."""
        for utterance, place in reversed(self._places.items()):
            silence = min(samples, place.silence)
            speech = min(samples - silence, place.samples)
            place.silence -= silence
            place.samples -= speech
            if speech:
                utterance.take_back(speech)
            self.total -= silence + speech
            samples -= silence + speech
        for place in self._places.values():
            place.start = min(place.start, self.total)
        self.said = self.total
        return samples

    def lose_rest(self, now: int) -> None:
        """The replica has left: what it had not played by ``now`` will not be heard."""
        played = self.position(now)
        if self.speaking_since is not None:
            self.stop(None, now)
        self.total = max(self.said, played)
        self.take_back(self.total - played)
        self.heard = min(self.heard, self.total)

    def rests_at(self) -> int:
        """When the replica has no more to say of it, by the best estimate; 0: it has not."""
        if self.cut_at is not None or self.complete:
            return 0
        return self.played_by(self.total) + HOLD_NS

    def forget(self, utterance: Utterance) -> None:
        """An utterance is accounted for."""
        self._passed = (utterance, self._places.pop(utterance))

    def holds(self, utterance: Utterance) -> bool:
        """Whether the utterance is, at least in part, in this run."""
        return utterance in self._places

    # --- what the replica tells

    def start(self, now: int) -> None:
        """It began to speak, or went on after a pause."""
        if self.speaking_since is not None:  # the stop between the two was lost
            self.heard = max(self.heard, min(self.position(now), self._head.at(now)))
            self.measured = True
        self.started = True
        self.stopped = self.dry = False
        self.speaking_since = now

    def give_up_start(self) -> None:
        """A replica that tells when it speaks told nothing of this: it never spoke it."""
        self.started = True

    def stop(self, duration: int | None, now: int) -> None:
        """It fell silent; ``duration`` in samples, None when Tavus did not say."""
        if self.speaking_since is not None:
            self._stretch = (self.speaking_since, now, self.heard)
        if duration is not None:
            self.heard += duration
        else:
            self.measured = True
            if self.speaking_since is not None:
                self.heard += ns_to_samples(max(0, now - self.speaking_since))
            else:
                self.heard = max(self.heard, self._head.at(self._until(now)))
        self.heard = min(self.heard, self.total)
        # A player that never pauses has it all behind it: nothing is on the way to the replica.
        self.dry = self.ending and self.cut_at is None and self._head.at(now) >= self.total
        if self.dry and duration is None:
            self.heard = self.total
        self.started = True
        self.stopped = True
        self.speaking_since = None

    def can_have_spoken(self, duration: int | None, now: int) -> bool:
        """Whether a stop whose start was not told can be about this run.

        It cannot when the replica has not had the audio for so long: the stop is then a double, or
        a late one of a run before.
        """
        if duration is None:
            return self._head.at(self._until(now)) > self.heard
        spoken = samples_to_ns(self.heard + duration)
        return bool(self.total) and spoken <= now - self._first_at + TOLERANCE_NS

    # --- positions

    @property
    def ending(self) -> bool:
        """Whether so little is left that a stop may be the end."""
        return self.total - self.heard <= SLACK

    @property
    def complete(self) -> bool:
        """Whether the replica said that it played all there is."""
        return self.closed and self.stopped and (self.dry or self.heard >= self.total)

    def position(self, now: int) -> int:
        """Samples played at ``now``."""
        now = self._until(now)
        if not self.started:
            # What the device took of a cut run may not have filled the replica's pre-buffer.
            consumed = 0 if self.cut_at is not None else self.consumed
            return min(self.total, consumed or self._head.at(now))
        if self.speaking_since is None:
            return self.heard
        spoken = self.heard + ns_to_samples(max(0, now - self.speaking_since))
        # A stop may get lost: then it cannot be further than a player that never stops.
        spoken = min(spoken, self._head.at(now) + PREBUFFER, self.total)
        return max(self.heard, spoken)

    def reaches(self, position: int) -> int | None:
        """When ``position`` is played; None when only an event can tell, 0 long ago."""
        if position > self.total:
            return None
        if not self.started:
            if self.consumed:
                return 0 if position <= self.consumed else None
            return self._head.reaches(position)
        if position <= self.heard:
            return 0
        if self.speaking_since is None:
            return None
        by_clock = self._head.reaches(max(0, position - PREBUFFER)) or 0
        return max(by_clock, self.speaking_since + samples_to_ns(position - self.heard))

    def played_by(self, position: int) -> int:
        """When ``position`` is played by the best estimate, whatever the replica does not tell."""
        by_clock = self._head.reaches(position)
        if by_clock is None:  # it waits for its pre-buffer
            by_clock = self._last_at + samples_to_ns(self._head.ahead(self._last_at))
        return max(by_clock, self.reaches(position) or 0)

    def begun(self, utterance: Utterance, now: int) -> bool:
        """Whether the replica told that it speaks, and by now speaks this utterance."""
        start = self._places[utterance].start
        return self.started and (not start or self.position(now) > start)

    def passes(self, utterance: Utterance, position: int) -> int | None:
        """When the utterance's ``position`` is played, as ``reaches``."""
        place = self._places[utterance]
        position -= place.before
        if position <= 0:
            return 0  # it was played in a run before
        return None if position > place.samples else self.reaches(place.start + position)

    def finishes_at(self, utterance: Utterance) -> int:
        """When an utterance's end is certain if nothing else comes; 0: it is."""
        settles = self.settles_at()
        place = self._places[utterance]
        if self.cut_at is not None and settles is not None:
            return settles
        if settles == 0 or place.end <= self.heard:
            return 0
        if self.speaking_since is not None and place.end + place.silence < self.said:
            return self.played_by(place.end)  # in the middle of its speech it need not stop
        return self.played_by(place.end + place.silence) + self._patience()

    def settles_at(self) -> int | None:
        """When the run is given up waiting for; 0: nothing to wait for; None: it goes on."""
        if self.cut_at is not None:
            return 0 if self.stopped else self.cut_at + SETTLE_NS
        if not self.closed:
            return None
        return 0 if self.complete else self.played_by(self.total) + self._patience()

    def _patience(self) -> int:
        """How long after the estimated end a stop event is waited for."""
        return HOLD_NS if self.stopped and self.ending else SETTLE_NS

    def spoken_at(self, at: int) -> tuple[Utterance, int] | None:
        """Which utterance sounded at ``at``, lately, and how many samples of it before that.

        None: nothing of this run. As good as the best source: with the replica's events off by the
        time that one takes to us.
        """
        position = self._sounding(at)
        if position is None:
            return None
        passed = () if self._passed is None else (self._passed,)
        for utterance, place in (*self._places.items(), *passed):
            if place.start <= position < place.end:
                return utterance, position - place.start
        return None

    def _sounding(self, at: int) -> int | None:
        """The position at ``at``, None when the replica was silent then."""
        if self.cut_at is not None and at >= self.cut_at:
            return None
        if self._stretch is not None and self._stretch[0] <= at < self._stretch[1]:
            return self._stretch[2] + ns_to_samples(at - self._stretch[0])
        if self.started and (self.speaking_since is None or at < self.speaking_since):
            return None
        position = self.position(at)
        return position if 0 < position < self.total else None

    def spread(self, now: int) -> None:
        """Move every utterance's position to ``now``."""
        position, source = self.position(now), self._source(now)
        for utterance, place in self._places.items():
            utterance.play_to(place.before + max(0, position - place.start), source)

    def _source(self, now: int) -> Source:
        if self.cut_at is not None:
            # Only a duration says where an interrupted replica really was.
            return "replica" if self.stopped and not self.measured else "clock"
        if not self.started:
            return "track" if self.consumed else "clock"
        missing = self.speaking_since is not None and now >= self.played_by(self.said) + SETTLE_NS
        return "clock" if missing else "replica"

    def _until(self, now: int) -> int:
        return now if self.cut_at is None else min(now, self.cut_at)
