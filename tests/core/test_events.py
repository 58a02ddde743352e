from __future__ import annotations

import pytest

from app.core.events import ConversationCreated, Participant


@pytest.mark.parametrize(
    ("user_id", "is_replica"),
    [
        ("tavus-replica-r4067604db72", True),
        ("tavus-face-f1", True),
        ("pipecat-tavus-replica", True),
        ("", False),
        ("someone", False),
    ],
)
def test_replica_is_known_by_its_user_id(user_id: str, is_replica: bool) -> None:
    """The replica says what it is in its user id, under Tavus's old name and its new one."""
    assert is_replica == Participant("p1", user_id).is_replica


def test_meeting_token_does_not_show() -> None:
    """A conversation in a log shows no meeting token."""
    created = ConversationCreated("c1", "https://x.example/c1", meeting_token="hidden")

    assert "hidden" not in repr(created)
