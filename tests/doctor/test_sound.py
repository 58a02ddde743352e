from __future__ import annotations

import numpy as np

from app.doctor.sound import LOUDNESS, hum


def test_hum_is_as_long_as_asked_and_bearable() -> None:
    """24 kHz mono s16le, plain to hear but not loud, with the beat of syllables."""
    pcm = np.frombuffer(hum(2), "<i2").astype(int)
    quarters = np.abs(pcm).reshape(-1, 1500).max(axis=1)  # of a syllable

    assert 48_000 == len(pcm)
    assert LOUDNESS / 2 < np.abs(pcm).max() <= LOUDNESS
    assert 8 == np.count_nonzero(
        (quarters[1:-1] > quarters[:-2]) & (quarters[1:-1] >= quarters[2:])
    )
