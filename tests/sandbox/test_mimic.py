from __future__ import annotations

import numpy as np
import pytest

from app.sandbox.face import BROWS, LIDS, MOUTHS, Expression
from app.sandbox.mimic import BLINK_EVERY_NS, Mimic

AWAKE = 1_000_000_000
"""A moment without a blink."""


def tone(level: float) -> bytes:
    """20 ms of sound; ``level`` is its peak against full scale."""
    return (np.sin(np.arange(480) / 5) * 32767 * level).astype("<i2").tobytes()


def mouth(mimic: Mimic) -> int:
    """How far the mouth is open."""
    return mimic.expression(AWAKE, 0).mouth


def test_a_silent_face_rests() -> None:
    """Also in the noise of a quiet microphone, and in a piece without a sample."""
    mimic = Mimic()

    for pcm in (b"", bytes(960), tone(0.002)) * 50:
        mimic.hear(pcm)

    assert Expression(played=7) == mimic.expression(AWAKE, 7)


def test_the_mouth_is_as_open_as_the_sound_is_loud() -> None:
    """From closed to wide open."""
    opened = []
    for level in (0.0, 0.03, 0.1, 0.2, 0.9):
        mimic = Mimic()
        for _ in range(10):
            mimic.hear(tone(level))
        opened.append(mouth(mimic))

    assert opened == sorted(set(opened))
    assert (0, MOUTHS - 1) == (opened[0], opened[-1])


def test_the_mouth_opens_at_once_and_closes_softly() -> None:
    """Most of the way within 40 ms; shut within 200 ms of silence."""
    mimic = Mimic()

    mimic.hear(tone(0.9))
    mimic.hear(tone(0.9))
    opened = mouth(mimic)
    closing = []
    for _ in range(10):
        mimic.hear(bytes(960))
        closing.append(mouth(mimic))

    assert opened >= MOUTHS - 2
    assert closing == sorted(closing, reverse=True)
    assert 0 < closing[0] < opened
    assert 0 == closing[-1]


def test_brows_follow_the_voice_and_not_the_syllable() -> None:
    """One loud piece does not raise them; a second of speech does."""
    mimic = Mimic()

    mimic.hear(tone(0.9))
    early = mimic.expression(AWAKE, 0).brows
    for _ in range(50):
        mimic.hear(tone(0.9))

    assert 0 == early
    assert BROWS - 1 == mimic.expression(AWAKE, 0).brows


@pytest.mark.parametrize("blink", [0, 1, 500])
def test_it_blinks(blink: int) -> None:
    """For a fifth of a second, and then not for seconds."""
    lids = [
        Mimic().expression(blink * BLINK_EVERY_NS + step * 40_000_000, 0).lids for step in range(90)
    ]

    assert LIDS - 1 == max(lids[:5])
    assert {0} == set(lids[5:])
