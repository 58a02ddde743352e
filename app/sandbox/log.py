"""What reached and left a room, in order, and the audio that was really played in it. Bounded."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE

MAX_ENTRIES = 40_000
"""Entries a room keeps, about 20 minutes of speech without a break; the oldest go first."""

BLOCK_BYTES = SAMPLE_RATE * SAMPLE_BYTES
"""Audio is kept and forgotten in blocks of one second."""

SHELF_BYTES = 512 * 1024 * 1024
"""Audio that all rooms keep together, three hours; the oldest goes first, whosever it is."""


class RoomLog:
    """A room's entries; ``{"kind": "forgotten", "entries": n}`` stands for those left out."""

    def __init__(self) -> None:
        """Be empty."""
        self._entries: deque[tuple[int, str, dict[str, Any]]] = deque(maxlen=MAX_ENTRIES)
        self._written = 0

    def write(self, at: int, kind: str, **fields: Any) -> None:
        """Add an entry; fields that are None are left out."""
        self._written += 1
        self._entries.append((at, kind, fields))

    def entries(self) -> list[dict[str, Any]]:
        """All entries as ``GET .../log`` shows them: ``at_ns`` never goes back."""
        shown: list[dict[str, Any]] = []
        if self._written > len(self._entries):
            forgotten = self._written - len(self._entries)
            first = self._entries[0][0]
            shown.append({"at_ns": first, "kind": "forgotten", "entries": forgotten})
        for at, kind, fields in self._entries:
            given = {name: value for name, value in fields.items() if value is not None}
            shown.append({"at_ns": at, "kind": kind, **given})
        return shown


class Heard:
    """The audio one replica played, idle time left out."""

    def __init__(self, shelf: HeardShelf) -> None:
        """Have heard nothing."""
        self._shelf = shelf
        self._blocks: deque[bytearray] = deque()

    def write(self, pcm: bytes) -> None:
        """Add 24 kHz mono s16le audio."""
        view = memoryview(pcm)
        while view:
            if not self._blocks or len(self._blocks[-1]) == BLOCK_BYTES:
                self._blocks.append(bytearray())
                self._shelf.made(self)
            block = self._blocks[-1]
            room = BLOCK_BYTES - len(block)
            block += view[:room]
            view = view[room:]

    def forget_block(self) -> None:
        """Drop the oldest block."""
        self._blocks.popleft()

    def forget(self) -> None:
        """Drop everything."""
        self._blocks.clear()
        self._shelf.left(self)

    def wav(self) -> bytes:
        """All that is still kept, as a WAV file."""
        pcm = b"".join(self._blocks)
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", 36 + len(pcm), b"WAVE"),
            *(b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, 16),
            *(b"data", len(pcm)),
        )
        return header + pcm


class HeardShelf:
    """Bounds what all rooms remember of their audio."""

    def __init__(self, limit: int = SHELF_BYTES) -> None:
        """Keep at most ``limit`` bytes, in blocks of one second."""
        self._limit = limit // BLOCK_BYTES
        self._order: deque[Heard] = deque()

    def made(self, heard: Heard) -> None:
        """Count a new block of this room; the oldest block of all may go for it."""
        self._order.append(heard)
        if len(self._order) > self._limit:
            self._order.popleft().forget_block()

    def left(self, heard: Heard) -> None:
        """Count the blocks of this room no more."""
        self._order = deque(other for other in self._order if other is not heard)
