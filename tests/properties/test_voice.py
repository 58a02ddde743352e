from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from app.core import wire_out as out
from app.core.intake import Bounds
from app.core.pcm import samples_to_ms
from app.core.spec import AudioPathName
from app.core.voice import Cut, VoiceOptions
from app.errors import StreamError
from tests.support.stage import FORMS, MS, SECOND, Manners, Stage

Op = tuple[str, int]

LENGTHS = st.sampled_from([1, 5, 10, 20, 47, 100, 333, 1000, 4000])
WAITS = st.sampled_from([0, 1, 10, 25, 90, 120, 310, 600, 1100, 2500])
SPEECH: list[st.SearchStrategy[Op]] = [
    st.tuples(st.just("start"), st.just(0)),
    st.tuples(st.just("audio"), LENGTHS),
    st.tuples(st.just("audio"), LENGTHS),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("mark"), st.just(0)),
    st.tuples(st.just("wait"), WAITS),
    st.tuples(st.just("wait"), WAITS),
    st.tuples(st.just("pause"), st.just(0)),
    st.tuples(st.just("resume"), st.just(0)),
]
CUTS: list[st.SearchStrategy[Op]] = [
    st.tuples(st.just("interrupt"), st.integers(0, 1)),
    st.tuples(st.just("cut"), st.integers(0, 1)),
    st.tuples(st.just("report"), st.just(0)),
    st.tuples(st.just("stale"), st.just(0)),
    st.tuples(st.just("guarded"), st.integers(1, 5)),
    st.tuples(st.just("slow"), st.sampled_from([0, 5, 40, 200])),
]
SCRIPTS = st.lists(st.one_of(SPEECH + CUTS), min_size=1, max_size=25)
MOVES: list[st.SearchStrategy[Op]] = [
    st.tuples(st.just("move"), st.sampled_from([3000, 5000, 20_000])),
    st.tuples(st.just("wait"), st.just(5000)),
]


@st.composite
def manners(draw: st.DrawFn) -> Manners:
    """A replica that talks in some way, or not at all; some of its messages get lost."""
    return Manners(
        silent=draw(st.booleans()),
        ids=draw(st.sampled_from(["ours", "made", "previous", None])),
        durations=draw(st.booleans()),
        flag=draw(st.booleans()),
        forms=draw(st.sampled_from([FORMS, FORMS[:1]])),
        lag=draw(st.sampled_from([0, 20, 150])) * MS,
        doubled=draw(st.booleans()),
        lost=draw(st.frozensets(st.integers(0, 12))),
    )


OPTIONS = st.builds(
    VoiceOptions,
    audio_path=st.sampled_from(AudioPathName),
    lead_ms=st.sampled_from([0, 40, 1500, 10_000]),
    overlap=st.booleans(),
    queued_utterances=st.sampled_from([2, 64]),
    bounds=st.sampled_from([Bounds(), Bounds(buffer_ms=2000, high_ms=500, low_ms=200)]),
)


@dataclass
class Play:
    """A script in progress."""

    stage: Stage
    cuts: list[Cut]
    marks: int = 0
    progress: tuple[str, int] = ("", 0)

    def __post_init__(self) -> None:
        self.accepted: dict[str, bytes] = {}

    def do(self, op: Op) -> None:
        """One step; a refusal is an answer like any other."""
        kind, value = op
        steps: dict[str, Callable[[], object]] = {
            "start": self.stage.start,
            "audio": lambda: self._audio(value),
            "end": self.stage.end,
            "mark": self._mark,
            "wait": lambda: self._wait(value),
            "pause": lambda: self.stage.voice.pause(self.stage.now),
            "resume": self.stage.voice.resume,
            "interrupt": lambda: self._interrupt(in_band=bool(value)),
            "cut": lambda: self._cut(in_band=bool(value)),
            "report": self._report,
            "stale": lambda: self.stage.start(epoch=self.stage.voice.epoch - 1),
            "guarded": lambda: self._guarded(f"u-{value}"),
            "slow": lambda: self._slow(value),
            "move": lambda: self.stage.leave(value),
        }
        try:
            steps[kind]()
        except StreamError:
            note(f"{kind} was refused")
        self.stage.settle()

    def finish(self) -> None:
        """End what is open and let everything come to its end."""
        self.do(("end", 0))
        self._slow(0)
        while self.cuts:
            self._report()
        self.stage.last_deed = self.stage.now
        self.stage.voice.resume()
        self.stage.settle()
        self.stage.run_out()

    def _audio(self, ms: int) -> None:
        data = self.stage.make(ms)
        self.stage.raw(data)
        utterance = self.stage.voice.open
        if utterance is not None and utterance.accepted_bytes:
            name = utterance.utterance_id
            self.accepted[name] = self.accepted.get(name, b"") + data

    def _mark(self) -> None:
        self.marks += 1
        self.stage.mark(f"m{self.marks}")

    def _wait(self, ms: int) -> None:
        self.stage.run(ms)

        assert [] == self.stage.look()

        told = self.stage.voice.playback.progress(self.stage.now)
        if told is not None:
            before = self.progress

            assert told.utterance_id != before[0] or told.played_ms >= before[1]

            self.progress = (told.utterance_id, told.played_ms)

    def _interrupt(self, *, in_band: bool) -> None:
        if not self.cuts:  # the room confirms one cut after the other
            self._cut(in_band=in_band)
            self._report()

    def _cut(self, *, in_band: bool) -> None:
        cut = self.stage.cut(in_band=in_band)

        assert cut is not None

        self.cuts.append(cut)

    def _guarded(self, guard: str) -> None:
        cut = self.stage.cut(guard=guard)
        if cut is not None:
            self.cuts.append(cut)

    def _report(self) -> None:
        self._land()
        if self.cuts:
            self.stage.report(self.cuts.pop(0))

    def _slow(self, ms: int) -> None:
        self.stage.slow = ms * MS
        self._land()
        self.stage.settle()

    def _land(self) -> None:
        """What is in flight at an interrupt may have been too late to stop, as every third is."""
        flying = self.stage.flying
        if flying is not None:
            late = len(self.stage.sent) % 3 == 0
            self.stage.land(taken=late or flying.epoch == self.stage.voice.epoch)


def play(script: list[Op], manners: Manners, options: VoiceOptions) -> Stage:
    """Play a script to its end: what holds whatever the client and the replica do."""
    stage = Stage(options, manners)
    running = Play(stage, [])
    for op in script:
        running.do(op)
    running.finish()
    marks = [message.name for message in told(stage, out.MarkReached)]

    assert [f"m{number + 1}" for number in range(running.marks)] == marks

    for done in told(stage, out.UtteranceDone):
        accepted = running.accepted.get(done.utterance_id, b"")

        assert samples_to_ms(len(accepted) // 2) == done.received_ms
        if done.status == "played":
            assert accepted == stage.heard(done.utterance_id)
        assert accepted.startswith(stage.heard(done.utterance_id))

    return stage


def told(stage: Stage, kind: type[out.ServerMessage]) -> list[Any]:
    """All messages of one type."""
    return [message for _, message in stage.told if isinstance(message, kind)]


@settings(max_examples=400)
@given(SCRIPTS, manners(), OPTIONS)
def test_every_utterance_is_accounted_for(
    script: list[Op], manners: Manners, options: VoiceOptions
) -> None:
    """Whatever a client and a replica do: opened, started, done, once and in this order."""
    stage = play(script, manners, options)
    opened = [message.number for message in told(stage, out.UtteranceOpened)]
    started = [message.number for message in told(stage, out.UtteranceStarted)]
    done = told(stage, out.UtteranceDone)
    played = [message.number for message in done if message.status == "played"]

    assert sorted(opened) == sorted(message.number for message in done)
    assert len(started) == len(set(started))
    assert sorted(played) == played
    for message in done:
        order = [
            type(other)
            for _, other in stage.told
            if getattr(other, "number", None) == message.number
        ]
        assert order in (
            [out.UtteranceOpened, out.UtteranceStarted, out.UtteranceDone],
            [out.UtteranceOpened, out.UtteranceDone],
        )
        assert 0 <= message.played_ms <= message.sent_ms <= message.received_ms
        assert message.received_ms - message.sent_ms == message.dropped_ms
        if message.status == "played":
            assert 0 == message.dropped_ms
            assert message.number in started or not message.played_ms


@settings(max_examples=300)
@given(SCRIPTS, manners(), OPTIONS)
def test_the_end_is_told_in_time(script: list[Op], manners: Manners, options: VoiceOptions) -> None:
    """Three seconds after the last sound everything is done, whatever the replica tells."""
    stage = play(script, manners, options)
    last_sound = max([SECOND, *(event.at for event in stage.model.events)])
    last_done = max(
        (at for at, message in stage.told if isinstance(message, out.UtteranceDone)), default=0
    )

    assert last_done <= max(last_sound, stage.last_deed) + 3 * SECOND


FRIENDLY = st.builds(
    Manners,
    forms=st.sampled_from([FORMS, FORMS[:1]]),
    lag=st.sampled_from([0, 5 * MS, 20 * MS]),
    doubled=st.booleans(),
)
HOSTILE = st.builds(
    Manners,
    ids=st.sampled_from(["made", None]),
    durations=st.just(False),
    lag=st.sampled_from([0, 20 * MS, 40 * MS]),
    doubled=st.booleans(),
)


@settings(max_examples=300)
@given(SCRIPTS, FRIENDLY, st.sampled_from([0, 40, 1500]))
def test_a_friendly_replica_is_believed(script: list[Op], manners: Manners, lead_ms: int) -> None:
    """Positions are the replica's own: exact where it gave a duration, else within 20 ms."""
    stage = play(script, manners, VoiceOptions(lead_ms=lead_ms))
    for done in told(stage, out.UtteranceDone):
        truth = samples_to_ms(stage.model.truth.get(done.utterance_id, 0))
        if done.source == "replica":
            assert truth == done.played_ms
            assert done.status == "interrupted" or truth == done.sent_ms
        else:
            # A client that stalls in its next utterance keeps a short one from being begun.
            assert abs(truth - done.played_ms) <= (20 if done.status == "interrupted" else 100)


@settings(max_examples=300)
@given(SCRIPTS, HOSTILE, st.sampled_from([0, 40, 1500]))
def test_a_hostile_replica_is_estimated(script: list[Op], manners: Manners, lead_ms: int) -> None:
    """Without a duration the position of a cut is a guess, called one, and within 150 ms."""
    stage = play(script, manners, VoiceOptions(lead_ms=lead_ms))
    for done in told(stage, out.UtteranceDone):
        truth = samples_to_ms(stage.model.truth.get(done.utterance_id, 0))
        if done.status == "played":
            assert truth == done.sent_ms
            assert abs(truth - done.played_ms) <= 150
        elif done.status == "interrupted":
            assert not done.sent_ms or done.source == "clock"
            assert abs(truth - done.played_ms) <= 150


@settings(max_examples=300)
@given(
    st.lists(st.one_of(SPEECH + CUTS + MOVES), min_size=1, max_size=25),
    manners(),
    OPTIONS,
)
@example(
    [("audio", 20), ("move", 3000), ("pause", 0), ("wait", 2500)],
    Manners(silent=True),
    VoiceOptions(lead_ms=0),
)
def test_a_move_keeps_the_accounts(
    script: list[Op], manners: Manners, options: VoiceOptions
) -> None:
    """Whatever the replica that is left told or did not tell: all is done once, and in order."""
    stage = play(script, manners, options)
    opened = [message.number for message in told(stage, out.UtteranceOpened)]
    done = told(stage, out.UtteranceDone)

    assert sorted(opened) == sorted(message.number for message in done)
    for message in done:
        assert 0 <= message.played_ms <= message.sent_ms <= message.received_ms


@settings(max_examples=300)
@given(
    st.lists(st.one_of(SPEECH + MOVES), min_size=1, max_size=25),
    FRIENDLY,
    st.sampled_from([0, 40, 1500]),
)
def test_a_move_loses_nothing(script: list[Op], manners: Manners, lead_ms: int) -> None:
    """Every sample is spoken, once, by one replica or the next; and that is what is told."""
    stage = play(script, manners, VoiceOptions(lead_ms=lead_ms))
    for done in told(stage, out.UtteranceDone):
        truth = samples_to_ms(stage.model.truth.get(done.utterance_id, 0))

        assert done.status == "failed" or truth == done.received_ms
        assert done.sent_ms == truth
        assert abs(truth - done.played_ms) <= (0 if done.source == "replica" else 100)
