"""Another machine's capture times on our clock."""

from __future__ import annotations

SKEW_US = 100_000
"""Two clocks that differ by less are taken for one: what is between them is the way here."""


class MediaClock:
    """Maps capture times to the clock by which they were received.

    On one machine they stay as they are. From another one whose clock differs, the quickest message
    so far tells the difference: right but for the time that one took.
    """

    def __init__(self) -> None:
        """Have heard nothing."""
        self._least_us: int | None = None

    def map(self, captured_us: int, received_us: int) -> int:
        """Return the capture time on our clock; both are Unix microseconds."""
        took_us = received_us - captured_us
        if self._least_us is None or took_us < self._least_us:
            self._least_us = took_us
        if abs(self._least_us) <= SKEW_US:
            return captured_us
        return captured_us + self._least_us
