"""A planned end that is announced 60 s and 10 s ahead."""

from __future__ import annotations

NOTICES_NS = (60_000_000_000, 10_000_000_000)
"""How long before the end it is announced, the longest first."""


class Countdown:
    """Runs for ``duration`` ns; ``restart`` puts the end off."""

    def __init__(self, duration: int, now: int) -> None:
        """Start counting at ``now``."""
        self._duration = duration
        self.restart(now)

    def restart(self, now: int) -> None:
        """Count anew from ``now``; notices are given anew, too."""
        self.began = now
        self.end = now + self._duration
        self._notices = [at for at in NOTICES_NS if at < self._duration]

    def next_deadline(self) -> int:
        """When there is something to announce, or the end, in ns."""
        return self.end - self._notices[0] if self._notices else self.end

    def notice(self, now: int) -> int | None:
        """The ns left, when an announcement is due at ``now``; each is due once."""
        due = [at for at in self._notices if self.end - at <= now]
        if not due or now >= self.end:
            return None
        self._notices = [at for at in self._notices if at not in due]
        return self.end - now
