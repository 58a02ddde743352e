"""All sessions of this process: the living, the recently ended, and the Idempotency-Keys."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from app.core.spec import SessionSpec, SessionView, Status
from app.core.wire_out import InterruptAccepted
from app.errors import (
    BridgeError,
    Draining,
    IdempotencyConflict,
    IdempotencyInProgress,
    InvalidRequest,
    SessionNotFound,
    SessionOver,
    TavusError,
    TavusTimeout,
    TooManySessions,
)
from app.runtime.clock import NS_PER_S, deadline
from app.runtime.resources import Resources
from app.runtime.runner import Runner
from app.runtime.tasks import Tasks

log = logging.getLogger(__name__)

ENDED_NS = 3600 * NS_PER_S
"""How long an ended session stays readable."""

MAX_ENDED = 1000
"""How many ended sessions stay readable."""

KEY_NS = 24 * 3600 * NS_PER_S
"""How long an Idempotency-Key is kept."""

MAX_KEYS = 100_000
"""How many Idempotency-Keys are kept; the oldest go first."""

END_NS = 4 * NS_PER_S
"""How long the end of the process waits for Tavus to confirm the last ends."""

PEEK_NS = NS_PER_S // 20
"""How often a drain looks whether the replicas have finished."""


@dataclass(slots=True)
class Attempt:
    """What became of the first request with an Idempotency-Key."""

    slot: tuple[str, str]
    """Whose key, and the key."""
    body_hash: str
    at: int
    session: AnySession | None = None
    """What it came to; None while Tavus has not answered."""
    error: BridgeError | None = None
    """Why it came to nothing that can be used, though Tavus may have accepted it."""


class Ended:
    """A session that is over: it can be looked at, and refuses everything else."""

    def __init__(self, view: SessionView) -> None:
        """Keep what it was, but not the body it was asked for with: that may be large."""
        self._view = replace(view, spec=replace(view.spec, conversation={}))
        self.session_id = view.session_id

    def view(self) -> SessionView:
        """The session as it was at its end."""
        return self._view

    def touch(self) -> None:
        """Do nothing: it cannot be idle."""

    async def wait_ready(self) -> None:
        """Raise ``SessionOver``."""
        raise SessionOver

    async def interrupt(
        self,
        *,
        request_id: str | None = None,  # noqa: ARG002  # a Runner takes them
        utterance_id: str | None = None,  # noqa: ARG002
        reason: str | None = None,  # noqa: ARG002
    ) -> InterruptAccepted:
        """Raise ``SessionOver``."""
        raise SessionOver

    async def interact(self, event_type: str, properties: dict[str, Any]) -> None:  # noqa: ARG002
        """Raise ``SessionOver``."""
        raise SessionOver

    async def stop(self, reason: str) -> None:
        """Do nothing: it has ended."""


AnySession = Runner | Ended


class Registry:
    """The sessions of one process."""

    def __init__(self, resources: Resources) -> None:
        """Make an empty one."""
        self._res = resources
        self._clock = resources.clock
        self._live: dict[str, Runner] = {}
        self._fading: dict[str, Runner] = {}
        """Ended for their clients; Tavus has not confirmed it."""
        self._ended: OrderedDict[str, tuple[int, Ended]] = OrderedDict()
        self._keys: OrderedDict[tuple[str, str], Attempt] = OrderedDict()
        self._attempts: dict[str, Attempt] = {}
        """Of the living sessions that were made with a key."""
        self._tasks = Tasks(_report)
        self._connections = 0
        self._end_by: int | None = None
        self.draining = False

    def next_connection(self) -> int:
        """A number for a new stream connection."""
        self._connections += 1
        return self._connections

    # --- sessions

    async def create(
        self, spec: SessionSpec, *, owner: str, key: str | None, body_hash: str
    ) -> tuple[AnySession, bool]:
        """Start a session; goes on when the caller goes away. The bool: it is a replay.

        Raises ``Draining``, ``TooManySessions``, ``IdempotencyConflict``,
        ``IdempotencyInProgress``, and what Tavus answered.
        """
        slot = None if key is None else (owner, key)
        replayed = self._replay(slot, body_hash)
        if replayed is not None:
            return replayed, True
        if self.draining:
            raise Draining
        limit = self._res.settings.session_limit
        if len(self._live) >= limit:
            raise TooManySessions(f"{limit} sessions are running, as many as may")
        session_id = f"sess_{secrets.token_hex(8)}"
        runner = Runner(
            session_id, spec, self._res, on_created=self._on_created, on_over=self._on_over
        )
        self._live[session_id] = runner
        if slot is not None:
            self._attempts[session_id] = self._keys[slot] = Attempt(
                slot, body_hash, self._clock.now()
            )
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        runner.start()
        await runner.wait_created()
        return runner, False

    def _replay(self, slot: tuple[str, str] | None, body_hash: str) -> AnySession | None:
        """What an earlier request with this key came to."""
        oldest = self._clock.now() - KEY_NS
        while self._keys and next(iter(self._keys.values())).at <= oldest:
            self._keys.popitem(last=False)
        attempt = self._keys.get(slot) if slot is not None else None
        if attempt is None:
            return None
        if attempt.body_hash != body_hash:
            raise IdempotencyConflict
        if attempt.error is not None:
            raise attempt.error.copy()
        if attempt.session is None:
            raise IdempotencyInProgress(retry_after_ms=1000)
        return attempt.session

    def _on_created(self, runner: Runner, refusal: BridgeError | None) -> None:
        """Tavus has answered: the key stands for the session, for an error, or for nothing."""
        attempt = self._attempts.get(runner.session_id)
        if attempt is None:
            return
        if refusal is None:
            attempt.session = attempt.session or runner  # it may be over already
        elif isinstance(refusal, TavusError) and not isinstance(refusal, TavusTimeout):
            self._keys.pop(attempt.slot, None)
        else:
            # Tavus may have accepted it: a repeat could be billed twice.
            attempt.error = refusal

    def get(self, session_id: str) -> AnySession:
        """Find a session, also an ended one. Raises ``SessionNotFound``."""
        self._forget()
        runner = self._live.get(session_id)
        if runner is not None:
            return runner
        ended = self._ended.get(session_id)
        if ended is None:
            raise SessionNotFound
        return ended[1]

    def runner(self, session_id: str) -> Runner:
        """A living session. Raises ``SessionNotFound`` and ``SessionOver``."""
        session = self.get(session_id)
        if isinstance(session, Ended):
            raise SessionOver
        return session

    def page(
        self, *, status: Status | None, limit: int, cursor: str | None
    ) -> tuple[list[SessionView], str | None]:
        """Sessions, newest first, and where to go on. Raises ``InvalidRequest``: no such cursor."""
        self._forget()
        views = [ended.view() for _, ended in self._ended.values()]
        views += [runner.view() for runner in self._live.values()]
        views.sort(key=lambda view: (view.created_at, view.session_id), reverse=True)
        if cursor is not None:
            try:
                time_us, session_id = cursor.split(".", 1)
                after = (int(time_us), session_id)
            except ValueError:
                raise InvalidRequest("cursor is not one of ours") from None
            views = [view for view in views if _place(view) < after]
        if status is not None:
            views = [view for view in views if view.status is status]
        page = views[:limit]
        if len(views) <= limit:
            return page, None
        return page, "{}.{}".format(*_place(page[-1]))

    def live(self) -> list[Runner]:
        """The sessions that have not ended."""
        return list(self._live.values())

    # --- the end

    async def drain(self, grace_s: float) -> None:
        """Take no new sessions, tell every client, let the replicas finish, end everything."""
        self.draining = True
        end = self._clock.now() + int(grace_s * NS_PER_S)
        for runner in self.live():
            runner.tell_draining(int(grace_s * 1000))
        while (now := self._clock.now()) < end and any(
            runner.speaker.voice.is_active(now) for runner in self.live()
        ):
            await self._clock.sleep_until(min(end, now + PEEK_NS))
        await self._end_all()

    async def close(self) -> None:
        """End what lives, wait a while for Tavus to confirm, then let go of everything."""
        self.draining = True
        await self._end_all()
        await self._tasks.close()
        for session_id, runner in self._fading.items():
            if not runner.gone.is_set():
                log.error("%s: its conversation may still run at Tavus", session_id)
            await runner.close()

    async def _end_all(self) -> None:
        """End all sessions; returns when Tavus has confirmed, or has had its time."""
        if self._end_by is None:
            self._end_by = self._clock.now() + END_NS
        for runner in self.live():
            await runner.stop("drained")
        with contextlib.suppress(TimeoutError):
            async with deadline(self._clock, self._end_by):
                for runner in tuple(self._fading.values()):
                    await runner.gone.wait()

    def _on_over(self, runner: Runner) -> None:
        """A session has ended for its clients; what it was stays to be looked at."""
        session_id = runner.session_id
        del self._live[session_id]
        self._fading[session_id] = runner
        self._tasks.spawn(f"{session_id} wind up", self._wind_up(runner))
        if runner.refused:
            return  # nobody knows it: its caller got the error
        ended = Ended(runner.view())
        self._ended[session_id] = (self._clock.now(), ended)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        if session_id in self._attempts:
            self._attempts[session_id].session = ended

    async def _wind_up(self, runner: Runner) -> None:
        await runner.gone.wait()
        await runner.close()
        del self._fading[runner.session_id]
        self._attempts.pop(runner.session_id, None)

    def _forget(self) -> None:
        oldest = self._clock.now() - ENDED_NS
        while self._ended and next(iter(self._ended.values()))[0] < oldest:
            self._ended.popitem(last=False)


def _place(view: SessionView) -> tuple[int, str]:
    """Where a session stands in the list."""
    return int(view.created_at.timestamp() * 1_000_000), view.session_id


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
