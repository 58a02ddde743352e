from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.pcm import ns_to_samples
from app.sandbox.echo import AudioEcho, TextEcho
from app.sandbox.facts import Ignored, Played, ReplicaFact, Sound, Started, Stopped, Underrun
from app.sandbox.faults import parse_faults
from app.sandbox.replica import HOLD_BACK_NS, LETTER, PRE_BUFFER, TRACK_SILENCE_NS, Replica

MS = 1_000_000
T0 = 1_000_000_000
Fact = TypeVar("Fact")


def pcm(samples: int, first: int = 1) -> bytes:
    """Audio of which every sample can be told from its neighbours."""
    return b"".join(
        (number % 30_000).to_bytes(2, "little") for number in range(first, first + samples)
    )


class Listener:
    """A replica, and all that it has done."""

    def __init__(self, **faults: Any) -> None:
        ids = itertools.count(1)
        self.replica = Replica(parse_faults(faults), lambda: f"made-{next(ids)}")
        self.facts: list[ReplicaFact] = []

    def echo(
        self,
        at: int,
        samples: int,
        inference_id: str | None = "a",
        *,
        done: bool = False,
        rate: int = 24_000,
        first: int = 1,
        silence: int = 0,
        epoch: int | None = 0,
    ) -> None:
        """Hear ``samples`` samples, numbered from ``first``."""
        echo = AudioEcho(pcm(samples, first), rate, inference_id, done)
        self.facts += self.replica.echo(at, echo, epoch=epoch, silence=silence)

    def track(self, at: int, samples: int = 480, *, first: int = 1, epoch: int = 0) -> None:
        """Hear a frame of the track."""
        self.facts += self.replica.track(at, pcm(samples, first), epoch=epoch, silence=0)

    def interrupt(self, at: int) -> None:
        """Be interrupted."""
        self.facts += self.replica.interrupt(at)

    def until(self, at: int) -> None:
        """Play up to a moment, reporting all of it."""
        self.facts += self.replica.flush(at)

    def of(self, kind: type[Fact]) -> list[Fact]:
        """What it did of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def heard(self) -> bytes:
        """What sounded."""
        return b"".join(fact.piece.pcm or b"" for fact in self.of(Played))


def test_an_utterance_is_played_bit_for_bit_in_real_time() -> None:
    """24 kHz audio starts with the 100 ms pre-buffer and ends after its own length."""
    listener = Listener()

    listener.echo(T0, 2399)
    listener.echo(T0 + 5 * MS, 2401, first=2400, done=True)
    listener.until(T0 + 1000 * MS)

    assert pcm(4800) == listener.heard()
    assert [Started(T0 + 5 * MS, "a", 1)] == listener.of(Started)
    assert [Stopped(T0 + 205 * MS, "a", 1, 4800, False)] == listener.of(Stopped)
    assert [] == listener.of(Underrun)


def test_a_word_shorter_than_the_pre_buffer_waits_for_done() -> None:
    """50 ms play as soon as they are all, and not before."""
    listener = Listener()

    listener.echo(T0, 1200)
    listener.until(T0 + 5000 * MS)
    silent = list(listener.facts)
    listener.echo(T0 + 6000 * MS, 0, done=True)
    listener.until(T0 + 7000 * MS)

    assert [] == silent
    assert pcm(1200) == listener.heard()
    assert [Stopped(T0 + 6050 * MS, "a", 1, 1200, False)] == listener.of(Stopped)


def test_an_utterance_without_audio_says_nothing() -> None:
    """Done alone is neither started nor stopped."""
    listener = Listener()

    listener.echo(T0, 0, done=True)

    assert [] == listener.facts
    assert listener.replica.next_deadline() is None


@pytest.mark.parametrize("late_ms", [0, 1, 7, 900])
def test_a_late_wake_up_shifts_nothing(late_ms: int) -> None:
    """Moments are those of the audio, whenever somebody asks."""
    listener = Listener()

    listener.echo(T0, 4800, done=True)
    listener.echo(T0 + MS, 2400, "b", done=True)
    listener.facts += listener.replica.advance(T0 + 200 * MS + late_ms * MS)
    listener.until(T0 + 2000 * MS)

    assert [T0, T0 + 200 * MS] == [fact.at for fact in listener.of(Started)]
    assert [T0 + 200 * MS, T0 + 300 * MS] == [fact.at for fact in listener.of(Stopped)]


@pytest.mark.parametrize("after_ns", [0, 1, 41_666, 41_667, 123_456_789, 199_999_999])
def test_an_interrupt_cuts_at_the_exact_sample(after_ns: int) -> None:
    """What has begun to sound by then has been played; the rest never is."""
    listener = Listener()

    listener.echo(T0, 4800)
    listener.interrupt(T0 + after_ns)
    listener.until(T0 + 5000 * MS)
    played = ns_to_samples(after_ns)

    assert pcm(played) == listener.heard()
    assert [Stopped(T0 + after_ns, "a", 1, played, True)] == listener.of(Stopped)
    assert [Ignored(T0 + after_ns, 4800 - played, "interrupted", "a")] == listener.of(Ignored)
    assert listener.replica.next_deadline() is None


def test_an_interrupt_while_nothing_plays_says_nothing() -> None:
    """There is no stop without a start."""
    listener = Listener()

    listener.interrupt(T0)

    assert [] == listener.facts


def test_an_interrupt_cuts_all_that_waits() -> None:
    """Queued utterances die with the one that plays."""
    listener = Listener()

    listener.echo(T0, 4800, "a", done=True)
    listener.echo(T0, 4800, "b", done=True)
    listener.interrupt(T0 + 50 * MS)
    listener.until(T0 + 5000 * MS)

    assert pcm(1200) == listener.heard()
    assert [3600, 4800] == [fact.samples for fact in listener.of(Ignored)]


def test_running_dry_inside_an_utterance_is_told_and_rebuffers() -> None:
    """Stop at the gap, start again with 100 ms or the end, and the gap's length is known."""
    listener = Listener()

    listener.echo(T0, 2400)
    listener.echo(T0 + 150 * MS, 1200, first=2401)
    listener.echo(T0 + 250 * MS, 1200, first=3601)
    listener.echo(T0 + 260 * MS, 240, first=4801, done=True)
    listener.until(T0 + 1000 * MS)

    assert pcm(5040) == listener.heard()
    assert [T0, T0 + 250 * MS] == [fact.at for fact in listener.of(Started)]
    assert [2400, 2640] == [fact.samples for fact in listener.of(Stopped)]
    assert [1, 1] == [fact.turn for fact in listener.of(Stopped)]
    assert [Underrun(T0 + 250 * MS, 150 * MS, "a")] == listener.of(Underrun)


def test_the_next_utterance_follows_without_a_gap() -> None:
    """An utterance that waits begins at the very end of the one before."""
    listener = Listener()

    for number in range(20):
        listener.echo(T0 + number, 2400, f"u{number}", done=True, first=1 + 2400 * number)
    listener.until(T0 + 10_000 * MS)

    assert pcm(48_000) == listener.heard()
    assert [f"u{number}" for number in range(20)] == [f.spoken_id for f in listener.of(Started)]
    assert list(range(1, 21)) == [fact.turn for fact in listener.of(Started)]
    assert [f.at for f in listener.of(Stopped)][:-1] == [f.at for f in listener.of(Started)][1:]


def test_an_utterance_never_finished_gives_way_to_the_next() -> None:
    """Without done the rest plays all the same once another id waits."""
    listener = Listener()

    listener.echo(T0, 1200, "a")
    listener.echo(T0, 1200, "b", first=1201, done=True)
    listener.until(T0 + 1000 * MS)

    assert pcm(2400) == listener.heard()


def test_a_new_id_can_cut_in() -> None:
    """With the switch set, what played before is interrupted and gone."""
    listener = Listener(new_id="cut")

    listener.echo(T0, 4800, "a")
    listener.echo(T0 + 100 * MS, 2400, "b", first=9000, done=True)
    listener.until(T0 + 1000 * MS)

    assert pcm(2400) + pcm(2400, 9000) == listener.heard()
    assert [True, False] == [fact.interrupted for fact in listener.of(Stopped)]


def test_a_missing_id_always_cuts_in() -> None:
    """Tavus documents this; each such message is an utterance of its own."""
    listener = Listener()

    listener.echo(T0, 4800, None)
    listener.echo(T0 + 100 * MS, 1200, None, first=9000)
    listener.until(T0 + 1000 * MS)

    assert pcm(2400) + pcm(1200, 9000) == listener.heard()


def test_audio_under_a_dead_id_is_dropped_or_plays() -> None:
    """Nobody knows which: it is a switch."""
    friendly, hostile = Listener(), Listener(preset="hostile")

    for listener in (friendly, hostile):
        listener.echo(T0, 4800)
        listener.interrupt(T0)
        listener.echo(T0 + MS, 2400, first=9000, done=True, epoch=7)
        listener.until(T0 + 1000 * MS)

    assert b"" == friendly.heard()
    assert Ignored(T0 + MS, 2400, "dead_id", "a", 7) == friendly.of(Ignored)[-1]
    assert pcm(2400, 9000) == hostile.heard()


def test_text_under_a_dead_id_is_dropped_too() -> None:
    """The id is dead, whatever it carries."""
    listener = Listener()

    listener.echo(T0, 4800)
    listener.interrupt(T0)
    listener.facts += listener.replica.say(T0, TextEcho("hello", "a"), None)

    assert Ignored(T0, 0, "dead_id", "a") == listener.facts[-1]


@pytest.mark.parametrize(
    ("ids", "shown"),
    [("client", ["a", "b"]), ("tavus", ["made-1", "made-2"]), ("previous", ["", "a"])],
)
def test_speaking_events_carry_the_id_that_the_switch_says(ids: str, shown: list[str]) -> None:
    """The client's, Tavus's own, or that of the utterance before."""
    listener = Listener(ids=ids)

    listener.echo(T0, 2400, "a", done=True)
    listener.echo(T0, 2400, "b", done=True)
    listener.until(T0 + 1000 * MS)

    assert shown == [fact.spoken_id for fact in listener.of(Started)]


def test_an_interrupt_can_be_ignored() -> None:
    """Then everything plays."""
    listener = Listener(interrupt_ignored=True)

    listener.echo(T0, 4800, done=True)
    listener.interrupt(T0 + MS)
    listener.until(T0 + 1000 * MS)

    assert pcm(4800) == listener.heard()


def test_a_slow_interrupt_cuts_only_what_it_met() -> None:
    """It plays on for a while; what came after the interrupt survives."""
    listener = Listener(interrupt_slow_ms=100)

    listener.echo(T0, 24_000)
    listener.interrupt(T0 + 50 * MS)
    listener.echo(T0 + 60 * MS, 2400, "b", first=9000, done=True)
    listener.until(T0 + 1000 * MS)

    assert pcm(3600) + pcm(2400, 9000) == listener.heard()
    assert Stopped(T0 + 150 * MS, "a", 1, 3600, True) == listener.of(Stopped)[0]


def test_a_slow_interrupt_finds_nothing_left() -> None:
    """What ended by itself meanwhile is not cut again."""
    listener = Listener(interrupt_slow_ms=3000)

    listener.echo(T0, 4800, done=True)
    listener.interrupt(T0 + 50 * MS)
    listener.until(T0 + 5000 * MS)

    assert pcm(4800) == listener.heard()
    assert [False] == [fact.interrupted for fact in listener.of(Stopped)]


def test_an_interrupt_can_be_obeyed_twice() -> None:
    """The second time cuts what came after it."""
    listener = Listener(interrupt_again_after_ms=150)

    listener.echo(T0, 24_000)
    listener.interrupt(T0 + 50 * MS)
    listener.echo(T0 + 100 * MS, 24_000, "b", first=9000)
    listener.until(T0 + 5000 * MS)

    assert pcm(1200) + pcm(2400, 9000) == listener.heard()
    assert [T0 + 50 * MS, T0 + 200 * MS] == [fact.at for fact in listener.of(Stopped)]


def test_a_word_on_the_track_is_heard_whole() -> None:
    """Shorter than the pre-buffer it plays once 300 ms of silence have ended it."""
    listener = Listener()

    for number in range(3):
        listener.track(T0 + number * 20 * MS, first=1 + 480 * number)
    listener.until(T0 + 1000 * MS)

    assert pcm(1440) == listener.heard()
    assert [Started(T0 + 60 * MS + TRACK_SILENCE_NS, "made-1", 1)] == listener.of(Started)


def test_the_track_is_one_utterance_until_it_is_silent() -> None:
    """Frames in a row belong together; after 300 ms of silence a new turn begins."""
    listener = Listener()

    for number in range(10):
        listener.track(T0 + number * 20 * MS, first=1 + 480 * number)
    for number in range(10, 20):
        listener.track(T0 + (500 + number * 20) * MS, first=1 + 480 * number)
    listener.until(T0 + 5000 * MS)

    assert pcm(9600) == listener.heard()
    assert [1, 2] == [fact.turn for fact in listener.of(Started)]
    assert [4800, 4800] == [fact.samples for fact in listener.of(Stopped)]
    assert [] == listener.of(Underrun)


def test_an_interrupt_on_the_track_begins_a_new_utterance() -> None:
    """Frames after it are not mixed with those before."""
    listener = Listener()

    for number in range(10):
        listener.track(T0 + number * 20 * MS)
    listener.interrupt(T0 + 195 * MS)
    for number in range(10, 20):
        listener.track(T0 + number * 20 * MS, epoch=1, first=9000)
    listener.until(T0 + 5000 * MS)

    assert [1, 2] == [fact.turn for fact in listener.of(Started)]
    assert {0, 1} == {fact.piece.epoch for fact in listener.of(Played)}
    assert [True, False] == [fact.interrupted for fact in listener.of(Stopped)]


def test_text_takes_the_time_that_speaking_it_would() -> None:
    """It makes events but no sound."""
    listener = Listener()

    listener.facts += listener.replica.say(T0, TextEcho("hello there", None), None)
    listener.until(T0 + 5000 * MS)

    assert b"" == listener.heard()
    assert [11 * LETTER] == [fact.samples for fact in listener.of(Stopped)]


def test_text_and_audio_under_one_id_are_both_kept() -> None:
    """Text is whole as it comes, so audio after it opens an utterance of its own."""
    listener = Listener()

    listener.facts += listener.replica.say(T0, TextEcho("hi", "a"), None)
    listener.echo(T0, 2400, done=True)
    listener.until(T0 + 5000 * MS)

    assert pcm(2400) == listener.heard()


def test_the_last_part_can_be_held_back_until_done() -> None:
    """Without done it plays when patience ends."""
    told, untold = Listener(hold_back_ms=50), Listener(hold_back_ms=50)

    for listener in (told, untold):
        listener.echo(T0, 4800)
    told.echo(T0 + 170 * MS, 0, done=True)
    for listener in (told, untold):
        listener.until(T0 + 10_000 * MS)

    assert pcm(4800) == told.heard() == untold.heard()
    assert [Stopped(T0 + 220 * MS, "a", 1, 1200, False)] == told.of(Stopped)[1:]
    assert T0 + HOLD_BACK_NS == untold.of(Started)[1].at


def test_a_replica_that_vanishes_loses_all_and_says_nothing() -> None:
    """What was played is reported, the rest is ignored, no stop is told."""
    listener = Listener(interrupt_slow_ms=500)

    listener.echo(T0, 4800)
    listener.interrupt(T0)
    listener.facts += listener.replica.vanish(T0 + 100 * MS)

    assert pcm(2400) == listener.heard()
    assert [] == listener.of(Stopped)
    assert 2400 == listener.of(Ignored)[0].samples
    assert listener.replica.next_deadline() is None


def test_padding_is_told_from_speech() -> None:
    """The pieces count both; the recording has both."""
    listener = Listener()

    listener.echo(T0, 2400)
    listener.echo(T0, 960, first=2401, silence=960, done=True)
    listener.until(T0 + 1000 * MS)
    pieces = [fact.piece for fact in listener.of(Played)]

    assert pcm(3360) == listener.heard()
    assert (2400, 960) == (
        sum(piece.samples for piece in pieces),
        sum(piece.silence for piece in pieces),
    )


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_other_rates_are_converted_whole(rate: int) -> None:
    """A second of any rate is a second at 24 kHz, however it was cut."""
    listener = Listener()
    step = rate // 50

    for first in range(0, rate, step):
        size = min(step, rate - first)
        listener.echo(T0, size, rate=rate, first=1 + first, done=first + size == rate)
    listener.until(T0 + 2000 * MS)

    assert 24_000 == len(listener.heard()) // 2


def test_the_rate_may_change_inside_an_utterance() -> None:
    """Each part is converted by itself."""
    listener = Listener()

    listener.echo(T0, 1600, rate=16_000)
    listener.echo(T0, 2400, first=500)
    listener.echo(T0, 4800, rate=48_000, done=True)
    listener.until(T0 + 2000 * MS)

    assert 7200 == len(listener.heard()) // 2
    assert pcm(2400, 500) == listener.heard()[4800:9600]


def test_dead_ids_are_forgotten_in_the_end() -> None:
    """A thousand are remembered, which bounds a long call's memory."""
    listener = Listener()

    for number in range(1001):
        listener.echo(T0, 1, f"u{number}")
        listener.interrupt(T0)
    listener.echo(T0, PRE_BUFFER, "u0")
    listener.until(T0 + 10 * MS)

    assert 240 == len(listener.heard()) // 2


Step = tuple[str, int, int, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["echo", "track", "interrupt", "wait"]),
        st.integers(0, 400),
        st.integers(0, 3000),
        st.booleans(),
    ),
    max_size=25,
)


@given(steps=STEPS, preset=st.sampled_from(["friendly", "hostile"]))
def test_no_sample_is_lost_or_doubled(steps: list[Step], preset: str) -> None:
    """Received = played + ignored, in order of time, and each start has its stop."""
    listener = Listener(preset=preset)
    now, received = T0, 0

    for kind, wait_ms, samples, done in steps:
        now += wait_ms * MS
        if kind == "echo":
            listener.echo(now, samples, f"u{samples % 3}", done=done)
            received += samples
        elif kind == "track":
            listener.track(now, samples % 500)
            received += samples % 500
        elif kind == "interrupt":
            listener.interrupt(now)
        else:
            listener.until(now)
    listener.interrupt(now + 10_000 * MS)
    played = sum(fact.piece.length for fact in listener.of(Played))
    times = [fact.at for fact in listener.facts]

    assert received == played + sum(fact.samples for fact in listener.of(Ignored))
    assert sorted(times) == times
    assert played == sum(fact.samples for fact in listener.of(Stopped))
    assert len(listener.of(Started)) == len(listener.of(Stopped))
    assert listener.replica.next_deadline() is None


@given(steps=STEPS, wake_ms=st.integers(1, 500))
def test_wake_ups_change_nothing(steps: list[Step], wake_ms: int) -> None:
    """However often it is woken in between, the replica does the same at the same moments."""

    def run(wake: Callable[[Listener, int, int], None]) -> list[ReplicaFact]:
        listener = Listener()
        now = T0
        for kind, wait_ms, samples, done in steps:
            wake(listener, now, now + wait_ms * MS)
            now += wait_ms * MS
            if kind == "echo":
                listener.echo(now, samples, f"u{samples % 3}", done=done)
            elif kind == "interrupt":
                listener.interrupt(now)
        listener.until(now + 10_000 * MS)
        return [fact for fact in listener.facts if not isinstance(fact, Played)]

    def often(listener: Listener, start: int, end: int) -> None:
        for at in range(start, end, wake_ms * MS):
            listener.facts += listener.replica.advance(at)

    assert run(lambda *_: None) == run(often)


def test_a_listener_gets_all_that_sounds() -> None:
    """Once, from when it first asked, up to the sample; a cut ends it."""
    listener = Listener()
    replica = listener.replica

    listener.echo(T0, 4800)
    listener.until(T0 + 50 * MS)
    first = replica.listen(T0 + 50 * MS)
    replica.advance(T0 + 90 * MS)
    second = replica.listen(T0 + 90 * MS)
    listener.interrupt(T0 + 100 * MS)
    replica.advance(T0 + 200 * MS)
    third = replica.listen(T0 + 200 * MS)

    assert [] == first
    assert [Sound(T0, 1200, pcm(960, 1201))] == second
    assert [Sound(T0, 2160, pcm(240, 2161))] == third
    assert 2400 == replica.played(T0 + 200 * MS)


def test_who_no_longer_listens_gets_nothing_of_meanwhile() -> None:
    """Nothing is kept for it either."""
    listener = Listener()
    replica = listener.replica

    replica.listen(T0)
    listener.echo(T0, 4800)
    replica.listen_no_more()
    listener.until(T0 + 50 * MS)
    again = replica.listen(T0 + 50 * MS)
    replica.advance(T0 + 60 * MS)

    assert [] == again
    assert [Sound(T0, 1200, pcm(240, 1201))] == replica.listen(T0 + 60 * MS)


def test_it_counts_what_it_has_played() -> None:
    """At any moment, over all utterances."""
    listener = Listener()

    listener.echo(T0, 2400, "a", done=True)
    listener.echo(T0, 2400, "b", done=True)
    counts = []
    for ms in (0, 50, 100, 150, 500):
        listener.replica.advance(T0 + ms * MS)
        counts.append(listener.replica.played(T0 + ms * MS))

    assert [0, 1200, 2400, 3600, 4800] == counts
