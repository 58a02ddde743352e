from __future__ import annotations

import pytest
from msgspec.structs import replace

from app.core import wire_out as out
from app.core.pcm import AudioFormat, Chunk, Encoding
from app.core.playback import Delivery
from app.core.run import Run
from app.core.spec import AudioPathName
from app.core.voice import VoiceOptions
from app.errors import FormatMismatch
from tests.support.audio import wav
from tests.support.stage import MS, SECOND, Manners, S, Stage

SILENT = Manners(silent=True)
TRACK = VoiceOptions(audio_path=AudioPathName.TRACK)


def all_handed(stage: Stage) -> list[Delivery]:
    """Have the room take all that a stage which did not listen so far has."""
    playback = stage.voice.playback
    playback.released = True
    deliveries = []
    while (delivery := playback.next(stage.now)) is not None:
        playback.handed(delivery, stage.now)
        deliveries.append(delivery)
    return deliveries


def test_an_utterance() -> None:
    """Opened, started with the replica, done with its stop; exact, and nothing twice."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run_out()

    assert [
        "opened a",
        "replica.started_speaking",
        "started a replica",
        "replica.stopped_speaking",
        "done a played 1000/1000/1000 replica",
    ] == stage.log()
    assert ["ab-1 a", "ab-1 done"] == stage.runs()
    assert bytes(stage.fed) == stage.heard("a")
    # Each way takes 20 ms, and 40 ms of closing silence come before the stop.
    assert 40 == stage.at("utterance.started", "a")
    assert 1080 == stage.at("utterance.done", "a")
    assert out.Latency(0, 40) == stage.done("a").latency


def test_the_lead() -> None:
    """Audio is handed over 1500 ms ahead of real time, and no more."""
    stage = Stage()
    stage.say("a", 4000)

    assert 1490 == sum(sent.samples for sent in stage.sent) // S

    stage.run(1000)

    assert 2490 == sum(sent.samples for sent in stage.sent) // S


def test_nothing_is_handed_over_before_the_replica_listens() -> None:
    """Audio received before is held, and played when it does."""
    stage = Stage(listens=False)
    stage.say("a", 100)
    stage.run(5000)

    assert [] == stage.sent
    assert None is stage.voice.playback.next_due(stage.now)
    assert not stage.voice.is_active(stage.now)

    stage.voice.playback.released = True
    stage.settle()
    stage.run_out()

    assert 100 == stage.done("a").played_ms


# --- in a row


def test_what_waits_continues_the_run() -> None:
    """Utterances that wait share one inference id; ``done`` goes out when nothing waits."""
    stage = Stage()
    stage.say("a", 300)
    stage.start("b")
    stage.audio(200)

    assert ["ab-1 a", "ab-1 done", "ab-2 b"][:2] == stage.runs()

    stage = Stage(listens=False)
    stage.say("a", 300)
    stage.say("b", 200)
    stage.say("c", 100)
    stage.voice.playback.released = True
    stage.settle()
    stage.run_out()

    assert ["ab-1 a", "ab-1 b", "ab-1 c", "ab-1 done"] == stage.runs()
    assert [
        "done a played 300/300/300 replica",
        "done b played 200/200/200 replica",
        "done c played 100/100/100 replica",
    ] == stage.log("utterance.done")


def test_positions_are_split_by_samples() -> None:
    """Each utterance starts and ends when the replica passes it, without an event of its own."""
    stage = Stage(listens=False)
    stage.say("a", 300)
    stage.say("b", 200)
    stage.mark("end of b")
    stage.say("c", 100)
    stage.voice.playback.released = True
    stage.settle()
    stage.run_out()

    assert (40, 340) == tuple(
        round(stage.at(kind, "a")) for kind in ("utterance.started", "utterance.done")
    )
    assert (340, 540) == tuple(
        round(stage.at(kind, "b")) for kind in ("utterance.started", "utterance.done")
    )
    assert 540 == stage.at("mark.reached", "b")
    # The last one of a run is done when the replica says so: 40 ms of silence later.
    assert 680 == stage.at("utterance.done", "c")


def test_what_is_done_is_forgotten() -> None:
    """A run may go on for an hour: it remembers only what is not accounted for."""
    stage = Stage(listens=False)
    stage.say("a", 300)
    stage.say("b", 200)
    first, second = stage.voice._utterances.line
    stage.voice.playback.released = True
    stage.settle()
    stage.run(400)
    run = stage.voice._speech.run_of(second)

    assert run is not None
    assert (False, True) == (run.holds(first), run.holds(second))


def test_an_open_utterance_that_has_audio_is_waited_for() -> None:
    """The run goes on as long as audio for it is sure to come: inside the resampler, for one."""
    stage = Stage()
    stage.start("a")
    stage.audio(200)
    stage.start("b")
    stage.audio(5)
    stage.run(3000)

    assert ["ab-1 a", "ab-1 done"] == stage.runs()

    stage = Stage(listens=False)
    stage.say("a", 200)
    stage.start("b")
    stage.audio(5)
    stage.voice.playback.released = True
    stage.settle()

    assert ["ab-1 a"] == stage.runs()

    stage.end()

    assert ["ab-1 a", "ab-1 b", "ab-1 done"] == stage.runs()


def test_an_open_utterance_without_audio_is_not_waited_for() -> None:
    """``done`` goes out: nobody knows when, or if, its first sample comes."""
    stage = Stage()
    stage.start("a")
    stage.audio(200)
    stage.start("b")

    assert ["ab-1 a", "ab-1 done"] == stage.runs()


def test_after_done_the_next_is_held_until_the_replica_stopped() -> None:
    """The stop event opens the gate for the next utterance, under a new id."""
    stage = Stage()
    stage.say("a", 500)
    stage.run(100)
    stage.say("b", 300)

    assert ["ab-1 a", "ab-1 done"] == stage.runs()
    assert stage.voice.is_active(stage.now)

    stage.run_out()

    assert ["ab-1 a", "ab-1 done", "ab-2 b", "ab-2 done"] == stage.runs()
    assert 580 * MS + SECOND == next(sent.at for sent in stage.sent if sent.utterance_id == "b")
    assert "done b played 300/300/300 replica" in stage.log()


def test_without_a_stop_event_the_clock_opens_the_gate() -> None:
    """500 ms after the estimated end the next utterance goes out."""
    stage = Stage(manners=SILENT)
    stage.say("a", 500)
    stage.run(100)
    stage.say("b", 300)
    stage.run_out()

    assert 1040 * MS + SECOND == next(sent.at for sent in stage.sent if sent.utterance_id == "b")


def test_overlap_sends_at_once() -> None:
    """With ``BRIDGE_ECHO_OVERLAP=send`` nobody waits, and the queued one is not done too early."""
    stage = Stage(VoiceOptions(overlap=True, lead_ms=10_000), SILENT)
    stage.say("a", 5000)
    stage.say("b", 300)

    assert ["ab-1 a", "ab-1 done", "ab-2 b", "ab-2 done"] == stage.runs()

    stage.run_out()

    # It is played after the first one, which the clock knows as well as the replica does.
    assert {"a": 7000, "b": 7340} == {name: stage.at("utterance.done", name) for name in "ab"}
    assert 300 == stage.done("b").played_ms


def test_several_start_stop_pairs_add_up() -> None:
    """A replica that runs dry inside an utterance stops and starts; no sample is lost."""
    stage = Stage()
    stage.start("a")
    stage.audio(300)
    stage.run(1000)
    stage.audio(400)
    stage.mark("before the end")
    stage.run(1000)
    stage.audio(200)
    stage.end()
    stage.run_out()

    assert [
        "started a replica",
        "mark before the end played 700",
        "done a played 900/900/900 replica",
    ] == stage.log("utterance.started", "mark.reached", "utterance.done")
    assert 3 == len(stage.log("replica.started_speaking"))


def test_an_end_that_comes_late_is_not_waited_for_twice() -> None:
    """When the replica has said all of it, ``utterance.end`` alone was missing."""
    stage = Stage()
    stage.start("a")
    stage.audio(290)
    stage.run(1000)
    stage.end()
    stage.run(0)

    assert "done a played 290/290/290 replica" in stage.log()
    assert ["ab-1 a", "ab-1 done"] == stage.runs()

    stage.run_out()

    assert 1 == len(stage.log("utterance.done"))


# --- the clock


def test_a_silent_replica() -> None:
    """Started by the clock after 2 s, done 2 s after the clock's end."""
    stage = Stage(manners=SILENT)
    stage.say("a", 3000)
    stage.run_out()

    assert ["opened a", "started a clock", "done a played 3000/3000/3000 clock"] == stage.log()
    assert 2000 == stage.at("utterance.started", "a")
    assert 5000 == stage.at("utterance.done", "a")


def test_a_silent_replica_and_a_short_utterance() -> None:
    """What is over by the clock before it is taken to have started still starts first."""
    stage = Stage(manners=SILENT)
    stage.say("a", 60)
    stage.run_out()

    assert ["opened a", "started a clock", "done a played 60/60/60 clock"] == stage.log()


def test_a_silent_replica_and_a_row() -> None:
    """All but the last of a run end by the clock too, in order, each with a start."""
    stage = Stage(manners=SILENT, listens=False)
    stage.say("a", 1000)
    stage.say("b", 500)
    stage.voice.playback.released = True
    stage.settle()
    stage.run_out()

    assert [
        "started a clock",
        "started b clock",
        "done a played 1000/1000/1000 clock",
        "done b played 500/500/500 clock",
    ] == stage.log("utterance.started", "utterance.done")
    assert (3000, 3500) == (stage.at("utterance.done", "a"), stage.at("utterance.done", "b"))


def test_a_lost_stop_event() -> None:
    """The end is then the clock's guess, and called one."""
    stage = Stage(manners=Manners(lost=frozenset({1})))
    stage.say("a", 1000)
    stage.run_out()

    assert "done a played 1000/1000/1000 clock" in stage.log()
    assert 40 + 1000 + 2000 == round(stage.at("utterance.done", "a"))


def test_a_lost_stop_event_inside_an_utterance() -> None:
    """The next start tells that the replica had stopped; the gap was no speech."""
    stage = Stage(manners=Manners(lost=frozenset({1})))
    stage.start("a")
    stage.audio(300)
    stage.run(1000)
    stage.audio(400)
    stage.end()
    stage.run(200)
    progress = stage.voice.playback.progress(stage.now)

    assert progress is not None
    assert abs(progress.played_ms - (300 + 160)) <= 100

    stage.run_out()

    assert "done a played 700/700/700 replica" in stage.log()


def test_a_lost_start_event() -> None:
    """The stop and its duration say all there is to know."""
    stage = Stage(manners=Manners(lost=frozenset({0})))
    stage.say("a", 1000)
    stage.run_out()

    assert ["started a replica", "done a played 1000/1000/1000 replica"] == stage.log(
        "utterance.started", "utterance.done"
    )
    assert 1080 == stage.at("utterance.done", "a")


def test_a_late_replica() -> None:
    """One that begins three seconds late is waited for once it has begun."""
    stage = Stage(manners=SILENT)
    stage.say("a", 2500)
    stage.run(3000)
    stage.replica_started()
    stage.run(2500)

    assert "utterance.done" not in " ".join(stage.log())

    stage.replica_stopped(2540)

    assert "done a played 2500/2500/2500 replica" in stage.log()


@pytest.mark.parametrize("durations", [True, False])
@pytest.mark.parametrize("ids", ["ours", "made", "previous", None])
@pytest.mark.parametrize("doubled", [True, False])
def test_every_way_of_talking(ids: str | None, durations: bool, doubled: bool) -> None:
    """Twins, doubles, foreign ids, missing durations: two utterances and a pause come out right."""
    stage = Stage(manners=Manners(ids=ids, durations=durations, doubled=doubled))
    stage.start("a")
    stage.audio(500)
    stage.run(1000)
    stage.audio(500)
    stage.end()
    stage.run(200)
    stage.say("b", 300)
    stage.run_out()

    assert [
        "opened a",
        "replica.started_speaking",
        "started a replica",
        "replica.stopped_speaking",
        "replica.started_speaking",
        "opened b",
        "replica.stopped_speaking",
        "done a played 1000/1000/1000 replica",
        "replica.started_speaking",
        "started b replica",
        "replica.stopped_speaking",
        "done b played 300/300/300 replica",
    ] == stage.log()


def test_somebody_elses_speech() -> None:
    """Once ids are known to be ours, what Tavus says by itself moves no position."""
    stage = Stage()
    stage.say("a", 500)
    stage.run_out()
    stage.say("b", 500)
    stage.run(100)
    stage.replica_stopped(60, "tavus-said-this")
    stage.run_out()

    assert "done b played 500/500/500 replica" in stage.log()


# --- marks


def test_marks() -> None:
    """Each once, in order: at its sample, at the end, and at once when nothing is left to play."""
    stage = Stage()
    stage.start("a")
    stage.mark("before")
    stage.audio(500)
    stage.mark("middle")
    stage.mark("middle too")
    stage.audio(500)
    stage.end()
    stage.mark("end")
    stage.run_out()
    stage.mark("none")

    assert [
        "mark before played 0",
        "mark middle played 500",
        "mark middle too played 500",
        "mark end played 1000",
        "mark none played 0",
    ] == stage.log("mark.reached")
    assert [40, 540, 540, 1040] == [
        round((at - SECOND) / MS)
        for at, message in stage.told
        if isinstance(message, out.MarkReached) and message.utterance_id == "a"
    ]


def test_marks_wait_for_the_start() -> None:
    """By the clock no mark comes before the utterance is taken to have started."""
    stage = Stage(manners=SILENT)
    stage.say("a", 100)
    stage.mark("end")
    stage.run_out()

    assert ["started a clock", "mark end played 100", "done a played 100/100/100 clock"] == (
        stage.log("utterance.started", "mark.reached", "utterance.done")
    )
    assert 2000 == stage.at("mark.reached", "a")


def test_what_a_mark_told_is_not_taken_back() -> None:
    """A replica that turns out to be later than the clock does not move what was told."""
    stage = Stage(manners=SILENT)
    stage.say("a", 4000)
    stage.mark("nothing")
    stage.start("b")
    stage.audio(10)
    stage.run(2500)
    stage.replica_started()
    progress = stage.voice.playback.progress(stage.now)

    assert progress is not None
    assert 0 == progress.played_ms

    stage = Stage(manners=SILENT)
    stage.start("a")
    stage.audio(2200)
    stage.mark("m")
    stage.audio(2000)
    stage.end()
    stage.run(2500)

    assert ["mark m played 2200"] == stage.log("mark.reached")

    stage.replica_started()
    progress = stage.voice.playback.progress(stage.now)

    assert progress is not None
    assert 2200 == progress.played_ms


# --- progress, pause


def test_progress_never_goes_back() -> None:
    """It names its source; none before the start, nor when all is played."""
    stage = Stage()
    stage.say("a", 1000)
    seen: list[int] = []
    for _ in range(12):
        message = stage.voice.playback.progress(stage.now)
        if message is not None:
            assert ("a", "replica") == (message.utterance_id, message.source)
            seen.append(message.played_ms)
        stage.run(100)

    assert [60, 160, 260, 360, 460, 560, 660, 760, 860, 960] == seen


def test_progress_waits_for_what_is_handed_over_anew() -> None:
    """What was told as played is not taken back when the room turns out not to have had it."""
    stage = Stage(VoiceOptions(lead_ms=10_000), manners=SILENT, listens=False)
    stage.say("a", 4000)
    playback = stage.voice.playback
    deliveries = all_handed(stage)
    stage.run(2500)
    seen = [playback.progress(stage.now)]
    for delivery in reversed(deliveries[1:]):
        playback.give_back(delivery)
    seen.append(playback.progress(stage.now))
    stage.run(3000)
    seen.append(playback.progress(stage.now))

    assert [2500, None, 3010] == [told and told.played_ms for told in seen]


def test_pause() -> None:
    """What the room holds plays on, the rest waits; resuming goes on in the same run."""
    stage = Stage(VoiceOptions(lead_ms=500))
    stage.say("a", 2000)
    stage.run(240)
    stage.voice.pause(stage.now, "p")
    stage.settle()

    assert ["paused 1270+530"] == stage.log("playback.paused")
    assert None is stage.voice.playback.next_due(stage.now)

    stage.run(3000)

    assert not stage.voice.is_active(stage.now)
    assert 730 == sum(sent.samples for sent in stage.sent) // S

    stage.voice.resume("r")
    stage.settle()
    stage.run_out()

    assert ["playback.resumed"] == stage.log("playback.resumed")
    assert ["ab-1 a", "ab-1 done"] == stage.runs()
    assert "done a played 2000/2000/2000 replica" in stage.log()


def test_pause_with_nothing_left_to_hold() -> None:
    """What was handed over whole comes to its end: its ``done`` is no audio."""
    stage = Stage()
    stage.start("a")
    stage.audio(290)
    stage.voice.pause(stage.now)
    stage.end()
    stage.run_out()

    assert "done a played 290/290/290 replica" in stage.log()


# --- the room


def test_a_message_that_was_lost_after_all() -> None:
    """Nobody hears it: it is dropped, later samples move up, and the utterance still ends."""
    stage = Stage(manners=SILENT, listens=False)
    stage.say("a", 100)
    stage.say("b", 100)
    playback = stage.voice.playback
    deliveries = all_handed(stage)
    playback.lost(deliveries[1])
    playback.lost(deliveries[-1])
    stage.run_out()

    assert [
        "done a played 100/60/60 clock",
        "done b played 100/100/100 clock",
    ] == stage.log("utterance.done")
    assert 40 == stage.done("a").dropped_ms

    playback.lost(deliveries[1])  # of an utterance that is accounted for: too late to matter

    assert [] == stage.voice.take()


def test_marks_keep_their_order_when_what_one_stands_in_is_lost() -> None:
    """It is passed, at the latest, when what comes after it sounds."""
    stage = Stage(manners=SILENT, listens=False)
    stage.start("a")
    stage.audio(90)
    stage.mark("middle of a")
    stage.audio(10)
    stage.mark("end of a")
    stage.start("b")
    stage.audio(10)
    stage.mark("b")
    stage.audio(90)
    stage.end()
    playback = stage.voice.playback
    deliveries = all_handed(stage)
    playback.lost(deliveries[3])
    stage.run_out()

    assert [
        "mark middle of a played 90",
        "mark end of a played 100",
        "mark b played 10",
        "done a played 100/90/90 clock",
        "done b played 100/100/100 clock",
    ] == stage.log("mark.reached", "utterance.done")


def test_an_utterance_that_was_lost_whole() -> None:
    """It was never sent."""
    stage = Stage(manners=SILENT)
    stage.say("a", 10)
    run = Run("ab-1")
    delivery = replace(_nothing(run), utterance=stage.voice._utterances.line[0])
    stage.voice.playback.lost(delivery)
    stage.run_out()

    assert ["done a played 10/0/0 clock"] == stage.log("utterance.done")
    assert out.Latency(None, None) == stage.done("a").latency


def _nothing(run: Run) -> Delivery:
    return Delivery(0, run, None, Chunk(bytes(480), 240))


def test_a_chunk_that_the_room_never_took() -> None:
    """It is not sent; with the epoch unchanged the session is about to end."""
    stage = Stage()
    stage.slow = 40 * MS
    stage.say("a", 100)

    assert stage.flying is not None

    stage.land(taken=False)
    stage.run(1000)
    stage.voice.finish(stage.now)
    stage.settle()

    assert 90 == stage.done("a").sent_ms


# --- track


def test_track() -> None:
    """Whole frames and no closing message; the device's word counts until the replica's comes."""
    stage = Stage(TRACK, SILENT)
    stage.say("a", 50)
    stage.run_out()

    assert {480} == {sent.samples + sent.silence for sent in stage.sent}
    assert not any(sent.done for sent in stage.sent)
    assert ["started a track", "done a played 50/50/50 track"] == stage.log(
        "utterance.started", "utterance.done"
    )


def test_track_without_any_word() -> None:
    """Neither replica nor device: the clock, also when the end was announced long after."""
    stage = Stage(TRACK, Manners(silent=True, consumes=False))
    stage.start("a")
    stage.audio(500)
    stage.run(5000)

    assert not stage.voice.is_active(stage.now)

    stage.end()
    stage.run(0)
    stage.run_out()

    assert ["started a clock", "done a played 500/500/500 clock"] == stage.log(
        "utterance.started", "utterance.done"
    )


def test_track_goes_on_in_one_run() -> None:
    """The replica hears one stream: utterances in a row share its speech, later ones do not."""
    stage = Stage(TRACK)
    stage.say("a", 500)
    stage.run(300)
    stage.say("b", 500)
    stage.run_out()
    stage.say("c", 100)
    stage.run_out()

    assert ["ab-1 a", "ab-1 b", "ab-2 c"] == stage.runs()
    assert [
        "done a played 500/500/500 replica",
        "done b played 500/500/500 replica",
        "done c played 100/100/100 replica",
    ] == stage.log("utterance.done")


def test_a_stop_while_the_next_frame_is_on_its_way() -> None:
    """The run goes on with what the room is taking just now."""
    stage = Stage(TRACK)
    stage.say("a", 500)
    stage.run(530)
    stage.slow = 20 * MS
    stage.say("b", 500)
    stage.run(15)

    assert stage.flying is not None

    stage.run_out()

    assert "done b played 500/500/500 replica" in stage.log()


@pytest.mark.parametrize("path", AudioPathName)
def test_a_lost_room_gives_back_what_it_had_not_played(path: AudioPathName) -> None:
    """It goes first in the next room, in its order, and the utterance is played whole."""
    stage = Stage(VoiceOptions(audio_path=path), manners=SILENT, listens=False)
    stage.say("a", 100)
    playback = stage.voice.playback
    playback.released = True
    taken: list[Delivery] = []
    for _ in range(3):
        delivery = playback.next(stage.now)
        assert delivery is not None
        playback.handed(delivery, stage.now)
        taken.append(delivery)
    in_hand = playback.next(stage.now)
    assert in_hand is not None

    playback.put_back(in_hand)
    for delivery in reversed(taken):
        playback.give_back(delivery)
    playback.renew()
    again = [playback.next(stage.now) for _ in range(4)]

    assert [*taken, in_hand] == again
    for delivery in again:
        assert delivery is not None
        playback.handed(delivery, stage.now)
    if path is AudioPathName.TRACK:
        playback.consumed(4 * 20 * S, stage.now)  # of the stage's device is only what follows
    stage.run_out()
    done = stage.done("a")

    assert ("played", 100, 100) == (done.status, done.sent_ms, done.played_ms)


def test_an_end_that_was_given_back_is_told_again() -> None:
    """The run goes on until its ``done`` has arrived, and not for ever if it never does."""
    stage = Stage(manners=SILENT, listens=False)
    stage.say("a", 10)
    playback = stage.voice.playback
    playback.released = True
    ends = []
    for tries in range(3):
        taken: list[Delivery] = []
        while (delivery := playback.next(stage.now)) is not None:
            playback.handed(delivery, stage.now)
            taken.append(delivery)
        end = taken[-1]
        playback.refused(end)
        ends.append((end.done, end.tries))

        assert tries + 1 == end.run.refusals

    assert [(True, 0), (True, 1), (True, 2)] == ends


def test_nothing_comes_back_of_an_utterance_that_is_not_in_its_format() -> None:
    """What the room refused of it is off the accounts, and only what follows is handed over."""
    stage = Stage(manners=SILENT, listens=False)
    playback = stage.voice.playback
    stage.start("a", fmt=AudioFormat(Encoding.WAV))
    stage.raw(wav(AudioFormat(), stage.make(100)))
    playback.released = True
    delivery = playback.next(stage.now)
    assert delivery is not None
    playback.handed(delivery, stage.now)
    playback.released = False
    with pytest.raises(FormatMismatch):
        stage.raw(wav(AudioFormat(channels=3), bytes(600)))
    playback.refused(delivery)
    stage.start("b", fmt=AudioFormat())
    stage.audio(100)
    stage.end()
    playback.released = True
    stage.run_out()

    assert [
        "done a failed format_mismatch 100/0/0 clock",
        "done b played 100/100/100 clock",
    ] == stage.log("utterance.done")
    assert b"" == stage.heard("a")


def test_an_end_is_given_back_together_with_what_came_after_it() -> None:
    """The run goes on with that: its end does not come in the middle of the next run."""
    stage = Stage(VoiceOptions(overlap=True), manners=SILENT, listens=False)
    playback = stage.voice.playback
    taken: list[Delivery] = []
    for name in ("a", "b"):
        playback.released = False
        stage.say(name, 10)
        playback.released = True
        while (delivery := playback.next(stage.now)) is not None:
            playback.handed(delivery, stage.now)
            taken.append(delivery)
    for delivery in reversed(taken[1:]):
        playback.refused(delivery)
    again: list[Delivery] = []
    while (delivery := playback.next(stage.now)) is not None:
        playback.handed(delivery, stage.now)
        again.append(delivery)

    assert [("ab-1", False), ("ab-1", True), ("ab-2", False), ("ab-2", True)] == [
        (each.run.inference_id, each.done) for each in taken
    ]
    assert [("ab-1", False), ("ab-1", True)] == [
        (each.run.inference_id, each.done) for each in again
    ]


def test_what_was_refused_for_its_size_comes_back_in_smaller_pieces() -> None:
    """Half as large, and so are all that follow; 10 ms are never cut."""
    stage = Stage(manners=SILENT, listens=False)
    stage.say("a", 90)
    playback = stage.voice.playback
    playback.released = True
    first = playback.next(stage.now)
    assert first is not None
    playback.handed(first, stage.now)
    second = playback.next(stage.now)
    assert second is not None
    playback.handed(second, stage.now)
    playback.shrink(20 * S)
    playback.refused(second)
    lengths = []
    while (delivery := playback.next(stage.now)) is not None and not delivery.done:
        playback.handed(delivery, stage.now)
        lengths.append((delivery.chunk.length // S, delivery.tries))
    playback.shrink(1)
    playback.refused(first)
    smallest = playback.next(stage.now)

    assert [(20, 1), (20, 1), (20, 0), (20, 0)] == lengths
    assert smallest is not None
    assert 10 * S == smallest.chunk.length


def test_what_comes_back_after_a_cut_is_not_handed_over_again() -> None:
    """It counts as dropped."""
    stage = Stage(manners=SILENT, listens=False)
    stage.say("a", 50)
    playback = stage.voice.playback
    playback.released = True
    taken = playback.next(stage.now)
    assert taken is not None
    playback.handed(taken, stage.now)
    in_hand = playback.next(stage.now)
    assert in_hand is not None
    cut = stage.cut()
    assert cut is not None
    playback.put_back(in_hand)
    playback.give_back(taken)
    stage.report(cut)
    stage.run_out()

    assert None is playback.next(stage.now)
    assert ["done a interrupted 50/0/0 clock"] == stage.log("utterance.done")


# --- what sounded when


def spoken(stage: Stage, ago_ms: int = 0) -> tuple[int, int] | None:
    """What sounded so long ago."""
    return stage.voice.playback.spoken_at(stage.now - ago_ms * MS)


def test_what_sounds_is_told_to_the_millisecond() -> None:
    """Number and offset come from the replica's start, for now and for a moment ago."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run(540)  # we hear of its start after 40

    assert (1, 500) == spoken(stage)
    assert (1, 250) == spoken(stage, 250)
    assert None is spoken(stage, 501)


def test_what_has_sounded_is_known_for_a_while() -> None:
    """A picture of the last word is labelled, also when its utterance is accounted for."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run(2000)

    assert "played" == stage.done("a").status
    assert None is spoken(stage)
    assert (1, 960) == spoken(stage, 1000)
    assert None is spoken(stage, 955)  # the closing silence is of no utterance


def test_utterances_in_a_row_follow_each_other() -> None:
    """Within one speech the number changes with the sample, and looking back is right."""
    stage = Stage()
    stage.say("a", 2000)
    stage.say("b", 500)
    stage.run(40 + 2020)

    assert "played" == stage.done("a").status
    assert [(2, 20), (2, 0), (1, 1990)] == [spoken(stage, ago) for ago in (0, 20, 30)]


def test_nothing_sounds_after_a_cut() -> None:
    """From the interrupt on the replica counts as silent; before it, it spoke."""
    stage = Stage()
    stage.say("a", 1000)
    stage.run(340)
    stage.interrupt()
    stage.run(60)

    assert None is spoken(stage)
    assert None is spoken(stage, 60)
    assert (1, 290) == spoken(stage, 70)


def test_silent_replica_is_taken_at_the_clock() -> None:
    """Who tells nothing is taken to speak in real time."""
    stage = Stage(manners=SILENT)
    stage.say("a", 1000)
    stage.run(400)

    assert (1, 400) == spoken(stage)
    assert None is Stage(manners=SILENT).voice.playback.spoken_at(0)


def test_pause_in_an_utterance_is_silence() -> None:
    """A replica that waits for late audio shows a resting face."""
    stage = Stage()
    stage.start("a")
    stage.audio(500)
    stage.run(1000)
    stage.audio(500)
    stage.run(300)

    assert (1, 500) < (spoken(stage) or (0, 0)) < (1, 800)
    assert None is spoken(stage, 400)
