"""The audio device behind a participant's track, pure: pulls frame after frame in real time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.core.pcm import SAMPLE_BYTES, samples_to_ns

MAX_FRAMES = 50
"""Frames waiting, one second; who sends more does not listen to ``consumed``."""


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms of track audio, or whatever the client made a frame of."""

    epoch: int
    silence: int
    """Samples of padding at the end."""
    pcm: bytes

    @property
    def length(self) -> int:
        """Samples, padding included."""
        return len(self.pcm) // SAMPLE_BYTES


class Device:
    """Begins each frame when the one before it is over, and can drop those not begun."""

    def __init__(self, drift_ppm: int = 0) -> None:
        """Have nothing to play. The clock runs ``drift_ppm`` millionths too slow."""
        self._drift_ppm = drift_ppm
        self.begun = 0
        """Samples begun since joining, padding included."""
        self._epoch = 0
        self._waiting: deque[tuple[int, Frame]] = deque()
        self._current: tuple[int, Frame] | None = None
        """When the frame that is playing ends, and the frame."""

    def write(self, now: int, frame: Frame) -> bool:
        """Take a frame; False when its epoch was cleared, or when far too many wait."""
        if frame.epoch < self._epoch or len(self._waiting) >= MAX_FRAMES:
            return False
        self._waiting.append((now, frame))
        return True

    def clear(self, epoch: int) -> int:
        """Drop the frames not begun and refuse older epochs; returns samples begun so far."""
        self._epoch = max(self._epoch, epoch)
        self._waiting = deque(item for item in self._waiting if item[1].epoch >= self._epoch)
        return self.begun

    def next_deadline(self) -> int | None:
        """When a frame ends or begins; None while there is nothing to play."""
        if self._current is not None:
            return self._current[0]
        return self._waiting[0][0] if self._waiting else None

    def step(self, at: int) -> tuple[Frame | None, Frame | None]:
        """The frame that ends at ``at`` and the one that begins then; only for the deadline."""
        ended = None
        if self._current is not None:
            ended = self._current[1]
            self._current = None
        begun = None
        if self._waiting and self._waiting[0][0] <= at:
            _, begun = self._waiting.popleft()
            self.begun += begun.length
            lasts = samples_to_ns(begun.length)
            self._current = (at + lasts + lasts * self._drift_ppm // 1_000_000, begun)
        return ended, begun
