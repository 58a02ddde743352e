"""All sessions of this process: the living, those Tavus has yet to end, and the recently ended."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections import OrderedDict

from app.core.spec import SessionSpec, SessionView, Status
from app.errors import (
    BridgeError,
    Draining,
    InvalidRequest,
    SessionNotFound,
    SessionOver,
    TooManySessions,
)
from app.runtime.clock import NS_PER_S, deadline
from app.runtime.ended import Ended
from app.runtime.idempotency import Attempt, IdempotencyKeys
from app.runtime.journal import Claim
from app.runtime.resources import Resources
from app.runtime.runner import Runner
from app.runtime.tasks import Tasks

log = logging.getLogger(__name__)

ENDED_NS = 3600 * NS_PER_S
"""How long an ended session stays readable."""

MAX_ENDED = 1000
"""How many ended sessions stay readable."""

END_NS = 4 * NS_PER_S
"""How long the end of the process waits for Tavus to confirm the last ends."""

PEEK_NS = NS_PER_S // 20
"""How often a drain looks whether the replicas have finished."""

AnySession = Runner | Ended


class Registry:
    """The sessions of one process."""

    def __init__(self, resources: Resources) -> None:
        """Make an empty one."""
        self._res = resources
        self._clock = resources.clock
        self._live: dict[str, Runner] = {}
        self._fading: dict[str, Runner] = {}
        """Over for their clients; Tavus has yet to confirm it."""
        self._ended: OrderedDict[str, tuple[int, Ended]] = OrderedDict()
        self._keys = IdempotencyKeys(resources.clock, resources.journal)
        self._attempts: dict[str, Attempt] = {}
        """Of the sessions that were made with a key, until they have faded."""
        self._tasks = Tasks(_report)
        self._connections = 0
        self._end_by: int | None = None
        self.draining = False

    def next_connection(self) -> int:
        """A number for a new stream connection."""
        self._connections += 1
        return self._connections

    async def restore(self) -> None:
        """Take over what earlier processes left, before the first ``create``.

        Their conversations end behind everybody's back. Raises ``JournalFailed``.
        """
        await self._keys.restore()
        await self._res.bills.recover()

    # --- sessions

    async def create(
        self, spec: SessionSpec, *, owner: str, key: str | None, body_hash: str
    ) -> tuple[AnySession, bool]:
        """Start a session; goes on when the caller goes away. The bool: it is a replay.

        Raises ``Draining``, ``TooManySessions``, ``IdempotencyConflict``,
        ``IdempotencyInProgress``, ``NotReady``, and what Tavus answered.
        """
        claim = None if key is None else Claim(owner, key, body_hash)
        replayed = None if claim is None else self._keys.replay(claim)
        if replayed is not None:
            return replayed, True
        if self.draining:
            raise Draining
        limit = self._res.settings.session_limit
        if len(self._live) >= limit:
            raise TooManySessions(f"{limit} sessions are running, as many as may")
        session_id = f"sess_{secrets.token_hex(8)}"
        runner = Runner(
            session_id,
            spec,
            self._res,
            claim=claim,
            on_created=self._on_created,
            on_over=self._on_over,
        )
        self._live[session_id] = runner
        attempt = None if claim is None else self._keys.claim(claim, session_id)
        if attempt is not None:
            self._attempts[session_id] = attempt
        runner.start()
        await runner.wait_created()
        if attempt is not None:
            await self._keys.noted(attempt)
        return runner, False

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
        views.sort(key=_place, reverse=True)
        if cursor is not None:
            after = _read_cursor(cursor)
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
                log.error(
                    "%s: its conversation may still run at Tavus; the next start ends it",
                    session_id,
                )
            await runner.close()
        await self._keys.close()

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
                await self._res.bills.settled()

    # --- what runners tell

    def _on_created(self, runner: Runner, refusal: BridgeError | None) -> None:
        """Tavus has answered."""
        attempt = self._attempts.get(runner.session_id)
        if attempt is None:
            return
        if refusal is not None:
            self._keys.refuse(attempt, refusal)
        elif attempt.session is None:  # else it is over already
            self._keys.fulfil(attempt, runner)

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
            self._keys.fulfil(self._attempts[session_id], ended)

    async def _wind_up(self, runner: Runner) -> None:
        await runner.gone.wait()
        await runner.close()
        del self._fading[runner.session_id]
        self._attempts.pop(runner.session_id, None)

    def _forget(self) -> None:
        oldest = self._clock.now() - ENDED_NS
        while self._ended and next(iter(self._ended.values()))[0] <= oldest:
            self._ended.popitem(last=False)


def _place(view: SessionView) -> tuple[int, str]:
    """Where a session stands in the list."""
    return int(view.created_at.timestamp() * 1_000_000), view.session_id


def _read_cursor(cursor: str) -> tuple[int, str]:
    try:
        time_us, session_id = cursor.split(".", 1)
        return int(time_us), session_id
    except ValueError:
        raise InvalidRequest("cursor is not one of ours", fields=(("cursor", "unknown"),)) from None


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
