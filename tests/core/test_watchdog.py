from __future__ import annotations

import pytest

from app.core.events import Stall
from app.core.pcm import Chunk, ms_to_samples
from app.core.watchdog import Watchdog

S = 1_000_000_000
MS = 1_000_000
PATIENCE = 10 * S

SPEECH, PICTURE = (Stall.SPEECH,), (Stall.PICTURE,)
NOTHING: tuple[Stall, ...] = ()


def watchdog() -> Watchdog:
    """One whose replica listens."""
    dog = Watchdog(PATIENCE)
    dog.listens(0, listens=True)
    return dog


def chunk(ms: int, *, sample: bytes = b"\x01\x00") -> Chunk:
    """Speech."""
    return Chunk(sample * ms_to_samples(ms), ms_to_samples(ms))


def say(dog: Watchdog, at: int, ms: int) -> None:
    """Hand over so much speech at once."""
    dog.handed(chunk(ms), at)


# --- speech -----------------------------------------------------------------------------------


def test_nothing_is_expected_of_who_got_nothing() -> None:
    """However long nobody speaks."""
    dog = watchdog()

    assert None is dog.next_deadline()
    assert NOTHING == dog.stalls(3600 * S)


def test_a_replica_that_says_nothing_is_reported_once() -> None:
    """N seconds after it had enough to begin with, and not again for what comes later."""
    dog = watchdog()
    say(dog, 1 * S, 1000)
    say(dog, 2 * S, 1000)

    assert 11 * S == dog.next_deadline()
    assert NOTHING == dog.stalls(11 * S - 1)
    assert SPEECH == dog.stalls(11 * S)
    assert None is dog.next_deadline()

    say(dog, 12 * S, 1000)

    assert None is dog.next_deadline()
    assert NOTHING == dog.stalls(60 * S)


def test_a_replica_that_recovers_may_be_reported_again() -> None:
    """Any word of its speech shows that it lives."""
    dog = watchdog()
    say(dog, 1 * S, 1000)
    first = dog.stalls(11 * S)
    dog.started(12 * S)
    dog.stopped()
    say(dog, 20 * S, 1000)

    assert SPEECH == first
    assert SPEECH == dog.stalls(30 * S)


def test_a_replica_may_begin_later_than_its_speech_lasts() -> None:
    """A word that lasts 200 ms is told of 3 s later; a second one waits behind it."""
    dog = watchdog()
    say(dog, 1 * S, 200)
    say(dog, 2 * S, 200)
    dog.started(4 * S)
    dog.stopped()
    dog.started(5 * S)
    dog.stopped()

    assert None is dog.next_deadline()


def test_less_than_a_pre_buffer_obliges_to_nothing() -> None:
    """Until more of it comes: then the time counts from there."""
    dog = watchdog()
    say(dog, 1 * S, 60)
    before = dog.next_deadline()
    say(dog, 30 * S, 60)

    assert None is before
    assert 40 * S == dog.next_deadline()


def test_silence_obliges_to_nothing() -> None:
    """A source that sends zeros all day, or the closing silence of an utterance."""
    dog = watchdog()
    dog.handed(chunk(5000, sample=b"\x00\x00"), 1 * S)

    assert None is dog.next_deadline()


def test_a_long_speech_is_told_of_once() -> None:
    """Between start and stop there is no sign, for minutes, and none is missed."""
    dog = watchdog()
    for at in range(0, 300, 2):
        say(dog, at * S, 2000)
        if not at:
            dog.started(600 * MS)

        assert None is dog.next_deadline()


def test_a_short_hole_in_a_speech_need_not_be_told() -> None:
    """A replica that began late is not dry yet; one whose hole is long must tell of going on."""
    dog = watchdog()
    say(dog, 0, 1000)
    dog.started(1 * S)
    say(dog, 2900 * MS, 1000)
    short = dog.next_deadline()
    say(dog, 6 * S, 1000)

    assert None is short
    assert 16 * S == dog.next_deadline()


def test_a_replica_that_freezes_while_it_speaks_is_reported_with_the_next_speech() -> None:
    """A stop that never comes may only be lost; a start that never follows is not."""
    dog = watchdog()
    say(dog, 0, 3000)
    dog.started(500 * MS)

    assert NOTHING == dog.stalls(60 * S)

    say(dog, 60 * S, 1000)

    assert SPEECH == dog.stalls(70 * S)


def test_a_start_may_be_heard_before_its_audio_is_known_to_be_taken() -> None:
    """The room's answers and the replica's words come on two ways."""
    dog = watchdog()
    dog.started(1 * S)
    say(dog, 1 * S + 1, 60_000)

    assert None is dog.next_deadline()


def test_what_waits_behind_other_speech_has_time_until_its_turn() -> None:
    """With ``BRIDGE_ECHO_OVERLAP=send`` it is handed over long before."""
    dog = watchdog()
    say(dog, 0, 8000)
    dog.started(100 * MS)
    dog.stopped()
    say(dog, 1 * S, 1000)

    assert 18 * S == dog.next_deadline()


def test_a_replica_that_omits_starts_has_time_until_its_stop() -> None:
    """Who has told a stop without a start is asked only when it should be through."""
    dog = watchdog()
    say(dog, 0, 1000)
    dog.stopped()
    say(dog, 10 * S, 60_000)

    assert 80 * S == dog.next_deadline()

    dog.stopped()

    assert None is dog.next_deadline()


# --- what excuses it --------------------------------------------------------------------------


def test_cut_audio_is_nothing_to_wait_for() -> None:
    """The stop that follows is the cut's; what comes next must be spoken."""
    dog = watchdog()
    say(dog, 0, 1000)
    dog.started(100 * MS)
    dog.cut()
    say(dog, 1 * S, 40)
    dog.stopped()
    before = dog.next_deadline()
    say(dog, 2 * S, 1000)

    assert None is before
    assert 12 * S == dog.next_deadline()

    dog.cut()

    assert None is dog.next_deadline()


def test_after_a_cut_an_old_word_is_not_believed() -> None:
    """A replica that was interrupted and told nothing of it is not speaking what comes next."""
    dog = watchdog()
    say(dog, 0, 8000)
    dog.started(100 * MS)
    dog.cut()
    say(dog, 1 * S, 1000)

    assert 11 * S == dog.next_deadline()


def test_a_cut_is_no_sign_of_life() -> None:
    """What was reported is not reported again, however often somebody barges in."""
    dog = watchdog()
    say(dog, 0, 1000)
    first = dog.stalls(10 * S)
    dog.cut()
    say(dog, 11 * S, 1000)

    assert SPEECH == first
    assert None is dog.next_deadline()


def test_a_pause_holds_all_expectations() -> None:
    """A replica may want more before it begins; afterwards the time counts anew."""
    dog = watchdog()
    say(dog, 0, 200)
    dog.pause()
    paused = dog.next_deadline()
    say(dog, 60 * S, 200)

    assert None is paused
    assert 70 * S == dog.next_deadline()


def test_a_replica_out_of_reach_is_not_waited_for() -> None:
    """What it told meanwhile was not heard: in a speech that goes on it is believed."""
    dog = watchdog()
    say(dog, 0, 3000)
    dog.listens(500 * MS, listens=False)
    away = dog.next_deadline()
    dog.listens(2 * S, listens=True)
    say(dog, 2 * S, 60_000)

    assert None is away
    assert None is dog.next_deadline()

    dog.stopped()
    say(dog, 80 * S, 1000)

    assert 90 * S == dog.next_deadline()


# --- a track ----------------------------------------------------------------------------------


def test_a_device_that_consumes_is_a_sign_on_a_track() -> None:
    """A replica that never tells of its speech is not dead while the track plays."""
    dog = watchdog()
    say(dog, 0, 200)
    dog.consumed()

    assert None is dog.next_deadline()

    say(dog, 1 * S, 120)

    assert SPEECH == dog.stalls(11 * S)


def test_a_device_proves_nothing_once_the_replica_has_told_of_itself() -> None:
    """Its silence means something then."""
    dog = watchdog()
    dog.started(0)
    dog.stopped()
    say(dog, 10 * S, 200)
    dog.consumed()

    assert 20 * S == dog.next_deadline()


# --- pictures ---------------------------------------------------------------------------------


def test_pictures_are_missed_only_while_somebody_watches() -> None:
    """And only from then on."""
    dog = watchdog()
    dog.picture(1 * S)
    unwatched = dog.next_deadline()
    dog.watching(5 * S, watched=True)
    dog.watching(6 * S, watched=True)
    watched = dog.next_deadline()
    dog.watching(7 * S, watched=False)

    assert None is unwatched
    assert 15 * S == watched
    assert None is dog.next_deadline()


def test_a_picture_that_stands_still_is_reported_once() -> None:
    """Again after it moved."""
    dog = watchdog()
    dog.watching(0, watched=True)
    dog.picture(1 * S)
    dog.picture(2 * S)

    assert NOTHING == dog.stalls(12 * S - 1)
    assert PICTURE == dog.stalls(12 * S)
    assert None is dog.next_deadline()

    dog.watching(13 * S, watched=False)
    dog.watching(14 * S, watched=True)

    assert None is dog.next_deadline()

    dog.picture(15 * S)

    assert PICTURE == dog.stalls(25 * S)


def test_no_pictures_come_from_a_replica_out_of_reach() -> None:
    """They are waited for from the moment it is back."""
    dog = Watchdog(PATIENCE)
    dog.watching(0, watched=True)
    before = dog.next_deadline()
    dog.listens(1 * S, listens=True)
    there = dog.next_deadline()
    dog.listens(2 * S, listens=False)
    dog.picture(3 * S)
    away = dog.next_deadline()
    dog.listens(20 * S, listens=True)
    dog.listens(25 * S, listens=True)

    assert [None, 11 * S, None] == [before, there, away]
    assert 30 * S == dog.next_deadline()


@pytest.mark.parametrize("first", [SPEECH, PICTURE])
def test_the_two_are_reported_apart(first: tuple[Stall, ...]) -> None:
    """A face that moves may be dumb, and one that stands still may be heard."""
    dog = watchdog()
    dog.watching(5 * S if first is SPEECH else 0, watched=True)
    say(dog, 0 if first is SPEECH else 5 * S, 1000)

    assert 10 * S == dog.next_deadline()
    assert first == dog.stalls(10 * S)
    assert 15 * S == dog.next_deadline()
    assert set(SPEECH + PICTURE) == {*first, *dog.stalls(15 * S)}
