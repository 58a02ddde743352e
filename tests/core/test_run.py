from __future__ import annotations

from app.core.pcm import AudioFormat, Chunk
from app.core.run import HOLD_NS, SETTLE_NS, Run
from app.core.utterances import Utterance

MS = 1_000_000
S = 24
"""Samples a millisecond."""


def utterance(name: str = "a") -> Utterance:
    """One that was closed."""
    return Utterance(1, name, AudioFormat(), implicit=False, opened_at=0, open=False)


def hand(run: Run, spoken: Utterance | None, ms: int, now_ms: int, silence: int = 0) -> Chunk:
    """Hand over a chunk as a playback does."""
    chunk = Chunk(bytes(2 * S * (ms + silence)), ms * S, silence * S)
    if spoken is not None:
        spoken.received += chunk.samples
        spoken.sent += chunk.samples
    run.hand(spoken, chunk, now_ms * MS)
    return chunk


def closed_run(ms: int = 1000) -> tuple[Run, Utterance]:
    """A run of one utterance and 40 ms of closing silence, handed over at 0."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, ms, 0)
    hand(run, None, 0, 0, silence=40)
    run.close(0)
    return run, spoken


def test_the_clock() -> None:
    """Nobody tells anything: a player that never pauses, given up 2 s after its end."""
    run, spoken = closed_run()
    run.spread(400 * MS)

    assert (400 * S, "clock") == (spoken.played, spoken.source)
    assert 1040 * MS + SETTLE_NS == run.settles_at()
    assert 1000 * MS + SETTLE_NS == run.finishes_at(spoken)


def test_start_and_stop() -> None:
    """From the start the clock counts on; a stop with all there is settles."""
    run, spoken = closed_run()
    run.start(300 * MS)
    run.spread(500 * MS)

    assert (200 * S, "replica") == (spoken.played, spoken.source)
    assert 1340 * MS + SETTLE_NS == run.settles_at()

    run.stop(1040 * S, 1340 * MS)
    run.spread(1340 * MS)

    assert run.complete
    assert (1000 * S, "replica") == (spoken.played, spoken.source)
    assert (0, 0) == (run.settles_at(), run.finishes_at(spoken))


def test_a_stop_that_is_a_little_short() -> None:
    """With nothing on its way to the replica, a duration 200 ms short is still the end."""
    run, spoken = closed_run()
    run.start(300 * MS)
    run.stop(840 * S, 1340 * MS)
    run.spread(1340 * MS)

    assert run.complete
    assert 840 * S == spoken.played


def test_a_stop_while_audio_is_on_its_way() -> None:
    """What was handed over last may have come after the stop: it may go on."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, 800, 0)
    run.start(20 * MS)
    hand(run, spoken, 100, 810)
    run.close(810 * MS)
    run.stop(800 * S, 820 * MS)

    assert run.stopped
    assert not run.complete
    assert 910 * MS + HOLD_NS == run.settles_at() == run.finishes_at(spoken)

    run.start(850 * MS)
    run.stop(100 * S, 950 * MS)

    assert run.complete


def test_a_pause() -> None:
    """A stop that leaves much is no end: the position stands, and only a start moves it."""
    run, spoken = closed_run()
    run.start(0)
    run.stop(500 * S, 500 * MS)
    run.spread(900 * MS)

    assert 500 * S == spoken.played == run.position(2000 * MS)
    assert None is run.reaches(501 * S)
    assert 1000 * MS + SETTLE_NS == run.finishes_at(spoken)


def test_a_measured_stop() -> None:
    """Without a duration the time from the start counts, and a dry end counts as all of it."""
    run, spoken = closed_run()
    run.start(300 * MS)
    run.stop(None, 1290 * MS)
    run.spread(1290 * MS)

    assert run.complete
    assert (1000 * S, "replica") == (spoken.played, spoken.source)


def test_a_measured_stop_without_a_start() -> None:
    """The clock knows how far it can have come."""
    run, spoken = closed_run()
    run.stop(None, 500 * MS)
    run.spread(600 * MS)

    assert not run.complete
    assert 500 * S == spoken.played


def test_a_cut() -> None:
    """The position stands at the cut; it settles with the stop, or after 2 s as a guess."""
    run, spoken = closed_run()
    run.start(100 * MS)
    run.cut_at = 400 * MS
    run.spread(900 * MS)

    assert (300 * S, "clock") == (spoken.played, spoken.source)
    assert 400 * MS + SETTLE_NS == run.settles_at() == run.finishes_at(spoken)

    run.stop(320 * S, 440 * MS)
    run.spread(900 * MS)

    assert (320 * S, "replica") == (spoken.played, spoken.source)
    assert 0 == run.settles_at()


def test_places() -> None:
    """Utterances lie behind each other; each is passed in its turn."""
    run, first, second = Run("ab-1"), utterance("a"), utterance("b")
    hand(run, first, 300, 0, silence=20)
    hand(run, second, 200, 0)
    run.start(0)

    assert run.begun(first, 0)
    assert not run.begun(second, 320 * MS)
    assert run.begun(second, 321 * MS)
    assert 300 * MS == run.finishes_at(first)
    assert 520 * MS + SETTLE_NS == run.finishes_at(second)
    assert 420 * MS == run.passes(second, 100 * S)
    assert None is run.passes(second, 201 * S)

    run.spread(400 * MS)

    assert (300 * S, 80 * S) == (first.played, second.played)

    run.forget(first)

    assert (False, True) == (run.holds(first), run.holds(second))
    assert 420 * MS == run.passes(second, 100 * S)


def test_a_lost_chunk() -> None:
    """What follows moves up; a loss of what is accounted for moves nothing else."""
    run, first, second = Run("ab-1"), utterance("a"), utterance("b")
    hand(run, first, 300, 0)
    lost = hand(run, first, 100, 0, silence=20)
    hand(run, second, 200, 0)
    closing = hand(run, None, 0, 0, silence=40)
    run.start(0)
    run.lose(first, lost)

    assert 400 * MS == run.passes(second, 100 * S)
    assert 540 * S == run.total

    run.lose(None, closing)
    run.forget(first)
    run.lose(first, lost)

    assert 380 * S == run.total


def test_a_replica_that_leaves() -> None:
    """What it had not played counts as never sent, and what carried the end is lost with it."""
    run, spoken = closed_run()
    run.start(0)
    run.lose_rest(600 * MS)
    run.spread(5000 * MS)

    assert run.complete
    assert (600 * S, 600 * S, 400 * S) == (spoken.sent, spoken.played, spoken.lost)


def test_a_replica_that_leaves_and_comes_back() -> None:
    """The next one goes on where the first one was."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, 500, 0)
    run.start(0)
    run.lose_rest(200 * MS)
    hand(run, spoken, 500, 2000)
    run.start(2000 * MS)
    run.spread(2100 * MS)

    assert (700 * S, 300 * S) == (spoken.sent, spoken.played)


def test_a_silent_replica_that_leaves() -> None:
    """Where it was is known by the clock."""
    run, spoken = closed_run()
    run.lose_rest(600 * MS)
    run.spread(5000 * MS)

    assert (600 * S, 600 * S) == (spoken.sent, spoken.played)


def test_the_clock_counts_nothing_that_was_lost() -> None:
    """What comes after it is played when it is played, and not by so much earlier."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, 100, 0)
    lost = hand(run, spoken, 100, 0)
    run.lose(spoken, lost)
    spoken.take_back(lost.samples)
    hand(run, spoken, 200, 1000)
    run.spread(1050 * MS)

    assert (300 * S, 150 * S) == (spoken.sent, spoken.played)


def test_what_the_device_gave_back() -> None:
    """From the end: padding first, then speech, then the utterance before."""
    run, first, second = Run("ab-1"), utterance("a"), utterance("b")
    hand(run, first, 30, 0, silence=10)
    hand(run, second, 10, 0, silence=10)

    assert 0 == run.take_back(35 * S)
    assert (25 * S, 0) == (first.sent, second.sent)
    assert 25 * S == run.total
    assert 15 * S == run.take_back(40 * S)


def test_what_cannot_have_been_spoken() -> None:
    """A stop for more than the time since the first chunk is about something else."""
    run, _ = closed_run()

    assert not run.can_have_spoken(500 * S, 300 * MS)
    assert run.can_have_spoken(500 * S, 450 * MS)
    assert not run.can_have_spoken(None, 0)
    assert run.can_have_spoken(None, 10 * MS)
    assert not Run("ab-2").can_have_spoken(0, 0)


def test_a_player_that_waits_for_its_prebuffer() -> None:
    """It is taken to begin with what it has, so that its end can be waited for."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, 50, 1000)

    assert None is run.reaches(1)
    assert 1050 * MS == run.played_by(50 * S)

    run.start(1010 * MS)

    assert 1060 * MS == run.reaches(50 * S)

    hand(run, spoken, 100, 3000)
    hand(run, spoken, 40, 9000)

    assert None is run.reaches(190 * S + 1)


def test_something_follows_after_all() -> None:
    """A run that was closed wants its pre-buffer again for what follows."""
    run, spoken = closed_run()
    run.reopen()
    hand(run, spoken, 50, 5000)

    assert not run.closed
    assert None is run.settles_at()
    assert None is run.reaches(1090 * S)


def test_speaking_beyond_what_was_handed_over() -> None:
    """A stop that was lost does not let the position run away from a player that never pauses."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, 500, 0)
    run.start(0)
    hand(run, spoken, 1000, 5000)

    assert 500 * S + 200 * S == run.position(5100 * MS)
    assert 5900 * MS == run.reaches(1500 * S)
    assert None is Run("ab-2").reaches(1)


def test_waiting_for_a_run_before() -> None:
    """A run that is sent while another one plays begins behind it."""
    run, spoken = Run("ab-2", free_at=2000 * MS), utterance()
    hand(run, spoken, 500, 0)
    run.close(0)

    assert 0 == run.position(2000 * MS)
    assert 2500 * MS == run.played_by(500 * S)


def test_the_device() -> None:
    """What it consumed counts until the replica speaks; only an event moves it."""
    run, spoken = Run("ab-1"), utterance()
    hand(run, spoken, 500, 0)
    run.consumed = 60 * S
    run.spread(400 * MS)

    assert (60 * S, "track") == (spoken.played, spoken.source)
    assert (0, None) == (run.reaches(60 * S), run.reaches(61 * S))


def test_an_utterance_that_began_in_a_run_before() -> None:
    """Its positions go on where they were; what was played before was played long ago."""
    spoken = utterance()
    hand(Run("ab-1"), spoken, 300, 0)
    spoken.play_to(300 * S, "replica")
    run = Run("ab-2")
    hand(run, spoken, 700, 1000)
    run.close(1000 * MS)
    run.spread(1100 * MS)

    assert 400 * S == spoken.played
    assert [0, 1100 * MS, None] == [run.passes(spoken, ms * S) for ms in (300, 400, 1001)]


def test_when_a_replica_has_no_more_to_say() -> None:
    """When it said so, or should have; a cut run has nothing more to say at all."""
    run, _ = closed_run()
    silent = run.rests_at()
    run.start(0)
    run.stop(1040 * S, 1040 * MS)
    said = run.rests_at()
    cut, _ = closed_run()
    cut.cut_at = 10 * MS

    assert (1040 * MS + HOLD_NS, 0, 0) == (silent, said, cut.rests_at())


def test_a_lost_chunk_of_what_is_accounted_for_moves_up_the_rest() -> None:
    """What is handed over next is where the run ends, not behind it."""
    run, first, second = Run("ab-1"), utterance("a"), utterance("b")
    lost = hand(run, first, 200, 0)
    hand(run, second, 200, 0)
    run.start(0)
    run.forget(first)
    run.lose(first, lost)

    assert 200 * S == run.total
    assert 200 * MS == run.passes(second, 200 * S)


def test_what_goes_on_after_a_lost_replica_follows_what_it_played() -> None:
    """Of two utterances the second goes on where the run ends now, not where it once began."""
    run, first, second = Run("ab-1"), utterance("a"), utterance("b")
    hand(run, first, 400, 0)
    hand(run, second, 100, 0)
    run.lose_rest(200 * MS)
    hand(run, second, 300, 500)

    assert 500 * S == run.total
    assert run.passes(second, 300 * S) is not None
