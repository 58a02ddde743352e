"""One source's sound at the rate that a viewer chose, with its capture times."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from app.core.media import Sound
from app.core.resample import Resampler, to_s16

QUALITY = "HQ"
"""soxr's name; keeps back up to 37 ms, of which the capture times tell nothing."""

GAP_US = 100_000
"""A piece farther than this from where the one before ended begins the sound anew: some is missing.

Less is taken for a piece that was late on its way, since the capture time of what people say is
that of its receipt.
"""


class Hearing:
    """Resamples one continuous sound; at an equal rate it passes unchanged."""

    def __init__(self, rate: int) -> None:
        """Make one that gives ``rate`` Hertz."""
        self._rate = rate
        self._source = 0
        self._resampler: Resampler | None = None
        self._taken = 0
        """Samples taken since the sound began, at the source's rate."""
        self._given = 0
        """Samples given since then, at ours."""
        self._end_us = 0
        """When the last piece ended."""

    def hear(self, sound: Sound) -> Sound | None:
        """Take the next piece; returns what is certain so far, None when that is nothing."""
        if sound.sample_rate == self._rate:
            self._resampler = None
            return sound
        gap_us = abs(sound.captured_us - self._end_us)
        if self._resampler is None or sound.sample_rate != self._source or gap_us > GAP_US:
            self._source = sound.sample_rate
            self._resampler = Resampler(self._source, QUALITY, self._rate)
            self._taken = self._given = 0
        samples = np.frombuffer(sound.pcm, "<i2").astype(np.float32)
        resampled = to_s16(self._resampler.push(samples))
        # The next sample out belongs to this moment of what went in.
        ahead_us = self._given * 1_000_000 // self._rate - self._taken * 1_000_000 // self._source
        captured_us = sound.captured_us + ahead_us
        self._taken += samples.size
        self._given += resampled.size
        self._end_us = sound.captured_us + samples.size * 1_000_000 // self._source
        if not resampled.size:
            return None
        return replace(
            sound, pcm=resampled.tobytes(), sample_rate=self._rate, captured_us=captured_us
        )
