"""What reaches a sink and when: rows in a file that another process reads at any time.

A row is 16 bytes: the time of the monotonic clock in ns, which all processes of a machine share,
then session, kind and value in one word. The file is preallocated, so a row costs two stores.
"""

from __future__ import annotations

import mmap
import time
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS = 4_000_000
"""More than ten minutes of 250 sessions; the file is sparse."""

_WORDS = 2
_SESSION, _KIND = 40, 32
"""Where in the second word they begin; the value is below."""


class Kind(IntEnum):
    """What a row tells; its value is in brackets."""

    AUDIO = 1
    """Audio was handed over (samples at 24 kHz)."""
    CUT = 2
    """The sink was told to stop."""
    READ = 3
    """The service got an interrupt from its connection."""
    LATE = 4
    """The event loop was late for a timer (µs)."""


class Recorder:
    """Writes the rows of one process. A full file is an IndexError: the run is lost."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        with path.open("w+b") as file:
            file.truncate(ROWS * _WORDS * 8)
            self._words = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        self._next = 0

    def note(self, session: int, kind: int, value: int = 0) -> None:
        """Add a row."""
        at = self._next
        self._next = at + _WORDS
        self._words[at + 1] = session << _SESSION | kind << _KIND | value
        self._words[at] = time.monotonic_ns()


class Record:
    """Reads the rows of another process."""

    def __init__(self, path: Path) -> None:
        """Open the file of a ``Recorder``."""
        self._words = np.memmap(path, np.int64, mode="r").reshape(-1, _WORDS)

    def rows(self, since: int = 0, until: int | None = None) -> Rows:
        """What was recorded from ``since`` on and before ``until``, ns."""
        times = self._words[:, 0]
        count = _filled(times)
        first = int(np.searchsorted(times[:count], since))
        last = count if until is None else int(np.searchsorted(times[:count], until))
        return Rows(np.array(self._words[first:last]))

    def heard(self, session: int, since: int) -> int:
        """Samples handed over for a session from ``since`` on."""
        rows = self.rows(since)
        return int(rows.value[(rows.kind == Kind.AUDIO) & (rows.session == session)].sum())


def _filled(times: NDArray[np.int64]) -> int:
    """Rows that are written: the others have no time. Does not touch what was never written."""
    low, high = 0, len(times)
    while low < high:
        middle = (low + high) // 2
        if times[middle]:
            low = middle + 1
        else:
            high = middle
    return low


class Rows:
    """Columns of a part of a record, in the order of time."""

    def __init__(self, words: NDArray[np.int64]) -> None:
        """Take rows as they are in the file."""
        self.time = words[:, 0]
        self.session = words[:, 1] >> _SESSION
        self.kind = words[:, 1] >> _KIND & 0xFF
        self.value = words[:, 1] & 0xFFFFFFFF

    def of(self, kind: Kind) -> Rows:
        """Only the rows of one kind."""
        return self.where(self.kind == kind)

    def of_session(self, session: int) -> Rows:
        """Only the rows of one session."""
        return self.where(self.session == session)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Only some of the rows."""
        some = object.__new__(Rows)
        some.time, some.session = self.time[mask], self.session[mask]
        some.kind, some.value = self.kind[mask], self.value[mask]
        return some
