from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from app.core.barge_in import MAX_PEOPLE, BargeIn
from app.core.media import Sound
from tests.support.speech import Signal, clicks, speech, tone

RATE = 48_000
NEED_MS = 200
TEXT = "Wait a moment, could you say that again, please?"


def pieces(signal: Signal, rate: int = RATE, start_us: int = 0, late_us: int = 0) -> list[Sound]:
    """Cut a signal into pieces of 20 ms, every third of which came ``late_us`` later."""
    pcm = (signal[:, 0].clip(-1, 1) * 32767).astype("<i2")
    size = rate // 50
    return [
        Sound(
            pcm[at : at + size].tobytes(),
            rate,
            start_us + number * 20_000 + late_us * (number % 3 == 0),
            "alice",
        )
        for number, at in enumerate(range(0, len(pcm), size))
    ]


def cuts(people: BargeIn, sounds: list[Sound], who: str = "alice", *, on: bool = True) -> list[int]:
    """Let somebody be heard; returns when that cut, in ms of what was said."""
    heard = [people.hear(who, sound, playing=on) for sound in sounds]
    return [20 * number for number, has_cut in enumerate(heard, 1) if has_cut]


def silence(ms: int, rate: int = RATE) -> Signal:
    """Return the noise of a quiet microphone."""
    return np.random.default_rng(1).normal(0, 0.0005, (rate * ms // 1000, 1)).astype(np.float32)


def noise(level: float) -> Signal:
    """Return three seconds of hiss."""
    return np.random.default_rng(2).normal(0, level, (3 * RATE, 1)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("level", [1, 0.1])
def test_speech_cuts_soon_and_once(rate: int, level: float) -> None:
    """Loud or quiet, at whatever rate a microphone has, whatever the network does to it."""
    people = BargeIn(NEED_MS)
    said = np.concatenate((silence(500, rate), level * speech(TEXT, rate), silence(300, rate)))
    (at,) = cuts(people, pieces(said, rate, late_us=40_000))

    assert NEED_MS < at - 500 < 700


@pytest.mark.parametrize(
    "sound",
    [
        clicks(4000, RATE),
        noise(0.02),
        noise(0.3),
        tone(50, 3000, RATE),
        tone(1000, 3000, RATE),
        silence(3000),
    ],
    ids=["keys", "hiss", "loud hiss", "hum", "beep", "silence"],
)
def test_what_is_no_voice_does_not_cut(sound: Signal) -> None:
    """Only voices do."""
    assert [] == cuts(BargeIn(NEED_MS), pieces(sound))


def test_silent_replica_is_not_cut() -> None:
    """Nothing happens while it does not speak."""
    assert [] == cuts(BargeIn(NEED_MS), pieces(speech(TEXT, RATE)), on=False)


def test_each_person_has_turns_of_their_own() -> None:
    """What two people say does not add up, and each can cut."""
    said = pieces(speech(TEXT, RATE))
    alone = cuts(BargeIn(NEED_MS), said)
    people = BargeIn(NEED_MS)
    who_cut = [
        name
        for sound in said
        for name in ("alice", "bob")
        if people.hear(name, sound, playing=True)
    ]

    assert 1 == len(alone)
    assert ["alice", "bob"] == who_cut


def test_microphone_off_and_on_is_another_turn() -> None:
    """Who switched off between two sentences has paused, though nothing said so."""
    people = BargeIn(NEED_MS)
    first = cuts(people, pieces(speech(TEXT, RATE)))
    after = cuts(people, pieces(speech(TEXT, RATE), start_us=10_000_000))

    assert first == after


def test_lost_sound_within_a_turn_does_not_end_it() -> None:
    """A few hundred milliseconds that never came are no pause."""
    said = pieces(speech(TEXT, RATE))
    at = next(n for n, sound in enumerate(said) if sound.captured_us >= 1_200_000)

    assert 1 == len(cuts(BargeIn(NEED_MS), said[:at] + said[at + 15 :]))


def test_first_moment_may_be_too_short_to_tell() -> None:
    """A piece of which the filter gives nothing yet cuts nothing."""
    assert not BargeIn(50).hear("alice", Sound(bytes(20), RATE, 0), playing=True)


def test_only_so_many_are_remembered() -> None:
    """A newcomer takes the place of whoever was not heard for longest, whose turn is forgotten."""
    said = pieces(speech(TEXT, RATE))
    people = BargeIn(NEED_MS)
    heard = [cuts(people, said, f"p{number}") for number in range(MAX_PEOPLE + 1)]
    known = cuts(people, said, f"p{MAX_PEOPLE}")
    forgotten = cuts(people, said, "p0")

    assert all(one == other for one, other in pairwise(heard))
    assert heard[0] == forgotten
    assert known != forgotten
