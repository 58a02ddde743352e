"""Any rate to 24 kHz, or another, in float32, and the one rounding to 16 bits behind it.

Only float32 streams of soxr are used: they give the same bits as one call over the whole signal,
however it is sliced, and exactly ``resampled_length`` samples (measured with soxr 1.1, all
qualities, 8 to 192 kHz). Its int16 streams dither, so their output depends on the slicing.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from app.core.pcm import SAMPLE_RATE

_NOTHING = np.empty(0, np.float32)
_NOTHING.flags.writeable = False

_ROUGH = 16
"""Samples: more than by how much blocks of one stream differ (measured: 9)."""

_AT_ONCE = 4
"""Up to this ratio of rates soxr works on all it was given; from higher ones it may leave a block
for the next call (measured: 60 ms at 176.4 kHz), so that what it keeps says nothing."""

_UNKNOWN = 1 << 62
"""More samples than any block has."""

_S16 = np.dtype("<i2")


def resampled_length(samples: int, rate: int) -> int:
    """Count the samples at 24 kHz that ``samples`` at ``rate`` Hz become: halves up, like soxr."""
    return (2 * samples * SAMPLE_RATE + rate) // (2 * rate)


def to_s16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round floats (full scale ±32768) to little-endian 16 bits: halves to even, overshoot clipped.

    Must not hold NaN.
    """
    rounded = np.rint(samples)
    rounded.clip(-32768, 32767, out=rounded)
    return rounded.astype(_S16)


class Resampler:
    """One continuous signal from ``rate`` Hertz to ``target``; an equal rate passes unchanged."""

    def __init__(self, rate: int, quality: str, target: int = SAMPLE_RATE) -> None:
        """Make one. ``quality`` is soxr's name: QQ, LQ, MQ, HQ or VHQ."""
        self._rate, self._target = rate, target
        self._stream = (
            None
            if rate == target
            else soxr.ResampleStream(rate, target, 1, dtype="float32", quality=quality)
        )
        # Input samples times ``target``, to compare exactly with output samples times ``rate``.
        self._inside = 0
        self._most_inside = 0
        """The most that it ever kept."""
        self._block = _UNKNOWN
        """The fewest samples that ever came out at once."""

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next samples; returns what is certain so far (with HQ up to 37 ms less)."""
        if self._stream is None:
            return samples
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples)
        made = len(resampled)
        inside = self._inside = self._inside + len(samples) * self._target - made * self._rate
        self._most_inside = max(self._most_inside, inside)
        if 0 < made < self._block:
            self._block = made
        return resampled

    def lacks(self, samples: int) -> int:
        """Count the samples without which ``samples`` more cannot come out; <= 0: perhaps none.

        soxr gives a block whenever a certain number of samples is inside, and nothing before that
        (libsoxr 0.1.3: whole DFT blocks). That number is more than what it was ever seen to keep,
        but for a rounding by less than a sample on either side.
        """
        if self._stream is None:
            return samples
        if self._rate > _AT_ONCE * self._target:
            return 0
        before = (samples - 1 - _ROUGH) // self._block * self._block
        needed = self._most_inside - self._target - self._rate + before * self._rate
        return -((self._inside - needed) // self._target)

    def flush(self) -> NDArray[np.float32]:
        """Return the tail. Call once, at the end of the signal."""
        if self._stream is None:
            return _NOTHING
        tail: NDArray[np.float32] = self._stream.resample_chunk(_NOTHING, last=True)
        return tail
