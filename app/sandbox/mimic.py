"""The face's play: a mouth that follows the sound, brows that follow the voice, a blink. Pure."""

from __future__ import annotations

import math

import numpy as np

from app.sandbox.face import BROWS, LIDS, MOUTHS, Expression

QUIET_DB, LOUD_DB = -42.0, -8.0
"""Loudness of 20 ms, against full scale, at which the mouth begins to open and is wide open."""

OPENS, CLOSES = 0.7, 0.35
"""How much of the way to its new place the mouth goes in 20 ms."""

BROWS_FOLLOW = 0.06

BLINK_EVERY_NS = 3_700_000_000
BLINK = (1, 3, 3, 2, 1)
"""Lids, 40 ms each."""
BLINK_STEP_NS = 40_000_000


class Mimic:
    """Turns pieces of sound into expressions."""

    def __init__(self) -> None:
        """Be at rest."""
        self._mouth = 0.0
        self._brows = 0.0

    def hear(self, pcm: bytes) -> None:
        """Move for 20 ms of s16le sound."""
        loud = _loudness(pcm)
        self._mouth += (loud - self._mouth) * (OPENS if loud > self._mouth else CLOSES)
        self._brows += (loud - self._brows) * BROWS_FOLLOW

    def expression(self, at: int, played: int) -> Expression:
        """The face at a moment (ns) by which so many samples have sounded."""
        step = at % BLINK_EVERY_NS // BLINK_STEP_NS
        return Expression(
            mouth=round(self._mouth * (MOUTHS - 1)),
            lids=min(BLINK[step], LIDS - 1) if step < len(BLINK) else 0,
            brows=min(round(self._brows * BROWS), BROWS - 1),
            played=played,
        )


def _loudness(pcm: bytes) -> float:
    """From 0, quiet, to 1, loud."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    power = float(np.dot(samples, samples)) / max(1, len(samples))
    if power < 1:
        return 0.0
    decibel = 10 * math.log10(power / 32768**2)
    return min(1.0, max(0.0, (decibel - QUIET_DB) / (LOUD_DB - QUIET_DB)))
