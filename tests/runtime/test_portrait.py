from __future__ import annotations

from datetime import UTC, datetime

from app.core import events as e
from app.core.session import Session
from app.core.spec import Status
from app.errors import RoomFailed
from app.runtime.portrait import Portrait
from tests.support.clock import FakeClock
from tests.support.world import S, spec


def test_moments_are_those_of_the_wall() -> None:
    """A portrait has the time of each moment, none for those to come, and when it must end."""
    clock, session = FakeClock(), Session()
    portrait = Portrait("s1", spec(max_duration_s=60.0), "sandbox", clock)
    before = portrait.view(session, None)
    clock.advance(5 * S)
    portrait.ready()
    clock.advance(5 * S)
    portrait.ended()
    after = portrait.view(session, None)

    assert datetime(2026, 1, 1, 12, tzinfo=UTC) == before.created_at == after.created_at
    assert datetime(2026, 1, 1, 12, 1, tzinfo=UTC) == before.expires_at
    assert (None, None) == (before.ready_at, before.ended_at)
    assert [5, 10] == [at.second for at in (after.ready_at, after.ended_at) if at]


def test_conversation_and_end_are_shown() -> None:
    """Tavus's answer and the reason of the end are in the picture; the token is not printed."""
    session = Session()
    session.handle(e.StartRequested())
    conversation = e.ConversationCreated("c1", "https://tavus.daily.co/c1", "a-token")
    session.handle(conversation)
    session.handle(e.RoomFailed(RoomFailed("thrown out")))
    view = Portrait("s1", spec(), "sandbox", FakeClock()).view(session, conversation)

    assert ("c1", "a-token") == (view.conversation_id, view.meeting_token)
    assert (Status.FAILED, "room_failed") == (view.status, view.end_reason)
    assert "a-token" not in repr(view)
