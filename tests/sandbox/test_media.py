from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from app.core.pcm import ns_to_samples
from app.sandbox.media import NOTHING, Piece, Wants
from tests.support.sandbox import Stage, Watcher, echo_message

MS = 1_000_000
ALL = Wants(video=True, audio=True, people=True)


def stage_with_replica(**faults: Any) -> Stage:
    """A room in which the replica has been for 100 ms."""
    stage = Stage(replica_join_ms=0, **faults)
    stage.wait(100)
    return stage


def voice(samples: int) -> bytes:
    """Loud audio of which every stretch can be told from every other."""
    return np.random.default_rng(1).integers(-20_000, 20_000, samples, "<i2").tobytes()


def test_a_resting_replica_is_seen_and_heard() -> None:
    """25 pictures a second, and silence without a gap."""
    stage = stage_with_replica()

    watcher = stage.watch(ALL)
    stage.wait(1000)

    assert 25 == len(watcher.sights)
    assert bytes(48_000) == watcher.sound()
    assert {20 * MS} == {later.at - earlier.at for earlier, later in pairwise(watcher.pieces)}
    assert {40 * MS} == {later.at - earlier.at for earlier, later in pairwise(watcher.sights)}
    assert {(0, 0)} == {
        (sight.expression.played, sight.expression.mouth) for sight in watcher.sights
    }


def test_watching_changes_nothing() -> None:
    """What is heard is what was played, sample for sample; the recording is as it would be."""
    stage = stage_with_replica()
    watcher = stage.watch(ALL)
    said = voice(7200)

    for part in (said[:4800], said[4800:9600], said[9600:]):
        stage.send(echo_message(part))
        stage.wait(73)
    stage.wait(4000)

    assert said == watcher.sound().strip(b"\0")
    assert said == stage.room.wav()[44:]
    assert 7200 == sum(entry["samples"] for entry in stage.log("played"))


def heard_by(watcher: Watcher, at: int, said: bytes) -> int:
    """The place in ``said`` of the sample that sounded at a moment, by what was heard."""
    begins = watcher.pieces[0].at
    sound = np.frombuffer(watcher.sound(), "<i2").astype(np.float64)
    here = ns_to_samples(at - begins)
    window = sound[here - 200 : here]
    return int(np.argmax(np.correlate(np.frombuffer(said, "<i2") * 1.0, window))) + 200


def test_a_picture_shows_the_sample_that_sounds() -> None:
    """By its count, at every moment of an utterance, also after an interrupt."""
    stage = stage_with_replica()
    watcher = stage.watch(ALL)
    said = voice(24_000)

    stage.wait(33)
    stage.send(echo_message(said[:24_000]))
    stage.wait(307)
    stage.send('{"event_type": "conversation.interrupt"}')
    played = len(stage.room.wav()[44:]) // 2
    stage.wait(50)
    stage.send(echo_message(said[24_000:], inference_id="u2"))
    stage.wait(1000)
    heard = stage.room.wav()[44:]
    during = [sight for sight in watcher.sights if 400 < sight.expression.played < 19_000]
    speaking = [sight for sight in during if abs(sight.expression.played - played) > 300]
    offsets = [heard_by(watcher, sight.at, heard) - sight.expression.played for sight in speaking]

    assert len(speaking) > 10
    assert {-1} >= set(offsets) - {0}
    assert watcher.sights[-1].expression.played == len(heard) // 2


def test_the_mouth_moves_with_the_sound() -> None:
    """It rests before and after."""
    stage = stage_with_replica()
    watcher = stage.watch(ALL)

    stage.wait(200)
    stage.send(echo_message(voice(12_000), done=True))
    stage.wait(1500)
    mouths = [sight.expression.mouth for sight in watcher.sights]

    assert [0] * 5 == mouths[:5]
    assert min(mouths[6:16]) > 3
    assert [0] * 10 == mouths[-10:]


def test_only_what_is_wanted_comes() -> None:
    """It can be changed at any time; the last wish counts."""
    stage = stage_with_replica()

    eyes, ears, nobody = (
        stage.watch(wants) for wants in (Wants(video=True), Wants(audio=True), NOTHING)
    )
    stage.wait(100)
    stage.room.watch(eyes, Wants(audio=True))
    stage.room.watch_no_more(ears)
    stage.wait(100)

    assert (2, 5) == (len(eyes.sights), len(eyes.pieces))
    assert (0, 5) == (len(ears.sights), len(ears.pieces))
    assert (0, 0) == (len(nobody.sights), len(nobody.pieces))


def test_a_room_that_nobody_watches_is_still() -> None:
    """Nothing is due for it; who comes later gets nothing of before."""
    stage = stage_with_replica()
    watcher = stage.watch(ALL)

    stage.wait(100)
    stage.room.watch_no_more(watcher)
    stage.wait(40)
    due = stage.room.agenda.next_deadline() or 0
    quiet = due - stage.clock.now()
    stage.send(echo_message(voice(12_000), done=True))
    stage.wait(200)
    late = stage.watch(ALL)
    stage.wait(400)

    assert quiet > 1000 * MS
    assert voice(12_000)[9600:] == late.sound().strip(b"\0")


def test_nothing_is_seen_or_heard_of_a_replica_that_is_away() -> None:
    """Until it comes, and after it has left; then the sound goes on."""
    stage = Stage(replica_join_ms=500, replica_leave_after_ms=200, replica_rejoin_after_ms=300)

    watcher = stage.watch(ALL)
    stage.wait(480)
    early = (len(watcher.sights), len(watcher.pieces))
    stage.wait(120)
    stage.send(echo_message(voice(12_000)))
    stage.wait(900)
    gaps = [later.at - earlier.at for earlier, later in pairwise(watcher.pieces)]

    assert (0, 0) == early
    assert 1 == len([gap for gap in gaps if gap != 20 * MS])
    assert 280 * MS < max(gaps) < 340 * MS
    assert 17 == len(watcher.sights)


@pytest.mark.parametrize(("lasts", "pictures"), [(None, 12), (400, 28)])
def test_video_can_stall_while_sound_goes_on(lasts: int | None, pictures: int) -> None:
    """For a while, or for good."""
    stage = Stage(replica_join_ms=0, video_stalls_after_ms=500, video_stalls_ms=lasts)

    watcher = stage.watch(ALL)
    stage.wait(1500)

    assert abs(pictures - len(watcher.sights)) <= 1
    assert 74 <= len(watcher.pieces) <= 75


def test_people_are_heard_by_those_who_want_it() -> None:
    """With who spoke, and when."""
    stage = stage_with_replica()
    all_ears, deaf = stage.watch(Wants(people=True)), stage.watch(Wants(video=True, audio=True))

    stage.room.speak(stage.me, bytes(1920), 48_000)
    now = stage.clock.now()

    assert [Piece(now - 20 * MS, bytes(1920), 48_000, stage.me.participant_id)] == all_ears.pieces
    assert [] == deaf.pieces


def test_the_end_closes_every_eye() -> None:
    """Also of who comes after it."""
    stage = stage_with_replica()
    watcher = stage.watch(ALL)

    stage.room.end("over")
    late = stage.watch(ALL)
    stage.wait(1000)

    assert watcher.closed
    assert late.closed
    assert [] == watcher.sights


def test_a_late_clock_loses_no_sound() -> None:
    """All of it comes, in order, when the process was held up."""
    stage = stage_with_replica()
    watcher = stage.watch(ALL)
    said = voice(12_000)

    stage.send(echo_message(said))
    stage.room.advance(stage.clock.now() + 400 * MS)
    stage.wait(600)

    assert said == watcher.sound().strip(b"\0")
