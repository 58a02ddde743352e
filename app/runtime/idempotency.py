"""Idempotency-Keys: what became of the first request with each, so that none is billed twice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from app.errors import (
    BridgeError,
    IdempotencyConflict,
    IdempotencyInProgress,
    TavusError,
    TavusTimeout,
)
from app.runtime.clock import NS_PER_S, Clock
from app.runtime.ended import Ended
from app.runtime.runner import Runner

KEEP_NS = 24 * 3600 * NS_PER_S
"""How long a key is kept."""

MAX_KEYS = 100_000
"""How many keys are kept; the oldest go first."""

RETRY_AFTER_MS = 1000
"""When to ask again for a session that is being created."""

Slot = tuple[str, str]
"""Whose key, and the key."""


@dataclass(slots=True, eq=False)
class Attempt:
    """The first request with a key."""

    slot: Slot
    body_hash: str
    at: int
    session: Runner | Ended | None = None
    """What it came to; None while Tavus has not answered."""
    error: BridgeError | None = None
    """Why it came to nothing that can be used, though Tavus may have accepted it."""


class IdempotencyKeys:
    """All keys of the last 24 hours."""

    def __init__(self, clock: Clock) -> None:
        """Know none."""
        self._clock = clock
        self._attempts: OrderedDict[Slot, Attempt] = OrderedDict()

    def replay(self, slot: Slot, body_hash: str) -> Runner | Ended | None:
        """What the first request with this key came to; None when this is the first.

        Raises ``IdempotencyConflict`` for another body, ``IdempotencyInProgress``, and again what
        the first one failed of when Tavus may have accepted it.
        """
        attempt = self._attempts.get(slot)
        if attempt is None or attempt.at <= self._clock.now() - KEEP_NS:
            return None
        if attempt.body_hash != body_hash:
            raise IdempotencyConflict
        if attempt.error is not None:
            raise attempt.error.copy()
        if attempt.session is None:
            raise IdempotencyInProgress(retry_after_ms=RETRY_AFTER_MS)
        return attempt.session

    def claim(self, slot: Slot, body_hash: str) -> Attempt:
        """Begin the first request with a key."""
        now = self._clock.now()
        attempt = Attempt(slot, body_hash, now)
        self._attempts.pop(slot, None)  # an old one, whose place in the line is too far ahead
        self._attempts[slot] = attempt
        while len(self._attempts) > MAX_KEYS or self._oldest().at <= now - KEEP_NS:
            self._attempts.popitem(last=False)
        return attempt

    def refuse(self, attempt: Attempt, error: BridgeError) -> None:
        """The request failed: its key is free again where Tavus cannot have accepted it."""
        if isinstance(error, TavusError) and not isinstance(error, TavusTimeout):
            self._attempts.pop(attempt.slot, None)
        else:
            attempt.error = error

    def _oldest(self) -> Attempt:
        return next(iter(self._attempts.values()))
