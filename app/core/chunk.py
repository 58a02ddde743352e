"""Cut 24 kHz samples into the pieces one message or one audio frame carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.pcm import SAMPLE_BYTES, Chunk


@dataclass(frozen=True, slots=True)
class Framing:
    """How long the chunks of an utterance are, in samples at 24 kHz."""

    first: int
    """Length of the utterance's first chunk."""
    rest: int
    """Length of every later one."""
    pad: bool = False
    """Whether the last chunk is filled up with silence, or may be shorter."""
    waits: bool = True
    """Whether a later chunk waits until it is full, or for no more than ``first`` samples."""


ECHO = Framing(first=240, rest=960)
"""App messages: 10 ms first, so that speech starts early, then 40 ms (2560 characters of base64,
which leaves room for the envelope in the 4096 bytes Daily allows)."""

ECHO_AT_ONCE = Framing(first=240, rest=960, waits=False)
"""The same for the least delay. Where it is cut depends on how the input was; no sample does."""

TRACK = Framing(first=480, rest=480, pad=True)
"""Whole 20 ms frames, because an audio device takes no other."""


class Chunker:
    """Chunks of one utterance at a time; where the input was cut makes no difference.

    Unless a chunk does not wait: then it makes one to their lengths.
    """

    def __init__(self, framing: Framing) -> None:
        """Make an empty one."""
        self._framing = framing
        self._size = framing.first
        self._held = b""

    def push(self, samples: NDArray[np.int16]) -> list[Chunk]:
        """Take contiguous little-endian samples; returns the chunks that wait for no more."""
        held = self._held + samples.data
        chunks: list[Chunk] = []
        start, size = 0, self._size
        while (end := start + size * SAMPLE_BYTES) <= len(held):
            chunks.append(Chunk(held[start:end], size))
            start, size = end, self._framing.rest
        if not self._framing.waits:
            left = (len(held) - start) // SAMPLE_BYTES
            if left >= self._framing.first:
                chunks.append(Chunk(held[start:], left))
                start = len(held)
        self._held, self._size = held[start:], size
        return chunks

    @property
    def missing(self) -> int:
        """Samples without which ``push`` returns nothing."""
        size = self._size if self._framing.waits else self._framing.first
        return size - len(self._held) // SAMPLE_BYTES

    def flush(self) -> list[Chunk]:
        """Return what is left, padded if the framing says so, and be ready for a new utterance."""
        samples = len(self._held) // SAMPLE_BYTES
        silence = self._size - samples if self._framing.pad else 0
        pcm = self._held + bytes(silence * SAMPLE_BYTES)
        self.clear()
        return [Chunk(pcm, samples, silence)] if samples else []

    def clear(self) -> None:
        """Drop what is held; the next chunk is a first one again."""
        self._held = b""
        self._size = self._framing.first
