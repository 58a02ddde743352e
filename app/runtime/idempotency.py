"""Idempotency-Keys: what became of the first request with each, so that none is billed twice.

A key is on disk with the intent of its conversation, before Tavus is asked (``Journal.intend``);
what the create came to, before that is answered. After a restart a key leads to the session as it
was; where nobody knows what Tavus made of the request, to ``TavusTimeout``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from app.core import snapshot
from app.core.spec import SessionView, Status
from app.errors import (
    BridgeError,
    IdempotencyConflict,
    IdempotencyInProgress,
    Internal,
    NotReady,
    TavusError,
    TavusTimeout,
)
from app.runtime.clock import NS_PER_S, Clock
from app.runtime.ended import Ended
from app.runtime.journal import KEEP_MS, Claim, Journal, JournalFailed
from app.runtime.runner import Runner
from app.runtime.tasks import Tasks

log = logging.getLogger(__name__)

KEEP_NS = KEEP_MS * NS_PER_S // 1000
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

    claim: Claim
    session_id: str
    at: int
    session: Runner | Ended | None = None
    """What it came to; None while Tavus has not answered."""
    error: BridgeError | None = None
    """Why it came to nothing that can be used, though Tavus may have accepted it."""
    kept: bytes | None = None
    """The session it came to in an earlier process."""
    noting: asyncio.Task[None] | None = None
    """Writes down what it came to."""


class IdempotencyKeys:
    """All keys of the last 24 hours."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        """Know none; see ``restore``."""
        self._clock = clock
        self._journal = journal
        self._attempts: OrderedDict[Slot, Attempt] = OrderedDict()
        self._began_at = clock.wall()
        self._tasks = Tasks(_report)

    async def restore(self) -> None:
        """Take over the keys of earlier processes. Raises ``JournalFailed``."""
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        for key in await self._journal.keys(wall_ms, MAX_KEYS):
            age_ms = max(0, wall_ms - key.claimed_ms)  # the wall clock may have been put back
            attempt = Attempt(key.claim, key.session_id, now - age_ms * NS_PER_S // 1000)
            if key.answer is None:
                attempt.error = TavusTimeout("The service was interrupted before Tavus answered")
            attempt.kept = key.answer
            self._attempts[_slot(key.claim)] = attempt

    def replay(self, claim: Claim) -> Runner | Ended | None:
        """What the first request with this key came to; None when this is the first.

        Raises ``IdempotencyConflict`` for another body, ``IdempotencyInProgress``, and again what
        the first one failed of when Tavus may have accepted it.
        """
        attempt = self._attempts.get(_slot(claim))
        if attempt is None or attempt.at <= self._clock.now() - KEEP_NS:
            return None
        if attempt.claim.body_hash != claim.body_hash:
            raise IdempotencyConflict
        if attempt.error is not None:
            raise attempt.error.copy()
        if attempt.kept is not None:
            return Ended(self._interrupted(snapshot.read(attempt.kept)))
        if attempt.session is None:
            raise IdempotencyInProgress(retry_after_ms=RETRY_AFTER_MS)
        return attempt.session

    def claim(self, claim: Claim, session_id: str) -> Attempt:
        """Begin the first request with a key. It is written down with its conversation's intent."""
        now = self._clock.now()
        attempt = Attempt(claim, session_id, now)
        slot = _slot(claim)
        self._attempts.pop(slot, None)  # an old one, whose place in the line is too far ahead
        self._attempts[slot] = attempt
        while len(self._attempts) > MAX_KEYS or self._oldest().at <= now - KEEP_NS:
            self._attempts.popitem(last=False)
        return attempt

    def fulfil(self, attempt: Attempt, session: Runner | Ended) -> None:
        """The request came to this session; told again when the session has ended."""
        attempt.session = session
        answer = snapshot.write(session.view())
        self._note(attempt, self._journal.answer(attempt.session_id, answer))

    def refuse(self, attempt: Attempt, error: BridgeError) -> None:
        """The request failed: its key is free again where Tavus cannot have accepted it."""
        if isinstance(error, TavusTimeout) or not isinstance(error, TavusError | NotReady):
            attempt.error = error
            return
        self._attempts.pop(_slot(attempt.claim), None)
        self._note(attempt, self._journal.free(attempt.session_id))

    async def noted(self, attempt: Attempt) -> None:
        """Return when what it came to is written down, or could not be."""
        if attempt.noting is not None:
            await asyncio.wait({attempt.noting})

    async def close(self) -> None:
        """Return when all is written down."""
        await self._tasks.finish()

    def _note(self, attempt: Attempt, write: Coroutine[Any, Any, None]) -> None:
        async def note() -> None:
            try:
                await write
            except JournalFailed:
                log.exception("%s: its Idempotency-Key is not noted", attempt.session_id)

        attempt.noting = self._tasks.spawn(f"{attempt.session_id} note its key", note())

    def _interrupted(self, view: SessionView) -> SessionView:
        """What a session shows whose process died: nobody saw its end."""
        if view.ended_at is not None:
            return view
        return replace(
            view,
            status=Status.FAILED,
            ended_at=self._began_at,
            end_reason="internal",
            error=Internal("The service was interrupted while the session ran"),
        )

    def _oldest(self) -> Attempt:
        return next(iter(self._attempts.values()))


def _slot(claim: Claim) -> Slot:
    return claim.owner, claim.key


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
