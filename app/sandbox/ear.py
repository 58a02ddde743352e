"""What sounds in a room, without a gap: pieces of 20 ms, silence included. Pure."""

from __future__ import annotations

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE
from app.sandbox.facts import Sound

PIECE = 480
"""Samples of a piece: 20 ms."""

PIECE_NS = 20_000_000

SECOND = 1_000_000_000


class Ear:
    """Puts what the replica said on a grid of samples that begins when listening does."""

    def __init__(self, begins: int) -> None:
        """Listen from this moment on, monotonic ns."""
        self._begins = begins
        self._pieces = 0
        self._over = bytes(SAMPLE_BYTES)
        """The first sample of the next piece."""

    def piece(self, sounds: list[Sound]) -> bytes:
        """The next 20 ms, 24 kHz mono s16le; ``sounds`` is what has come in them."""
        grid = bytearray(self._over + bytes(PIECE * SAMPLE_BYTES))
        for sound in sounds:
            # Everything stands less than a sample late. So what has just begun to sound never
            # belongs into the piece before, and at most one sample into the one after.
            began = (sound.began - self._begins) * SAMPLE_RATE // SECOND + 1
            at = (began + sound.offset - self._pieces * PIECE) * SAMPLE_BYTES
            grid[at : at + len(sound.pcm)] = sound.pcm
        self._pieces += 1
        self._over = bytes(grid[PIECE * SAMPLE_BYTES :])
        return bytes(grid[: PIECE * SAMPLE_BYTES])
