from __future__ import annotations

import pytest

from app.core.pcm import AudioFormat, Chunk
from app.core.run import HOLD_NS, SETTLE_NS, Run
from app.core.speech import DOUBLE_NS, Speech
from app.core.utterances import Utterance

MS = 1_000_000
S = 24
"""Samples a millisecond."""


def say(speech: Speech, ms: int, now_ms: int) -> Run:
    """Hand over a run of one utterance, whole."""
    spoken = Utterance(1, "a", AudioFormat(), implicit=False, opened_at=0, open=False)
    spoken.received = spoken.sent = ms * S
    run = speech.open_run()
    speech.hand(run, spoken, Chunk(bytes(2 * ms * S), ms * S), now_ms * MS)
    run.close(now_ms * MS)
    return run


def echo(*, overlap: bool = False) -> Speech:
    """Runs on ``echo``."""
    return Speech(overlap=overlap, joined=False)


def test_twins() -> None:
    """The nth event of one form is the nth of any other; a message that came twice is no news."""
    speech = echo()
    heard = [
        speech.is_news(kind, form, at * MS)
        for at, kind, form in [
            (0, "started", "old"),
            (1, "started", "pal"),
            (2, "started", "replica"),
            (500, "stopped", "pal"),
            (500, "stopped", "pal"),
            (501, "stopped", "old"),
            (501, "stopped", "old"),
            (510, "started", "replica"),
            (511, "started", "old"),
            (800, "started", "old"),
        ]
    ]

    assert [True, False, False, True, False, False, False, True, False, True] == heard


def test_a_double_is_soon() -> None:
    """The same news a little later is news: what came between was lost."""
    speech = echo()

    assert speech.is_news("started", "old", 0)
    assert not speech.is_news("started", "old", DOUBLE_NS - 1)
    assert speech.is_news("started", "old", 2 * DOUBLE_NS)


def test_runs_are_numbered() -> None:
    """Each gets an id of its own, never used again."""
    speech = echo()
    first = say(speech, 100, 0)
    speech.cut(10 * MS)
    second = say(speech, 100, 20)

    assert ("ab-1", "ab-2") == (first.inference_id, second.inference_id)


def test_a_run_gets_a_new_id_when_the_replica_leaves() -> None:
    """What follows is of the same run; what has ended keeps its id."""
    speech = echo()
    speech.lose_replica(0)
    run = speech.open_run()
    speech.lose_replica(0)
    before = run.inference_id
    speech.hand(run, None, Chunk(bytes(4800), 2400), 0)
    speech.lose_replica(0)
    after = run.inference_id
    goes_on = speech.open_run() is run
    run.close(0)
    speech.lose_replica(0)

    assert goes_on
    assert ("ab-1", "ab-2", "ab-2") == (before, after, run.inference_id)


def test_what_a_replica_takes_with_it() -> None:
    """Of every run that is not cut what was not played is lost, also of one that waits its turn."""
    speech = echo(overlap=True)
    cut = say(speech, 100, 0)
    speech.cut(0)
    playing = say(speech, 300, 0)
    waiting = say(speech, 100, 0)
    speech.started(None, 0)
    speech.lose_replica(200 * MS)

    assert (100 * S, 200 * S, 0) == (cut.total, playing.total, waiting.total)


def test_a_track_goes_on_without_a_replica() -> None:
    """The device keeps time: what nobody hears is little."""
    speech = Speech(overlap=True, joined=True)
    run = say(speech, 100, 0)
    speech.lose_replica(0)

    assert 100 * S == run.total


def test_the_gate() -> None:
    """Open with no run before, an open, a cut or a complete one; else from the end on."""
    speech = echo()

    assert 5 == speech.gate(5)

    run = speech.open_run()

    assert 5 == speech.gate(5)
    assert run is say(speech, 100, 0)
    assert 100 * MS + HOLD_NS == speech.gate(5)

    speech.started(None, 20 * MS)
    speech.stopped(None, 100 * S, interrupted=False, now=120 * MS)

    assert 5 == speech.gate(5)

    run.reopen()
    run.close(0)
    run.stopped = False
    speech.cut(130 * MS)

    assert 5 == speech.gate(5)
    assert 5 == echo(overlap=True).gate(5)


def test_a_queued_run_begins_behind_the_one_before() -> None:
    """With overlap the clock counts them one after the other; not behind what was cut."""
    speech = echo(overlap=True)
    first, second = say(speech, 1000, 0), say(speech, 1000, 0)

    assert (0, 1000 * MS) == (first.free_at, second.free_at)

    speech.cut(10 * MS)

    assert 0 == say(speech, 1000, 20).free_at


def test_events_go_to_the_oldest() -> None:
    """By order: the first start and stop are the first run's, the next ones the second's."""
    speech = echo(overlap=True)
    first, second = say(speech, 500, 0), say(speech, 500, 0)
    speech.started("x", 10 * MS)
    speech.stopped("x", 500 * S, interrupted=False, now=510 * MS)
    speech.started("y", 511 * MS)

    assert (500 * S, None) == (first.heard, first.speaking_since)
    assert 511 * MS == second.speaking_since


def test_a_start_with_a_lost_stop_before_it() -> None:
    """What speaks cannot start: the next run does, or, with none, the same one goes on."""
    speech = echo(overlap=True)
    first, second = say(speech, 500, 0), say(speech, 500, 0)
    speech.started(None, 10 * MS)
    speech.started(None, 520 * MS)

    assert (10 * MS, 520 * MS) == (first.speaking_since, second.speaking_since)

    speech.started(None, 900 * MS)

    assert 900 * MS == second.speaking_since
    assert 380 * S == second.heard


def test_a_run_that_is_over_by_the_clock_does_not_begin_again() -> None:
    """It stopped short, and its time is over: the start is of the run behind it."""
    speech = echo()
    first = say(speech, 1000, 0)
    speech.started(None, 20 * MS)
    speech.stopped(None, 500 * S, interrupted=False, now=520 * MS)
    second = say(speech, 500, 1500)
    speech.started(None, 1520 * MS)

    assert None is first.speaking_since
    assert 1520 * MS == second.speaking_since


def test_ids_that_are_ours_are_believed() -> None:
    """From the first one on: order no longer counts, and a stranger's event is nobody's."""
    speech = echo(overlap=True)
    first, second = say(speech, 500, 0), say(speech, 500, 0)
    speech.started("ab-2", 10 * MS)

    assert (None, 10 * MS) == (first.speaking_since, second.speaking_since)

    speech.started("somebody", 20 * MS)
    speech.stopped("ab-7", 100 * S, interrupted=False, now=30 * MS)

    assert (None, 10 * MS) == (first.speaking_since, second.speaking_since)

    speech.started(None, 40 * MS)

    assert 40 * MS == first.speaking_since


def test_ids_that_are_not_ours_are_ignored() -> None:
    """After a stranger's id one of ours counts only where the order says so too."""
    speech = echo(overlap=True)
    first, second = say(speech, 500, 0), say(speech, 500, 0)
    speech.started("somebody", 10 * MS)
    speech.stopped("ab-2", 500 * S, interrupted=False, now=510 * MS)

    assert (500 * S, 0) == (first.heard, second.heard)

    speech.started("ab-2", 520 * MS)
    speech.stopped("somebody", 500 * S, interrupted=False, now=1020 * MS)

    assert 520 * MS == second.speaking_since


def test_an_event_with_nobody_there() -> None:
    """Tavus may speak by itself: nothing happens, and nothing is learned about ids."""
    speech = echo()
    speech.started("somebody", 0)
    speech.stopped("somebody", 100, interrupted=False, now=10)
    run = say(speech, 500, 0)
    speech.started("ab-1", 10 * MS)
    speech.stopped("somebody", 100, interrupted=False, now=20 * MS)

    assert 10 * MS == run.speaking_since


def test_a_stop_that_comes_too_early_to_be_true() -> None:
    """The stop of a run that is gone is not the next one's."""
    speech = echo()
    run = say(speech, 500, 1000)
    speech.stopped(None, 400 * S, interrupted=False, now=1010 * MS)
    speech.stopped("ab-1", 400 * S, interrupted=False, now=1010 * MS)

    assert (0, False) == (run.heard, run.started)


def test_an_interrupted_stop_is_of_what_was_cut() -> None:
    """Of the one that spoke, else of the oldest; without a cut of what speaks."""
    speech = echo()
    first = say(speech, 500, 0)
    speech.cut(10 * MS)
    second = say(speech, 500, 20)
    speech.started(None, 60 * MS)
    speech.cut(100 * MS)
    speech.stopped(None, 50 * S, interrupted=True, now=120 * MS)

    assert (0, 50 * S) == (first.heard, second.heard)

    speech = echo()
    first = say(speech, 500, 0)
    speech.cut(10 * MS)
    second = say(speech, 500, 20)
    speech.stopped(None, 5 * S, interrupted=True, now=30 * MS)

    assert (5 * S, 0) == (first.heard, second.heard)

    speech = echo()
    run = say(speech, 500, 0)
    speech.started(None, 20 * MS)
    speech.stopped(None, 100 * S, interrupted=True, now=120 * MS)

    assert 100 * S == run.heard


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_start_that_was_of_the_cut_one(interrupted: bool) -> None:
    """Its stop gives it back, when it says that it was interrupted; else what speaks has it."""
    speech = echo()
    first = say(speech, 500, 0)
    speech.cut(10 * MS)
    second = say(speech, 500, 20)
    speech.started(None, 30 * MS)

    assert (False, True) == (first.started, second.started)

    speech.stopped(None, None, interrupted=interrupted, now=50 * MS)

    assert (interrupted, not interrupted) == (first.started, second.started)
    assert (20 * S, 0) == (first.heard, 0) if interrupted else (0, 20 * S) == (0, second.heard)


def test_a_late_start_of_a_cut_run() -> None:
    """With nothing alive it is of the one that had not begun."""
    speech = echo()
    run = say(speech, 500, 0)
    speech.cut(10 * MS)
    speech.started(None, 30 * MS)
    speech.started(None, 90 * MS)

    assert 30 * MS == run.speaking_since


def test_a_cut_is_settled_when_it_is_confirmed() -> None:
    """What is on its way to the room may still belong to it."""
    speech = echo()
    run = say(speech, 500, 0)
    spoken = next(iter(run._places))
    speech.started(None, 10 * MS)
    speech.cut(100 * MS)
    speech.stopped(None, 100 * S, interrupted=True, now=120 * MS)
    speech.update(130 * MS)

    assert run is speech.run_of(spoken)

    speech.confirm(None)
    speech.update(140 * MS)

    assert None is speech.run_of(spoken)

    speech.forget(spoken)


@pytest.mark.parametrize(("tells", "played_ms"), [(True, 0), (False, 40)])
def test_a_cut_run_that_nothing_was_told_of(tells: bool, played_ms: int) -> None:
    """A replica that tells its starts never spoke it; of another one the clock is believed."""
    speech = echo()
    if tells:
        assert speech.is_news("started", "old", 0)
    run = say(speech, 120, 0)
    spoken = next(iter(run._places))
    speech.cut(40 * MS)
    speech.confirm(None)
    speech.update(40 * MS + SETTLE_NS)

    assert (played_ms, "clock") == (spoken.played_ms, spoken.source)


def test_a_run_is_let_go_of() -> None:
    """Two seconds after its end when nobody says anything."""
    speech = echo()
    run = say(speech, 500, 0)
    spoken = next(iter(run._places))
    speech.update(500 * MS + SETTLE_NS - 1)

    assert run is speech.run_of(spoken)
    assert not speech.sounds(500 * MS)
    assert speech.sounds(499 * MS)

    speech.update(500 * MS + SETTLE_NS)

    assert None is speech.run_of(spoken)
    assert None is speech.current()


def test_track_goes_on() -> None:
    """Until the replica stopped the run is the same, and wants its pre-buffer again."""
    speech = Speech(overlap=True, joined=True)
    first = say(speech, 100, 0)
    spoken = next(iter(first._places))
    speech.hand(speech.open_run(), spoken, Chunk(bytes(50 * S * 2), 50 * S), 5000 * MS)

    assert (150 * S, None) == (first.total, first.reaches(150 * S))


def test_track_positions() -> None:
    """The device counts all it consumed since joining; each run knows where it began."""
    speech = Speech(overlap=True, joined=True)
    first = say(speech, 100, 0)
    speech.consume(60 * S)

    assert 60 * S == first.consumed
    assert first is speech.open_run()
    assert not first.closed

    first.close(0)
    speech.cut(70 * MS)
    speech.confirm(80 * S)
    second = say(speech, 100, 80)
    speech.consume(50 * S)

    assert (80 * S, 30 * S) == (first.total, second.consumed)

    speech.cut(90 * MS)
    speech.confirm(1000 * S)

    assert 100 * S == second.total


def test_another_replica_knows_nothing_of_what_was_said() -> None:
    """What the one before was handed is settled; events, twins and ids begin anew."""
    speech = echo()
    assert speech.is_news("started", "old", 0)
    assert speech.is_news("started", "old", 100 * MS)
    first = say(speech, 500, 0)
    spoken = next(iter(first._places))
    speech.started("tavus-1", 10 * MS)
    speech.move(300 * MS)
    second = say(speech, 500, 300 * MS)

    assert (290, 290, None) == (spoken.played_ms, spoken.sent_ms, speech.run_of(spoken))
    assert speech.is_news("started", "new", 310 * MS)
    speech.started(second.inference_id, 310 * MS)
    speech.stopped(second.inference_id, 500 * S, interrupted=False, now=810 * MS)

    assert second.heard == 500 * S
    assert second is not first


def test_when_the_replica_has_nothing_to_say() -> None:
    """The room has to confirm a cut, and the replica where it was cut, before that is certain."""
    speech = echo()

    assert (0, 0, False) == (speech.silent_at(), speech.rests_at(), speech.settling)

    say(speech, 500, 0).close(0)

    assert (500 * MS, 500 * MS + HOLD_NS) == (speech.silent_at(), speech.rests_at())

    speech.cut(100 * MS)

    assert (0, None, True) == (speech.silent_at(), speech.rests_at(), speech.settling)

    speech.confirm(None)

    assert (0, True) == (speech.rests_at(), speech.settling)

    speech.stopped(None, 100 * S, interrupted=True, now=120 * MS)

    assert not speech.settling
