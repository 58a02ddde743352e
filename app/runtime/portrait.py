"""How a session looks from outside, with the moments it came through."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.core.events import ConversationCreated
from app.core.limits import session_s
from app.core.session import Session
from app.core.spec import SessionSpec, SessionView
from app.runtime.clock import Clock


class Portrait:
    """One session's: told of its moments, it shows them."""

    def __init__(self, session_id: str, spec: SessionSpec, room: str, clock: Clock) -> None:
        """Begin now; ``room`` is the kind of room."""
        self._session_id = session_id
        self._spec = spec
        self._room = room
        self._clock = clock
        self._created_at = clock.wall()
        self._ready_at: datetime | None = None
        self._ended_at: datetime | None = None

    def ready(self) -> None:
        """The replica listens."""
        self._ready_at = self._clock.wall()

    def ended(self) -> None:
        """It is over for its clients."""
        self._ended_at = self._clock.wall()

    def view(self, session: Session, conversation: ConversationCreated | None) -> SessionView:
        """The session as it is now; ``conversation`` is where people join."""
        return SessionView(
            session_id=self._session_id,
            status=session.status,
            room=self._room,
            spec=self._spec,
            created_at=self._created_at,
            expires_at=self._created_at + timedelta(seconds=session_s(self._spec)),
            conversation_id=conversation.conversation_id if conversation else None,
            conversation_url=conversation.conversation_url if conversation else None,
            meeting_token=conversation.meeting_token if conversation else None,
            ready_at=self._ready_at,
            ended_at=self._ended_at,
            end_reason=session.reason,
            error=session.error,
        )
