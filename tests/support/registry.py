"""Sessions without rooms or audio, for the HTTP edge: they keep state and fail on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.spec import SessionSpec, SessionView, Status
from app.core.tavus import interaction_message
from app.core.wire_out import CutUtterance, InterruptAccepted
from app.errors import (
    BridgeError,
    IdempotencyConflict,
    InvalidRequest,
    SessionNotFound,
    SessionOver,
)

CREATED_AT = datetime(2026, 11, 22, 8, 53, tzinfo=UTC)


class FakeRunner:
    """One session that becomes ready when told to."""

    def __init__(self, session_id: str, spec: SessionSpec) -> None:
        self.session_id = session_id
        self.touched = 0
        self.interrupts: list[dict[str, str | None]] = []
        self.messages: list[str] = []
        self.callbacks: list[dict[str, Any]] = []
        self.turn = asyncio.Event()
        """Fires when the session is no longer starting."""
        self.waited = asyncio.Event()
        """Fires when somebody waits for the session to be ready."""
        self.failure: BridgeError | None = None
        self._view = SessionView(
            session_id=session_id,
            status=Status.STARTING,
            room="sandbox",
            spec=spec,
            created_at=CREATED_AT,
            expires_at=CREATED_AT + timedelta(seconds=spec.max_duration_s),
            conversation_id="c000001",
            conversation_url="https://tavus.daily.co/c000001",
        )

    def view(self) -> SessionView:
        return self._view

    def touch(self) -> None:
        self.touched += 1

    def set(self, **changes: Any) -> None:
        """Change what the session shows of itself."""
        self._view = replace(self._view, **changes)

    def ready(self) -> None:
        """Let the replica join."""
        self.set(status=Status.READY, ready_at=CREATED_AT + timedelta(seconds=2))
        self.turn.set()

    def fail(self, error: BridgeError) -> None:
        """Let the session fail before it is ready."""
        self.set(status=Status.FAILED, ended_at=CREATED_AT, end_reason=error.code, error=error)
        self.failure = error
        self.turn.set()

    async def wait_ready(self) -> None:
        self.waited.set()
        await self.turn.wait()
        if self.failure is not None:
            raise self.failure

    async def interrupt(
        self,
        *,
        request_id: str | None = None,
        utterance_id: str | None = None,
        reason: str | None = None,
    ) -> InterruptAccepted:
        self._must_run()
        self.interrupts.append({"id": request_id, "utterance_id": utterance_id, "reason": reason})
        cut = CutUtterance(
            utterance_id="u1", received_ms=900, sent_ms=500, played_ms=400, dropped_ms=400
        )
        return InterruptAccepted(
            interrupted=True,
            epoch=len(self.interrupts),
            dropped_ms=400,
            utterances=(cut,),
            utterance_id="u1",
            id=request_id,
        )

    async def interact(self, event_type: str, properties: dict[str, Any]) -> None:
        self._must_run()
        self.messages.append(interaction_message("c000001", event_type, properties))

    def take_callback(self, message: dict[str, Any]) -> None:
        self.callbacks.append(message)

    async def stop(self, reason: str) -> None:
        if self._view.ended_at is None:
            self.set(status=Status.ENDED, ended_at=CREATED_AT, end_reason=reason)

    def _must_run(self) -> None:
        self.touched += 1
        if self._view.ended_at is not None:
            raise SessionOver


@dataclass
class FakeRegistry:
    """Sessions by id; ids are numbered."""

    draining: bool = False
    runners: dict[str, FakeRunner] = field(default_factory=dict)
    creates: list[dict[str, Any]] = field(default_factory=list)
    """The keyword arguments of each create, in order."""
    failure: BridgeError | None = None
    """What every create raises instead."""
    created: asyncio.Event = field(default_factory=asyncio.Event)
    """Fires when the first session exists."""
    on_create: asyncio.Event | None = None
    """What every create waits for."""
    keys: dict[tuple[str, str], tuple[str, FakeRunner]] = field(default_factory=dict)

    async def create(
        self, spec: SessionSpec, *, owner: str, key: str | None, body_hash: str
    ) -> tuple[FakeRunner, bool]:
        if self.on_create is not None:
            await self.on_create.wait()
        if self.failure is not None:
            raise self.failure
        if key is not None and (owner, key) in self.keys:
            known_hash, runner = self.keys[owner, key]
            if known_hash != body_hash:
                raise IdempotencyConflict
            return runner, True
        runner = FakeRunner(f"sess_{len(self.runners) + 1}", spec)
        self.runners[runner.session_id] = runner
        self.created.set()
        self.creates.append({"spec": spec, "owner": owner, "key": key})
        if key is not None:
            self.keys[owner, key] = (body_hash, runner)
        return runner, False

    def get(self, session_id: str) -> FakeRunner:
        if session_id not in self.runners:
            raise SessionNotFound
        return self.runners[session_id]

    def runner(self, session_id: str) -> FakeRunner:
        runner = self.get(session_id)
        if runner.view().ended_at is not None:
            raise SessionOver
        return runner

    def page(
        self, *, status: Status | None, limit: int, cursor: str | None
    ) -> tuple[list[SessionView], str | None]:
        views = [runner.view() for runner in reversed(self.runners.values())]
        if cursor is not None:
            ids = [view.session_id for view in views]
            if cursor not in ids:
                raise InvalidRequest(
                    "cursor: this is none of ours", fields=(("cursor", "unknown"),)
                )
            views = views[ids.index(cursor) + 1 :]
        views = [view for view in views if status in {None, view.status}]
        rest = views[limit:]
        return views[:limit], views[limit - 1].session_id if rest else None
