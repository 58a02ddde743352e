"""Which of the pictures that come are due, for one choice of ``max_fps``."""

from __future__ import annotations


class Pace:
    """Lets through at most ``max_fps`` pictures a second, evenly, by their capture times.

    A source of 25 pictures a second gives 10 when 10 are allowed, not the 8 that waiting a tenth of
    a second after each would leave. A quarter of the period is allowed for a source that trembles.
    """

    def __init__(self, max_fps: int) -> None:
        """Have let through nothing."""
        self._period_us = 1_000_000 // max_fps
        self._due_us: int | None = None

    def admits(self, captured_us: int) -> bool:
        """Whether a picture of this time is due; then the next one is due a period later."""
        due_us = self._due_us
        if due_us is None or abs(captured_us - due_us) > 2 * self._period_us:
            due_us = captured_us  # the first, after a pause, or by a clock that was set
        if captured_us < due_us - self._period_us // 4:
            return False
        self._due_us = due_us + self._period_us
        return True
