from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from msgspec.structs import replace

from app.core.hearing import Hearing
from app.core.media import Sound

START_US = 1_700_000_000_000_000


def click_at(second: float, rate: int, seconds: float = 1.0) -> bytes:
    """Silence with one click in it."""
    samples = np.zeros(int(rate * seconds), np.int16)
    samples[int(rate * second)] = 20_000
    return samples.astype("<i2").tobytes()


def pieces(pcm: bytes, rate: int, *, name: str | None = None) -> list[Sound]:
    """Cut sound into pieces of 20 ms, each with its time."""
    step = rate // 50
    return [
        Sound(pcm[2 * at : 2 * (at + step)], rate, START_US + at * 1_000_000 // rate, name)
        for at in range(0, len(pcm) // 2, step)
    ]


def test_equal_rate_passes_unchanged() -> None:
    """What needs no work is handed on as it is."""
    sound = Sound(b"\1\2", 24_000, 5)

    assert sound is Hearing(24_000).hear(sound)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_times_stay_with_their_samples(rate: int) -> None:
    """A click is heard when it was heard, to the sample, whatever the filter keeps back."""
    hearing = Hearing(rate)
    heard = [hearing.hear(piece) for piece in pieces(click_at(0.5, 24_000), 24_000, name="p-1")]
    loudest = max((each for each in heard if each), key=lambda each: peak(each)[1])
    place, _ = peak(loudest)

    assert START_US + 500_000 == pytest.approx(
        loudest.captured_us + place * 1_000_000 / rate, abs=1_000_000 / rate
    )
    assert ("p-1", rate) == (loudest.participant_id, loudest.sample_rate)


def test_pieces_follow_each_other_without_a_gap() -> None:
    """Each piece begins where the one before ended, to the microsecond or so."""
    hearing = Hearing(16_000)
    heard = [hearing.hear(piece) for piece in pieces(bytes(48_000), 24_000)]
    given = [each for each in heard if each]

    for before, after in pairwise(given):
        assert after.captured_us == pytest.approx(
            before.captured_us + len(before.pcm) // 2 * 1_000_000 / 16_000, abs=3
        )


def test_nothing_is_certain_at_first() -> None:
    """A filter that looks ahead gives nothing for the first samples."""
    assert Hearing(16_000).hear(Sound(bytes(20), 24_000, 0)) is None


def test_gap_begins_anew() -> None:
    """After lost sound the times are right again at once: nothing from before is mixed in."""
    hearing = Hearing(48_000)
    for piece in pieces(click_at(0.4, 24_000, 0.42), 24_000):
        hearing.hear(piece)
    later = START_US + 5_000_000
    heard = [
        hearing.hear(Sound(bytes(960), 24_000, later + number * 20_000)) for number in range(5)
    ]
    first = next(each for each in heard if each)

    assert later == first.captured_us
    assert {0} == {peak(each)[1] for each in heard if each}


def test_late_pieces_leave_no_gap() -> None:
    """What was late on its way sounds as if it had been in time."""
    signal = np.random.default_rng(4).integers(-9000, 9000, 24_000).astype("<i2").tobytes()
    in_time = pieces(signal, 24_000)
    late = [
        replace(piece, captured_us=piece.captured_us + 60_000 * (number % 4 == 0))
        for number, piece in enumerate(in_time)
    ]

    assert sounding(in_time) == sounding(late)


def sounding(sounds: Iterable[Sound]) -> bytes:
    """All that is heard of these pieces at 16 kHz."""
    hearing = Hearing(16_000)
    return b"".join(heard.pcm for sound in sounds if (heard := hearing.hear(sound)))


def test_source_may_change_its_rate() -> None:
    """A source with another rate is a new sound, and one that needs no work ends the old one."""
    hearing = Hearing(16_000)
    hearing.hear(Sound(bytes(960), 24_000, 0))
    hearing.hear(Sound(bytes(1920), 48_000, 20_000))
    plain = Sound(bytes(640), 16_000, 40_000)

    assert plain is hearing.hear(plain)
    again = hearing.hear(Sound(bytes(4800), 48_000, 60_000))
    assert again is not None
    assert 60_000 == again.captured_us


def peak(sound: Sound) -> tuple[int, int]:
    """Where a piece is loudest, and how loud."""
    samples = np.abs(np.frombuffer(sound.pcm, "<i2").astype(int))
    return int(samples.argmax()), int(samples.max())
