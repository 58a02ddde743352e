from __future__ import annotations

import pytest

from app.core.move import LAST_NS, MARGIN_NS, NOTICE_NS
from app.core.spec import AudioPathName
from app.core.voice import VoiceOptions
from tests.support.stage import MS, SECOND, Manners, Stage

OPTIONS = {
    AudioPathName.ECHO: VoiceOptions(),
    AudioPathName.TRACK: VoiceOptions(AudioPathName.TRACK, lead_ms=40),
}

LATEST_MS = 1500 + MARGIN_NS // MS
"""How long before the end it waits for a pause no longer, with the usual lead."""

paths = pytest.mark.parametrize("path", AudioPathName)


def moved_ms(stage: Stage) -> list[float]:
    """When it moved over, in ms since the beginning."""
    return [(at - SECOND) / MS for at, _ in stage.moves]


def sent_ms(stage: Stage, *, after: bool) -> int:
    """Milliseconds of speech that the replica before the move got, or the one after it."""
    ((_, count),) = stage.moves
    chunks = stage.sent[count:] if after else stage.sent[:count]
    return sum(chunk.samples for chunk in chunks) // 24


# --- a pause --------------------------------------------------------------------------------------


def test_people_have_a_while_to_join_the_next_room() -> None:
    """Nothing is said, but the move waits until they can have heard of it."""
    stage = Stage()
    stage.leave(60_000)
    stage.run_out()

    assert [NOTICE_NS / MS] == moved_ms(stage)


@paths
def test_it_waits_for_the_end_of_an_utterance(path: AudioPathName) -> None:
    """And for the replica's word that it was spoken."""
    stage = Stage(OPTIONS[path])
    stage.leave(60_000)
    stage.say("a", 7000)
    stage.run_out()

    assert "done a played 7000/7000/7000 replica" in stage.log()
    ((at, _),) = stage.moves
    assert stage.at("utterance.done", "a") * MS + SECOND <= at + MS
    assert 7000 == sent_ms(stage, after=False)


def test_what_waits_for_the_end_of_an_utterance_is_for_the_next_replica() -> None:
    """Between two utterances nothing is broken into, though there is no silence to speak of."""
    stage = Stage()
    stage.leave(60_000)
    stage.say("a", 8000)
    stage.run(7000)
    stage.say("b", 1000)
    stage.run_out()

    assert (8000, 1000) == (sent_ms(stage, after=False), sent_ms(stage, after=True))
    assert ["done a played 8000/8000/8000 replica", "done b played 1000/1000/1000 replica"] == (
        stage.log("utterance.done")
    )


def test_a_producer_that_falls_silent_makes_a_pause() -> None:
    """Its utterance goes on with the next replica; its marks and positions go on, too."""
    stage = Stage()
    stage.leave(60_000)
    stage.start("a")
    stage.audio(6000)
    stage.mark("middle")
    stage.run(9000)
    stage.audio(2000)
    stage.mark("end")
    stage.end()
    stage.run_out()

    begun = 6000 - sent_ms(stage, after=False)  # what fills no chunk yet waits for more
    assert 0 <= begun < 40
    assert 2000 + begun == sent_ms(stage, after=True)
    assert ["ab-1 a", "ab-1 done", "ab-2 a", "ab-2 done"] == stage.runs()
    assert [
        "started a replica",
        "mark middle played 6000",
        "mark end played 8000",
        "done a played 8000/8000/8000 replica",
    ] == stage.log("utterance.started", "mark.reached", "utterance.done")


def test_a_paused_session_moves_over_and_stays_paused() -> None:
    """What is held is for the next replica."""
    stage = Stage()
    stage.say("a", 4000)
    stage.run(1000)
    stage.voice.pause(stage.now)
    stage.leave(60_000)
    stage.run(20_000)
    before = len(stage.sent)
    stage.voice.resume()
    stage.settle()
    stage.run_out()

    (at,) = moved_ms(stage)
    assert 6000 <= at < 6200  # the end of what it has is handed to the replica first
    assert before == stage.moves[0][1]
    assert "done a played 4000/4000/4000 replica" in stage.log()


# --- no pause -------------------------------------------------------------------------------------


@paths
@pytest.mark.parametrize("silent", [False, True])
def test_speech_without_a_pause_is_broken_once(path: AudioPathName, *, silent: bool) -> None:
    """The replica says what it has, then the next one goes on with the next sample."""
    stage = Stage(OPTIONS[path], Manners(silent=silent, consumes=not silent))
    stage.start("a")
    stage.mark("begin")
    stage.audio(10_000)
    stage.mark("middle")
    stage.audio(10_000)
    stage.mark("end")
    stage.end()
    stage.leave(8000)
    positions = []
    while stage.log("utterance.done") == []:
        stage.run(50)
        if (progress := stage.voice.playback.progress(stage.now)) is not None:
            positions.append(progress.played_ms)

    lead_ms = stage.options.lead_ms
    assert 8000 - lead_ms - MARGIN_NS // MS <= moved_ms(stage)[0] < 8000
    assert bytes(stage.fed) == stage.heard("a")
    assert 20_000 == sent_ms(stage, after=False) + sent_ms(stage, after=True)
    done = stage.done("a")
    assert ("played", 20_000, 20_000) == (done.status, done.sent_ms, done.played_ms)
    assert 20_000 * 24 == stage.model.truth["a"]
    assert sorted(positions) == positions
    assert [
        "mark begin played 0",
        "mark middle played 10000",
        "mark end played 20000",
    ] == stage.log("mark.reached")


def test_an_interrupt_is_the_best_moment() -> None:
    """What the replica has is cut anyway; the next utterance does not wait for its word."""
    stage = Stage()
    stage.start("a")
    stage.audio(20_000)
    stage.leave(8000)
    stage.run(8000 - LATEST_MS + 500)
    before = moved_ms(stage)
    cut = stage.cut()
    assert cut is not None
    waiting = moved_ms(stage)
    stage.report(cut)
    at = (stage.now - SECOND) / MS
    stage.say("b", 500)
    stage.run_out()

    assert [] == before == waiting
    assert [at] == moved_ms(stage)
    assert 500 == sent_ms(stage, after=True)
    assert "interrupted" == stage.done("a").status
    assert "done b played 500/500/500 replica" in stage.log()


def test_after_an_interrupt_the_position_is_waited_for() -> None:
    """As long as there is time: then a pause is not one before the replica has told it."""
    stage = Stage()
    stage.say("a", 20_000)
    stage.leave(60_000)
    stage.run(7000)
    stage.interrupt()
    stage.run_out()

    assert "replica" == stage.done("a").source
    assert stage.at("utterance.done", "a") <= moved_ms(stage)[0]


def test_what_cannot_be_confirmed_does_not_hold_it_for_ever() -> None:
    """A room that takes nothing any more is left shortly before it closes."""
    stage = Stage()
    stage.slow = 60 * SECOND
    stage.start("a")
    stage.audio(10_000)
    stage.leave(8000)
    stage.run(8000)
    stage.slow = 0
    stage.settle()
    stage.end()
    stage.run_out()

    assert [8000 - LAST_NS / MS] == moved_ms(stage)
    assert bytes(stage.fed) == stage.heard("a")
    assert "done a played 10000/10000/10000 replica" in stage.log()


def test_a_lost_tail_is_not_told_as_spoken() -> None:
    """A replica that stopped in the middle and never went on has not said the rest."""
    stage = Stage(manners=Manners(silent=True))
    stage.say("a", 4000)
    stage.run(200)
    stage.replica_started()
    stage.run(1000)
    stage.replica_stopped(1000)
    stage.leave(5000)
    stage.run_out()

    next_ms = sent_ms(stage, after=True)
    done = stage.done("a")
    assert 0 < next_ms < 1000
    assert (1000 + next_ms, 1000 + next_ms) == (done.sent_ms, done.played_ms)


def test_it_may_be_called_off() -> None:
    """Speech goes on with the replica that was to be left."""
    stage = Stage()
    stage.say("a", 7000)
    stage.leave(30_000)
    stage.run(6500)  # it says what it has
    draining = stage.voice.playback.draining
    stage.say("b", 3000)
    assert stage.leaving is not None
    stage.leaving.forbid(stage.now)
    stage.settle()
    stage.run(5000)

    assert draining
    assert [] == stage.moves
    assert ["done a played 7000/7000/7000 replica", "done b played 3000/3000/3000 replica"] == (
        stage.log("utterance.done")
    )


@paths
def test_a_next_replica_that_is_late_finds_all_that_could_not_be_said(path: AudioPathName) -> None:
    """The one before is handed only what it has the time for; the rest is held."""
    stage = Stage(OPTIONS[path])
    stage.start("a")
    stage.audio(10_000)
    stage.end()
    stage.expect_end(8000)
    stage.run(7900)
    silent = stage.voice.playback.plays_on_ms(stage.now)
    stage.run(20_000)
    before = moved_ms(stage)
    stage.follow()
    stage.run_out()

    assert 0 == silent
    assert [] == before
    assert [27_900] == moved_ms(stage)
    assert bytes(stage.fed) == stage.heard("a")
    assert "done a played 10000/10000/10000 replica" in stage.log()


def test_without_a_next_replica_a_move_stays_forbidden() -> None:
    """When the end is near, what waits is held also after one that failed."""
    stage = Stage()
    stage.start("a")
    stage.audio(10_000)
    stage.leave(8000)
    stage.run(5000)
    assert stage.leaving is not None
    stage.leaving.forbid(stage.now)
    sent = len(stage.sent)
    stage.run(5000)

    assert sent == len(stage.sent)
    assert [] == stage.moves
