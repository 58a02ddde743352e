"""A sound that passes for speech: a hum with the pitch of a voice and the beat of syllables."""

from __future__ import annotations

import numpy as np

from app.core.pcm import SAMPLE_RATE

PITCH_HZ = 140.0
SYLLABLES_HZ = 4.0
"""Usual rates of a voice."""

LOUDNESS = 6000
"""Peak of 32767: plain to hear, no fright."""


def hum(seconds: float) -> bytes:
    """Make 24 kHz mono s16le that swells and fades like syllables."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = sum(np.sin(2 * np.pi * PITCH_HZ * n * at) / n for n in range(1, 12))
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * SYLLABLES_HZ * at)
    shaped = np.clip(voice / 2 * swell, -1, 1) * LOUDNESS
    return np.rint(shaped).astype("<i2").tobytes()
