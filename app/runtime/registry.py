"""All sessions of this process: the living, the recently ended, and the Idempotency-Keys."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass
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
    TavusTimeout,
    TooManySessions,
)
from app.runtime.clock import NS_PER_S
from app.runtime.runner import Resources, Runner
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

END_DEADLINE_S = 5.0
"""How long closing waits for Tavus to confirm the last ends."""


@dataclass(slots=True)
class Attempt:
    """What became of the first request with an Idempotency-Key."""

    body_hash: str
    at: int
    session_id: str | None = None
    error: BridgeError | None = None
    """It may have been accepted by Tavus: a repeat could be billed twice."""


class Ended:
    """A session that is over: it can be looked at, and refuses everything else."""

    def __init__(self, view: SessionView) -> None:
        """Keep what it was."""
        self._view = view
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
        self._ended: OrderedDict[str, tuple[int, Ended]] = OrderedDict()
        self._keys: OrderedDict[tuple[str, str], Attempt] = OrderedDict()
        self._tasks = Tasks(self._on_task_error)
        self._connections = 0
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
        attempt = self._attempt(owner, key, body_hash)
        if attempt is not None and attempt.session_id is not None:
            return self.get(attempt.session_id), True
        if self.draining:
            raise Draining
        if len(self._live) >= self._res.settings.session_limit:
            limit = self._res.settings.session_limit
            raise TooManySessions(f"{limit} sessions are running, as many as may")
        session_id = f"sess_{secrets.token_hex(8)}"
        runner = Runner(session_id, spec, self._res, self._on_over)
        self._live[session_id] = runner
        if key is not None:
            attempt = Attempt(body_hash, self._clock.now())
            self._keys[owner, key] = attempt
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        started = asyncio.get_running_loop().create_future()
        work = self._start(runner, attempt, (owner, key or ""), started)
        self._tasks.spawn(f"{session_id} start", work)
        await asyncio.shield(started)
        return runner, False

    async def _start(
        self,
        runner: Runner,
        attempt: Attempt | None,
        slot: tuple[str, str],
        started: asyncio.Future[None],
    ) -> None:
        error: BridgeError | None = None
        try:
            await runner.start()
        except BridgeError as refused:
            error = refused
            self._live.pop(runner.session_id, None)
            self._tasks.spawn(f"{runner.session_id} close", runner.close())
        if attempt is not None:
            if error is None:
                attempt.session_id = runner.session_id
            elif isinstance(error, TavusTimeout):
                attempt.error = error
            else:
                self._keys.pop(slot, None)
        if started.cancelled():
            return
        if error is None:
            started.set_result(None)
        else:
            started.set_exception(error)

    def _attempt(self, owner: str, key: str | None, body_hash: str) -> Attempt | None:
        """The earlier request with this key, if it can be replayed."""
        oldest = self._clock.now() - KEY_NS
        while self._keys and next(iter(self._keys.values())).at < oldest:
            self._keys.popitem(last=False)
        attempt = self._keys.get((owner, key)) if key is not None else None
        if attempt is None:
            return None
        if attempt.body_hash != body_hash:
            raise IdempotencyConflict
        if attempt.error is not None:
            raise attempt.error
        if attempt.session_id is None:
            raise IdempotencyInProgress(retry_after_ms=1000)
        return attempt

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
        """Sessions, newest first, and where to go on. Raises ``InvalidRequest`` for a bad cursor."""
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
        deadline = self._clock.now() + int(grace_s * NS_PER_S)
        for runner in self.live():
            runner.tell_draining(int(grace_s * 1000))
        while self._clock.now() < deadline and any(
            runner.voice.is_active(self._clock.now()) for runner in self.live()
        ):
            await self._clock.sleep_until(min(deadline, self._clock.now() + NS_PER_S // 20))
        for runner in self.live():
            await runner.stop("drained")

    async def close(self) -> None:
        """End what lives, wait a while for Tavus to confirm, then let go of everything."""
        self.draining = True
        runners = self.live()
        for runner in runners:
            await runner.stop("drained")
        deadline = self._clock.now() + int(END_DEADLINE_S * NS_PER_S)
        while len(self._res.enders) and self._clock.now() < deadline:
            await self._clock.sleep_until(self._clock.now() + NS_PER_S // 100)
        if len(self._res.enders):
            log.error("%d conversations may still run at Tavus", len(self._res.enders))
        await self._res.enders.close()
        await self._tasks.close()
        for runner in runners:
            await runner.close()

    def _on_over(self, runner: Runner) -> None:
        if self._live.pop(runner.session_id, None) is None:
            return
        self._ended[runner.session_id] = (self._clock.now(), Ended(runner.view()))
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        if not self.draining:
            self._tasks.spawn(f"{runner.session_id} wind up", self._wind_up(runner))

    async def _wind_up(self, runner: Runner) -> None:
        await runner.gone.wait()
        await runner.close()

    def _forget(self) -> None:
        oldest = self._clock.now() - ENDED_NS
        while self._ended and next(iter(self._ended.values()))[0] < oldest:
            self._ended.popitem(last=False)

    def _on_task_error(self, name: str, error: BaseException) -> None:
        log.error("task %s died", name, exc_info=error)


def _place(view: SessionView) -> tuple[int, str]:
    """Where a session stands in the list."""
    return int(view.created_at.timestamp() * 1_000_000), view.session_id
