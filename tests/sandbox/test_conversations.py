from __future__ import annotations

from typing import Any

import pytest

from app.sandbox.catalogue import Catalogue
from app.sandbox.conversations import ENDED_KEPT, Conversation, Conversations, Wish
from app.sandbox.faults import parse_faults
from app.sandbox.rooms import Timing
from tests.support.clock import FakeClock
from tests.support.sandbox import FakeOutbox, Mute

SECOND = 1_000_000_000
PAL = Catalogue().pal("pipecat0", None)


class Account:
    """Conversations on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.callbacks: list[tuple[str, dict[str, Any]]] = []
        self.conversations = Conversations(
            Timing(self.clock.now, self.clock.call_at),
            Mute(),
            lambda url, event: self.callbacks.append((url, event)),
        )

    def create(self, faults: dict[str, Any] | None = None, **wish: Any) -> Conversation:
        """Begin a conversation."""
        assert PAL is not None
        return self.conversations.create(
            Wish("r1", PAL, **wish), parse_faults(faults or {}), "http://host"
        )

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(int(seconds * SECOND))


def test_nobody_comes() -> None:
    """After 300 s it is over and its slot is free."""
    account = Account()
    conversation = account.create()

    account.wait(299)
    before = conversation.active
    account.wait(1)

    assert before
    assert "participant_absent_timeout reached" == conversation.shutdown_reason
    assert 0 == account.conversations.active()


def test_everybody_left() -> None:
    """The end comes as late as asked, and not when somebody is back in time."""
    account = Account()
    conversation = account.create(left_s=10)

    member = conversation.room.join("a", FakeOutbox())
    account.wait(400)
    conversation.room.leave(member)
    account.wait(9)
    member = conversation.room.join("a", FakeOutbox())
    account.wait(400)
    still = conversation.active
    conversation.room.leave(member)
    account.wait(10)

    assert still
    assert "participant_left_timeout reached" == conversation.shutdown_reason


def test_the_last_to_leave_ends_it_at_once_by_default() -> None:
    """Tavus's default is 0 s."""
    account = Account()
    conversation = account.create()

    conversation.room.leave(conversation.room.join("a", FakeOutbox()))
    account.wait(0.001)

    assert not conversation.active


@pytest.mark.parametrize(
    ("wish", "faults", "seconds"),
    [
        ({"max_call_s": 60}, {}, 60),
        ({"max_call_s": 7200}, {}, 3600),
        ({}, {"killed_after_ms": 1500}, 1.5),
    ],
)
def test_no_call_outlives_its_limit(
    wish: dict[str, Any], faults: dict[str, Any], seconds: float
) -> None:
    """Larger wishes than an hour are cut silently."""
    account = Account()
    conversation = account.create(faults, **wish)

    conversation.room.join("a", FakeOutbox())
    account.wait(seconds - 0.1)
    before = conversation.active
    account.wait(0.1)

    assert before
    assert "max_call_duration reached" == conversation.shutdown_reason


def test_callbacks_tell_a_life() -> None:
    """The replica twice, in both words; the shutdown before the transcript."""
    account = Account()
    conversation = account.create(callback_url="http://me/hook")

    account.wait(1)
    account.conversations.end(conversation)
    account.conversations.end(conversation)
    urls = {url for url, _ in account.callbacks}
    events = [event for _, event in account.callbacks]

    assert {"http://me/hook"} == urls
    assert [
        "system.replica_joined",
        "system.pal_joined",
        "system.shutdown",
        "application.transcription_ready",
    ] == [event["event_type"] for event in events]
    assert {"face_id": "r1"} == events[1]["properties"]
    assert "end_conversation_endpoint_hit" == events[2]["properties"]["shutdown_reason"]
    assert {"system", "application"} == {event["message_type"] for event in events}
    assert events == conversation.events


def test_ended_conversations_are_remembered_up_to_a_number() -> None:
    """The oldest are forgotten, living ones never."""
    account = Account()
    living = account.create()
    ended = [account.create(test_mode=True) for _ in range(ENDED_KEPT + 2)]

    remembered = account.conversations.newest_first()

    assert [*reversed(ended[2:]), living] == remembered
    assert account.conversations.get(ended[0].conversation_id) is None


def test_closing_ends_all() -> None:
    """Nothing waits any more."""
    account = Account()
    conversation = account.create()

    account.conversations.close()

    assert "sandbox_stopped" == conversation.shutdown_reason
    assert 0 == account.clock.waiting


def test_a_token_expires_with_the_absent_timeout() -> None:
    """As Tavus documents."""
    account = Account()

    private = account.create(require_auth=True, absent_s=20)

    assert private.meeting_token
    assert account.clock.now() + 20 * SECOND == private.token_expires
