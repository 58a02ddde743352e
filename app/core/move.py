"""The move from one conversation's replica to the next one's: when, so that no word is lost.

At first it waits for a pause in speech, from ``latest`` on for nothing. Then the replica is handed
no more than the end of what it has, and when it has said that, it is time. Should nobody tell that
it has, it is time shortly before Tavus ends the conversation.
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

    def __init__(self, playback: Playback, *, now: int, ends_at: int, lead_ms: int) -> None:
        """Plan it for a conversation that Tavus ends at ``ends_at``."""
        self._playback = playback
        self._end = max(now, ends_at - LAST_NS)
        lead_ns = samples_to_ns(ms_to_samples(lead_ms))
        self.latest = max(now, ends_at - lead_ns - MARGIN_NS)
        """When it waits for a pause no longer."""
        self._earliest = min(now + NOTICE_NS, self.latest)

    def tick(self, now: int, *, at_rest: bool) -> bool:
        """Whether it is time; ``at_rest``: nothing is on its way to the room, nor back from it."""
        playback = self._playback
        if not playback.draining:
            pauses = now >= self._earliest and playback.pauses(now)
            playback.draining = pauses or now >= self.latest
        if not playback.draining:
            return False
        rests_at = playback.rests_at()
        has_said_all = at_rest and rests_at is not None and rests_at <= now
        return has_said_all or now >= self._end

    def next_deadline(self, now: int) -> int:
        """When ``tick`` may have something to say although nothing happened, in ns."""
        playback = self._playback
        if playback.draining:
            at, else_at = playback.rests_at() or 0, self._end
        else:
            at, else_at = max(self._earliest, playback.silent_at()), self.latest
        return at if now < at < else_at else else_at
