"""Where a real-time player is, told by the clock alone."""

from __future__ import annotations

from app.core.pcm import ns_to_samples, samples_to_ns


class Playhead:
    """A player that gets samples in bursts and plays them in real time.

    It starts once ``prebuffer`` samples wait (or the end was announced) and plays at 24 kHz until
    it runs dry; then it waits for its pre-buffer again. A late call catches up, since the position
    comes from the anchor; a dry player re-anchors to the moment it starts anew.
    """

    def __init__(self, prebuffer: int = 0) -> None:
        """Make one that holds nothing. ``prebuffer`` is in samples."""
        self._prebuffer = prebuffer
        self._anchor: int | None = None
        self._base = 0
        self._dry_at = 0
        """When it last ran dry, in ns; 0: nothing was played yet."""
        self._closed = False
        self.handed = 0
        """Samples given to the player so far."""

    def hand(self, samples: int, now: int) -> None:
        """Give ``samples`` to the player at ``now``."""
        self._catch_up(now)
        self.handed += samples
        self._start(now)

    def take_back(self, samples: int) -> None:
        """The player did not get ``samples`` after all: what it was taken to play was not these."""
        self.handed -= samples
        self._base = min(self._base, self.handed)

    def close(self, now: int) -> None:
        """Announce that nothing follows: what waits plays without a full pre-buffer."""
        self._closed = True
        self._catch_up(now)
        self._start(now)

    def reopen(self) -> None:
        """Take the announcement back: more follows after all."""
        self._closed = False

    def at(self, now: int) -> int:
        """Samples played at ``now``."""
        if self._anchor is None:
            return self._base
        return min(self.handed, self._base + ns_to_samples(max(0, now - self._anchor)))

    def began_before(self, at: int) -> bool:
        """Whether it plays, and since before ``at``."""
        return self._anchor is not None and self._anchor < at

    def ahead(self, now: int) -> int:
        """Samples the player still holds at ``now``."""
        return self.handed - self.at(now)

    def reaches(self, position: int) -> int | None:
        """When ``position`` is played, in ns; None when the player waits for more first.

        For what was played before the player last ran dry, that moment.
        """
        if position <= self._base:
            return self._dry_at
        if self._anchor is None or position > self.handed:
            return None
        return self._anchor + samples_to_ns(position - self._base)

    def _catch_up(self, now: int) -> None:
        if self._anchor is None:
            return
        if ns_to_samples(now - self._anchor) >= self.handed - self._base:
            self._dry_at = self._anchor + samples_to_ns(self.handed - self._base)
            self._anchor, self._base = None, self.handed

    def _start(self, now: int) -> None:
        waiting = self.handed - self._base
        if self._anchor is None and waiting and (self._closed or waiting >= self._prebuffer):
            self._anchor = now
