"""The move from one conversation's replica to the next one's: when, so that no word is lost.

As soon as the next one is ready it waits for a pause in speech, from ``latest`` on for nothing.
Then the replica is handed no more than the end of what it has, and when it has said that, it is
time. Should nobody tell that it has, it is time shortly before Tavus ends the conversation.

A next one that is late finds everything held that this replica could not have said in time.
"""

from __future__ import annotations

from app.core.pcm import ms_to_samples, samples_to_ns
from app.core.playback import Playback

NOTICE_NS = 5_000_000_000
"""How long people have to join the next room, once they are told of it, if there is so much."""

MARGIN_NS = 2_500_000_000
"""For what a replica needs to be done with all that it was handed, beyond the audio itself."""

LAST_NS = 500_000_000
"""How long before Tavus ends the conversation it is left, come what may."""


class Move:
    """Times are ns. Call ``tick`` whenever something happened, and at ``next_deadline``."""

    def __init__(self, playback: Playback, *, ends_at: int, lead_ms: int) -> None:
        """Plan it for a conversation that Tavus ends at ``ends_at``."""
        self._playback = playback
        self._end = ends_at - LAST_NS
        self._earliest: int | None = None
        """None while there is nowhere to go."""
        self.latest = ends_at - samples_to_ns(ms_to_samples(lead_ms)) - MARGIN_NS
        """When it waits for a pause no longer."""

    def allow(self, now: int) -> None:
        """The next replica is ready."""
        self._earliest = min(now + NOTICE_NS, max(now, self.latest))

    def forbid(self, now: int) -> None:
        """It is not, after all: this one goes on, as long as it can."""
        self._earliest = None
        self._playback.draining = now >= self.latest

    def tick(self, now: int, *, at_rest: bool) -> bool:
        """Whether it is time; ``at_rest``: nothing is on its way to the room, nor back from it."""
        playback, earliest = self._playback, self._earliest
        if not playback.draining:
            pauses = earliest is not None and now >= earliest and playback.pauses(now)
            playback.draining = pauses or now >= self.latest
        if not playback.draining or earliest is None:
            return False
        rests_at = playback.rests_at()
        has_said_all = at_rest and rests_at is not None and rests_at <= now
        return has_said_all or now >= self._end

    def next_deadline(self, now: int) -> int | None:
        """When ``tick`` may have something to say although nothing happened, in ns."""
        playback, earliest = self._playback, self._earliest
        if earliest is None:
            return None if playback.draining else self.latest
        if playback.draining:
            at, else_at = playback.rests_at() or 0, self._end
        else:
            at, else_at = max(earliest, playback.silent_at()), self.latest
        return at if now < at < else_at else else_at
