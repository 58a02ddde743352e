"""What reached and left a room, in order, and the audio that was really played in it. Bounded."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

import msgspec

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE

MAX_ENTRIES = 40_000
"""Entries a room keeps, about 20 minutes of speech without a break; the oldest go first."""

BLOCK_BYTES = SAMPLE_RATE * SAMPLE_BYTES
"""Audio is kept and forgotten in blocks of one second."""

SHELF_BYTES = 512 * 1024 * 1024
"""Audio that all rooms keep together, three hours; the oldest goes first, whosever it is."""


class RoomLog:
    """A room's entries, each kept as the JSON it will be shown as.

    So a log of any length is shown within a few milliseconds, which no other room notices.
    """

    def __init__(self) -> None:
        """Be empty."""
        self._entries: deque[bytes] = deque(maxlen=MAX_ENTRIES)
        self._written = 0

    def write(self, at: int, kind: str, **fields: Any) -> None:
        """Add an entry; fields that are None are left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        self._written += 1
        self._entries.append(msgspec.json.encode({"at_ns": at, "kind": kind, **given}))

    def json(self) -> bytes:
        """All entries as the array that ``GET .../log`` shows: ``at_ns`` never goes back.

        When the oldest were forgotten, ``{"kind": "forgotten", "entries": n}`` comes first.
        """
        forgotten = self._written - len(self._entries)
        note = [b'{"kind":"forgotten","entries":%d}' % forgotten] if forgotten else []
        return b"[%b]" % b",".join([*note, *self._entries])


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
        size = sum(map(len, self._blocks))
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", 36 + size, b"WAVE"),
            *(b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, 16),
            *(b"data", size),
        )
        return b"".join([header, *self._blocks])


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
