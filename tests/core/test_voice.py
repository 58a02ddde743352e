from __future__ import annotations

import pytest

from app.core.intake import Bounds
from app.core.pcm import AudioFormat
from app.core.spec import AudioPathName
from app.core.voice import VoiceOptions
from tests.support.stage import MS, Manners, Stage

SILENT = Manners(silent=True)
TRACK = VoiceOptions(audio_path=AudioPathName.TRACK)


def sent_ms(stage: Stage) -> int:
    """Speech handed over so far."""
    return sum(sent.samples for sent in stage.sent) // 24


def test_an_interrupt_in_mid_speech() -> None:
    """Accepted at once with the estimate; done with Tavus's word, to the sample."""
    stage = Stage()
    stage.say("a", 4000)
    stage.say("b", 500)
    stage.run(1000)
    stage.take()
    accepted = stage.interrupt()

    assert ("a", 1, True) == (accepted.utterance_id, accepted.epoch, accepted.interrupted)
    assert [("a", 4000, 2490, 960, 1510), ("b", 500, 0, 0, 500)] == [
        (u.utterance_id, u.received_ms, u.sent_ms, u.played_ms, u.dropped_ms)
        for u in accepted.utterances
    ]
    assert 2010 == accepted.dropped_ms
    # Where nothing was handed over nobody is waited for.
    assert ["accepted 1 True a 2010", "done b interrupted 500/0/0 clock"] == stage.take()

    stage.run_out()

    assert ["replica.stopped_speaking", "done a interrupted 4000/2490/1000 replica"] == stage.take()
    assert 24_000 == stage.model.truth["a"]


def test_nothing_received_before_is_handed_over_after() -> None:
    """Undecoded bytes, the resampler, a partial chunk, the queue: all is forgotten."""
    stage = Stage(VoiceOptions(lead_ms=0))
    stage.start("a")
    stage.audio(1000.5)
    stage.raw(b"\x01")
    stage.interrupt()
    before = len(stage.sent)
    stage.start("b")
    stage.audio(100)
    stage.end()
    stage.run_out()

    assert bytes(stage.fed)[-4800:] == stage.heard("b")
    assert {("b", 1), (None, 1)} == {(s.utterance_id, s.epoch) for s in stage.sent[before:]}
    assert "error partial_sample" not in stage.log()


def test_the_next_utterance_goes_out_at_once_under_a_new_id() -> None:
    """After an interrupt nothing is waited for."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run(500)
    stage.interrupt()
    stage.say("b", 500)

    assert ["ab-1 a", "ab-1 done", "ab-2 b", "ab-2 done"] == stage.runs()

    stage.run_out()

    assert [
        "done a interrupted 1000/1000/500 replica",
        "done b played 500/500/500 replica",
    ] == stage.log("utterance.done")


# --- every moment


def test_before_the_replica_listens() -> None:
    """What was held is dropped and done at once."""
    stage = Stage(listens=False)
    stage.say("a", 500)
    stage.interrupt()
    stage.run(0)

    assert ["opened a", "accepted 1 True - 500", "done a interrupted 500/0/0 clock"] == stage.log()


def test_before_the_first_hand_over() -> None:
    """The gate still held it: done at once, the one before with its own stop."""
    stage = Stage()
    stage.say("a", 500)
    stage.run(100)
    stage.say("b", 500)
    stage.run(100)
    accepted = stage.interrupt()

    assert "a" == accepted.utterance_id
    assert ["done b interrupted 500/0/0 clock"] == stage.log("utterance.done")

    stage.run_out()

    assert "done a interrupted 500/500/200 replica" in stage.log()


def test_before_the_replica_began() -> None:
    """It never begins and never says so: after 2 s the clock's guess counts."""
    stage = Stage()
    stage.start("a")
    stage.audio(60)
    stage.run(40)
    stage.interrupt()
    stage.run_out()

    assert ["done a interrupted 60/50/0 clock"] == stage.log("utterance.done")
    assert 2040 == stage.at("utterance.done", "a")
    assert "started" not in " ".join(stage.log())


def test_between_the_end_and_its_stop_event() -> None:
    """All of it was heard, and yet it was interrupted: its end had not been told."""
    stage = Stage()
    stage.say("a", 500)
    stage.run(570)
    stage.interrupt()
    stage.run_out()

    assert ["done a interrupted 500/500/500 replica"] == stage.log("utterance.done")


def test_at_the_last_sample() -> None:
    """Once done is told there is nothing to cut; the epoch rises all the same."""
    stage = Stage()
    stage.say("a", 500)
    stage.run(580)

    assert ["done a played 500/500/500 replica"] == stage.log("utterance.done")

    accepted = stage.interrupt()

    assert (False, 1, None, ()) == (
        accepted.interrupted,
        accepted.epoch,
        accepted.utterance_id,
        accepted.utterances,
    )


def test_while_paused() -> None:
    """An interrupt ends the pause: what comes next plays."""
    stage = Stage()
    stage.say("a", 3000)
    stage.run(500)
    stage.voice.pause(stage.now)
    stage.interrupt()
    stage.say("b", 100)
    stage.run_out()

    assert [
        "done a interrupted 3000/1970/500 replica",
        "done b played 100/100/100 replica",
    ] == stage.log("utterance.done")


def test_in_a_gap() -> None:
    """A replica that had fallen silent says nothing more; what it said is known."""
    stage = Stage()
    stage.start("a")
    stage.audio(490)
    stage.run(2000)
    stage.interrupt()
    stage.run(0)

    assert ["done a interrupted 490/490/490 replica"] == stage.log("utterance.done")


def test_the_second_of_a_run() -> None:
    """Positions are split at a cut as they are at the end."""
    stage = Stage(listens=False)
    stage.say("a", 300)
    stage.say("b", 500)
    stage.say("c", 500)
    stage.voice.playback.released = True
    stage.settle()
    stage.run(500)
    stage.interrupt()
    stage.run_out()

    assert [
        "done a played 300/300/300 replica",
        "done b interrupted 500/500/200 replica",
        "done c interrupted 500/500/0 replica",
    ] == stage.log("utterance.done")


def test_twice() -> None:
    """Each interrupt raises the epoch; each utterance is cut once."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run(500)
    stage.interrupt()
    accepted = stage.interrupt()
    stage.run_out()

    assert (2, False) == (accepted.epoch, accepted.interrupted)
    assert ["done a interrupted 1000/1000/500 replica"] == stage.log("utterance.done")


def test_twice_before_the_room_confirms() -> None:
    """The cuts are told in order, and every done after its own."""
    stage = Stage(listens=False)
    stage.say("a", 100)
    first = stage.cut()
    stage.say("b", 100)
    second = stage.cut()
    stage.run(10)

    assert first is not None
    assert second is not None
    assert ["opened a", "opened b"] == stage.log()

    stage.report(first)
    stage.report(second)

    assert [
        "opened a",
        "opened b",
        "accepted 1 True - 100",
        "accepted 2 True - 100",
        "done a interrupted 100/0/0 clock",
        "done b interrupted 100/0/0 clock",
    ] == stage.log()


def test_a_chunk_in_flight() -> None:
    """One that the room took all the same is sent; nothing more before the room confirms."""
    stage = Stage()
    stage.slow = 40 * MS
    stage.say("a", 1000)
    stage.run(100)
    cut = stage.cut()
    before = sent_ms(stage)

    assert cut is not None
    assert stage.flying is not None

    stage.land()

    assert None is stage.voice.playback.next_due(stage.now)
    assert before + 40 == sent_ms(stage)

    accepted = stage.report(cut)

    assert before + 40 == accepted.utterances[0].sent_ms

    stage.run_out()

    assert before + 40 == stage.done("a").sent_ms


def test_the_first_chunk_in_flight() -> None:
    """Of a run that holds nothing else: Tavus may have begun it, so it is waited for."""
    stage = Stage(manners=SILENT)
    stage.slow = 40 * MS
    stage.say("a", 1000)
    cut = stage.cut()
    stage.run(10)
    stage.voice.tick(stage.now)
    stage.land()

    assert cut is not None

    stage.report(cut)
    stage.slow = 0
    stage.run_out()

    assert ["done a interrupted 1000/10/0 clock"] == stage.log("utterance.done")
    assert 2000 == stage.at("utterance.done", "a")


# --- a replica that does not tell


def test_an_interrupt_that_is_not_acknowledged() -> None:
    """After 2 s the estimate counts, and says that it is one."""
    stage = Stage(manners=Manners(lost=frozenset({1})))
    stage.say("a", 4000)
    stage.run(1000)
    stage.interrupt()
    stage.run_out()

    assert ["done a interrupted 4000/2490/960 clock"] == stage.log("utterance.done")
    assert 3000 == stage.at("utterance.done", "a")


def test_a_silent_replica() -> None:
    """Where a player that plays at once would be, at the cut."""
    stage = Stage(manners=SILENT)
    stage.say("a", 4000)
    stage.run(1000)
    stage.interrupt()
    stage.run_out()

    assert ["done a interrupted 4000/2490/1000 clock"] == stage.log("utterance.done")


@pytest.mark.parametrize("ids", ["made", None])
def test_no_duration(ids: str | None) -> None:
    """Start and stop are as late as each other: the estimate is close."""
    stage = Stage(manners=Manners(ids=ids, durations=False))
    stage.say("a", 4000)
    stage.run(1000)
    stage.interrupt()
    stage.run_out()

    assert ["done a interrupted 4000/2490/1000 clock"] == stage.log("utterance.done")


def test_a_start_event_that_comes_after_the_interrupt() -> None:
    """With nothing else to be about it is the cut one's; then its stop is, too."""
    stage = Stage(manners=Manners(ids="made"))
    stage.say("a", 4000)
    stage.run(30)
    stage.interrupt()
    stage.run_out()

    assert ["done a interrupted 4000/1530/30 replica"] == stage.log("utterance.done")


@pytest.mark.parametrize(
    ("manners", "a", "b"),
    [
        (Manners(), "30 replica", "500 replica"),
        (Manners(ids="made"), "30 replica", "500 replica"),
        (Manners(durations=False), "30 clock", "500 replica"),
        (Manners(durations=False, ids="made"), "30 clock", "500 replica"),
    ],
)
def test_a_late_start_event_is_given_back(manners: Manners, a: str, b: str) -> None:
    """Taken for the next utterance's at first, it turns out to have been of the cut one."""
    stage = Stage(manners=manners)
    stage.say("a", 4000)
    stage.run(30)
    stage.interrupt()
    stage.say("b", 500)
    stage.run_out()

    assert [
        f"done a interrupted 4000/1530/{a}",
        f"done b played 500/500/{b}",
    ] == stage.log("utterance.done")


# --- guard and epoch


@pytest.mark.parametrize(("guard", "cut"), [("a", True), ("b", True), ("c", True), ("x", False)])
def test_the_guard(guard: str, cut: bool) -> None:
    """Playing, open or queued: all are cut; anything else: nothing happens."""
    stage = Stage()
    stage.say("x", 100)
    stage.run_out()
    stage.say("a", 1000)
    stage.say("b", 1000)
    stage.start("c")
    stage.run(500)
    stage.take()
    accepted = stage.interrupt(guard=guard)
    stage.end()
    stage.run_out()

    assert cut is accepted.interrupted
    assert int(cut) == accepted.epoch == stage.voice.epoch
    assert (3 if cut else 0) == " ".join(stage.log("utterance.done")).count("interrupted")


def test_the_guard_of_what_is_over_by_now() -> None:
    """What is due at this moment happens first."""
    stage = Stage(manners=SILENT)
    stage.say("a", 500)
    stage.run(2499)
    stage.now += MS

    assert None is stage.cut(guard="a")
    assert "done a played 500/500/500 clock" in stage.log()


def test_a_declined_interrupt_is_told() -> None:
    """With the caller's id, and the epoch as it is."""
    stage = Stage()
    stage.interrupt()
    stage.take()
    declined = stage.voice.decline("r")
    stage.settle()

    assert ("r", 1, False) == (declined.id, declined.epoch, declined.interrupted)
    assert ["accepted 1 False - 0"] == stage.log()


def test_dead_on_arrival() -> None:
    """An older epoch: opened and interrupted at once, and its audio discarded."""
    stage = Stage()
    stage.interrupt()
    stage.start("a", epoch=0)
    stage.run(0)
    stage.audio(100)
    stage.end()
    stage.start("b", epoch=1)
    stage.audio(90)
    stage.end()
    stage.run_out()

    assert [
        "opened a",
        "done a interrupted 0/0/0 clock",
        "discarded 100 interrupted a",
        "opened b",
        "done b played 90/90/90 replica",
    ] == stage.log("utterance.opened", "utterance.done", "audio.discarded")


# --- late audio


def test_an_explicit_producer_after_an_interrupt() -> None:
    """Everything up to its next start is discarded, one message a burst."""
    stage = Stage()
    stage.start("a")
    stage.audio(1000)
    stage.interrupt(in_band=False)
    stage.audio(200)
    stage.run(100)
    stage.audio(100)
    stage.run(400)
    stage.audio(40)
    stage.end("a")
    stage.audio(20)
    stage.run(400)

    assert [
        "discarded 300 interrupted a",
        "discarded 40 interrupted a",
        "discarded 20 no_utterance -",
    ] == stage.log("audio.discarded")


def test_an_explicit_producer_that_interrupts_itself() -> None:
    """It says when it begins anew; what it sends before that is late."""
    stage = Stage()
    stage.start("a")
    stage.audio(1000)
    stage.interrupt(in_band=True)
    stage.audio(200)
    stage.start("b")

    assert ["discarded 200 interrupted a"] == stage.log("audio.discarded")


def test_an_implicit_producer_that_interrupts_itself() -> None:
    """The socket keeps order: what it sends next is new."""
    stage = Stage()
    stage.audio(1000)
    stage.interrupt(in_band=True)
    stage.audio(200)

    assert ["opened u-1", "opened u-2"] == stage.log("utterance.opened")
    assert [] == stage.log("audio.discarded")


@pytest.mark.parametrize("how", ["end", "gap"])
def test_an_implicit_producer_interrupted_from_elsewhere(how: str) -> None:
    """Its audio is late until its end, or until 300 ms without any."""
    stage = Stage()
    stage.audio(1000)
    stage.run(2)
    stage.interrupt(in_band=False)
    stage.run(290)
    stage.audio(100)
    stage.run(290)
    stage.audio(100)
    if how == "end":
        stage.end()
    else:
        stage.run(300)
    stage.audio(50)

    assert ["discarded 200 interrupted u-1"] == stage.log("audio.discarded")
    assert ["opened u-1", "opened u-2"] == stage.log("utterance.opened")


def test_an_in_band_interrupt_after_one_from_elsewhere() -> None:
    """What was late is told; what comes next is new."""
    stage = Stage()
    stage.audio(1000)
    stage.interrupt(in_band=False)
    stage.audio(100)
    stage.interrupt(in_band=True)
    stage.audio(50)

    assert ["discarded 100 interrupted u-1"] == stage.log("audio.discarded")
    assert ["opened u-1", "opened u-2"] == stage.log("utterance.opened")


def test_an_interrupt_between_two_implicit_utterances() -> None:
    """With nothing open nothing is late."""
    stage = Stage()
    stage.audio(100)
    stage.end()
    stage.interrupt(in_band=False)
    stage.audio(100)

    assert ["opened u-1", "opened u-2"] == stage.log("utterance.opened")


# --- marks


def test_marks_of_an_interrupt() -> None:
    """Those that were passed are played, the others flushed, right after the account."""
    stage = Stage()
    stage.start("a")
    stage.audio(500)
    stage.mark("one")
    stage.audio(500)
    stage.mark("two")
    stage.end()
    stage.start("b")
    stage.mark("three")
    stage.run(700)
    stage.take()
    stage.interrupt()
    stage.mark("four")

    assert [
        "accepted 1 True a 0",
        "mark two flushed 1000",
        "mark three flushed 0",
        "done b interrupted 0/0/0 clock",
        "mark four flushed 0",
    ] == stage.log()


def test_a_mark_before_the_room_confirms() -> None:
    """It waits behind those that the interrupt will flush, however empty what it is in."""
    stage = Stage()
    stage.say("a", 500)
    stage.mark("one")
    cut = stage.cut(in_band=False)
    stage.mark("two")
    stage.start("b")
    stage.mark("three")
    stage.end()
    stage.run(100)

    assert cut is not None
    assert [] == stage.log("mark.reached")

    stage.report(cut)
    stage.run(0)

    assert ["mark one flushed 500", "mark two flushed 500", "mark three played 0"] == stage.log(
        "mark.reached"
    )


# --- track


def test_track() -> None:
    """What the device gave back was not sent; what is inside it was."""
    stage = Stage(TRACK, SILENT)
    stage.say("a", 1000)
    stage.run(110)
    accepted = stage.interrupt()

    assert 140 == sent_ms(stage)
    assert [("a", 1000, 120)] == [
        (u.utterance_id, u.received_ms, u.sent_ms) for u in accepted.utterances
    ]

    stage.run_out()
    done = stage.done("a")

    # The replica is taken to have begun when 100 ms had been handed over, 60 ms after the first.
    assert (120, 880, 50, "clock") == (done.sent_ms, done.dropped_ms, done.played_ms, done.source)


def test_track_gives_back_across_utterances() -> None:
    """Padding first, then the speech before it, as far back as it goes."""
    stage = Stage(TRACK, SILENT, listens=False)
    stage.say("a", 10)
    stage.say("b", 10)
    stage.voice.playback.released = True
    stage.settle()
    accepted = stage.interrupt()

    assert [("a", 10, 10), ("b", 10, 0)] == [
        (u.utterance_id, u.received_ms, u.sent_ms) for u in accepted.utterances
    ]


# --- the end of the session


def test_the_end() -> None:
    """Cut ones are interrupted, the rest failed; every mark is flushed; nothing is left."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run(500)
    stage.interrupt()
    stage.say("b", 1000)
    stage.mark("m")
    stage.start("c")
    stage.audio(100)
    stage.raw(b"\x01")
    stage.run(5)
    stage.take()
    stage.voice.finish(stage.now)
    stage.settle()

    assert [
        "error partial_sample",
        "done a interrupted 1000/1000/460 clock",
        "mark m flushed 1000",
        "done b failed session_over 1000/1000/5 clock",
        "done c failed session_over 100/0/0 clock",
    ] == stage.log()
    assert None is stage.voice.playback.next(stage.now)
    assert None is stage.voice.next_deadline()

    stage.voice.finish(stage.now)

    assert [] == stage.voice.take()


def test_the_end_before_the_room_confirms() -> None:
    """Nobody waits for an account any more."""
    stage = Stage(listens=False)
    stage.say("a", 100)
    stage.mark("m")
    stage.cut()
    stage.voice.finish(stage.now)
    stage.settle()

    assert ["mark m flushed 100", "done a interrupted 100/0/0 clock"] == stage.log()[1:]


def test_news_until_they_are_taken() -> None:
    """An utterance that is opened is news, its audio is none."""
    stage = Stage()
    quiet = stage.voice.has_news
    stage.voice.intake.start("a", AudioFormat(), None, 0)
    opened = stage.voice.has_news
    stage.voice.take()
    stage.voice.intake.audio(bytes(4800), 0)

    assert (False, True, False) == (quiet, opened, stage.voice.has_news)


def test_activity() -> None:
    """Active while something sounds or is about to, and not a moment longer."""
    stage = Stage(VoiceOptions(bounds=Bounds(utterance_gap_ms=100_000)))

    assert not stage.voice.is_active(stage.now)

    stage.audio(1000)
    stage.run(900)

    assert stage.voice.is_active(stage.now)

    stage.run(200)

    assert not stage.voice.is_active(stage.now)
    assert stage.voice.open is not None
