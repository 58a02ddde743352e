"""Conversations: what they cost, how long they live, and how they end.

Source: Tavus's pages on call duration and timeouts, webhooks and shutdown reasons.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.sandbox.catalogue import OLD_WORDS, Pal
from app.sandbox.faults import Faults
from app.sandbox.log import HeardShelf
from app.sandbox.rooms import Room, Timing
from app.sandbox.voice import Voice

ENDED_KEPT = 200
"""Ended conversations, with their rooms, that stay readable; the oldest are forgotten."""

CEILING_S = 3600
"""Longest call; larger wishes are cut silently."""

ABSENT_S = 300
LEFT_S = 0
"""Tavus's default timeouts when nobody has come, and after the last person left."""

ENDED_BY_CALL = "end_conversation_endpoint_hit"

SECOND = 1_000_000_000

Callback = Callable[[str, dict[str, Any]], None]
"""Posts a webhook: the URL and the event."""


def utc_now() -> str:
    """The time of day as Tavus writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Wish:
    """A create request that was found good."""

    face_id: str
    pal: Pal
    words: tuple[str, str] = OLD_WORDS
    """What the client calls faces and PALs."""
    name: str | None = None
    callback_url: str = ""
    require_auth: bool = False
    test_mode: bool = False
    max_participants: int | None = None
    max_call_s: float = CEILING_S
    absent_s: float = ABSENT_S
    left_s: float = LEFT_S


@dataclass(slots=True, eq=False)
class Conversation:
    """One conversation and its room."""

    conversation_id: str
    url: str
    wish: Wish
    faults: Faults
    room: Room
    created_at: str = field(default_factory=utc_now)
    updated_at: str = ""
    meeting_token: str | None = field(default=None, repr=False)
    token_expires: int = 0
    """Monotonic ns."""
    shutdown_reason: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    end_failures: int = 0
    absence: int | None = None
    """The planned end for want of people, by its number in the room's agenda."""

    @property
    def active(self) -> bool:
        """Whether it runs, and costs money."""
        return self.shutdown_reason is None

    def view(self, *, verbose: bool = False) -> dict[str, Any]:
        """The conversation as Tavus's REST API shows it."""
        face, pal = self.wish.words
        shown: dict[str, Any] = {
            "conversation_id": self.conversation_id,
            "conversation_name": self.wish.name or f"New Conversation {self.conversation_id}",
            "conversation_url": self.url,
            "status": "active" if self.active else "ended",
            "callback_url": self.wish.callback_url,
            "created_at": self.created_at,
            "updated_at": self.updated_at or self.created_at,
            f"{face}_id": self.wish.face_id,
            f"{pal}_id": self.wish.pal.pal_id,
        }
        if verbose:
            shown["shutdown_reason"] = self.shutdown_reason
            shown["events"] = self.events
        return shown


class Conversations:
    """All conversations of the account."""

    def __init__(self, timing: Timing, voice: Voice, callback: Callback) -> None:
        """Have none. ``callback`` posts webhooks and never blocks."""
        self._timing = timing
        self._voice = voice
        self._callback = callback
        self._shelf = HeardShelf()
        self._all: dict[str, Conversation] = {}

    def get(self, conversation_id: str) -> Conversation | None:
        """One, ended ones too."""
        return self._all.get(conversation_id)

    def newest_first(self) -> list[Conversation]:
        """All that are remembered."""
        return list(reversed(self._all.values()))

    def active(self) -> int:
        """How many concurrency slots are taken."""
        return sum(conversation.active for conversation in self._all.values())

    def create(self, wish: Wish, faults: Faults, base_url: str) -> Conversation:
        """Begin a conversation, or with ``test_mode`` note one that is over at once."""
        conversation_id = f"c{uuid.uuid4().hex[:15]}"
        room = Room(
            conversation_id,
            replica_id=wish.face_id,
            replica_name=wish.pal.name,
            max_participants=wish.max_participants,
            faults=faults,
            timing=self._timing,
            shelf=self._shelf,
            voice=self._voice,
            on_people=lambda at, count: self._people_changed(conversation, at, count),
            on_replica=lambda: self._replica_joined(conversation),
        )
        conversation = Conversation(
            conversation_id,
            f"{base_url}/sandbox/rooms/{conversation_id}",
            wish,
            faults,
            room,
            end_failures=faults.end_failures,
        )
        self._all[conversation_id] = conversation
        if wish.test_mode:
            self._close(conversation, "test_mode")
            return conversation
        now = self._timing.now()
        if wish.require_auth:
            conversation.meeting_token = secrets.token_urlsafe(32)
            conversation.token_expires = now + int(wish.absent_s * SECOND)
        life_s = min(wish.max_call_s, CEILING_S)
        if faults.killed_after_ms is not None:
            life_s = min(life_s, faults.killed_after_ms / 1000)
        self._plan_end(conversation, now, life_s, "max_call_duration reached")
        conversation.absence = self._plan_end(
            conversation, now, wish.absent_s, "participant_absent_timeout reached"
        )
        room.rearm()
        return conversation

    def end(self, conversation: Conversation, reason: str = ENDED_BY_CALL) -> None:
        """End it: the room hears it and closes, the slot is free, the callbacks go out."""
        if not conversation.active:
            return
        self._close(conversation, reason)
        self._event(conversation, "system", "shutdown", {"shutdown_reason": reason})
        self._event(conversation, "application", "transcription_ready", {"transcript": []})

    def delete(self, conversation: Conversation) -> None:
        """Forget it; one that still runs ends first."""
        self.end(conversation)
        self._forget(conversation)

    def close(self) -> None:
        """End all."""
        for conversation in self._all.values():
            self.end(conversation, "sandbox_stopped")

    def _close(self, conversation: Conversation, reason: str) -> None:
        conversation.shutdown_reason = reason
        conversation.updated_at = utc_now()
        conversation.room.end(reason)
        ended = [other for other in self._all.values() if not other.active]
        for oldest in ended[:-ENDED_KEPT]:
            self._forget(oldest)

    def _forget(self, conversation: Conversation) -> None:
        del self._all[conversation.conversation_id]
        conversation.room.heard.forget()

    def _plan_end(self, conversation: Conversation, now: int, after_s: float, reason: str) -> int:
        at = now + int(after_s * SECOND)
        return conversation.room.agenda.add(at, lambda _: self.end(conversation, reason))

    def _people_changed(self, conversation: Conversation, at: int, count: int) -> None:
        if conversation.absence is not None:
            conversation.room.agenda.cancel(conversation.absence)
            conversation.absence = None
        if not count:
            conversation.absence = self._plan_end(
                conversation, at, conversation.wish.left_s, "participant_left_timeout reached"
            )

    def _replica_joined(self, conversation: Conversation) -> None:
        self._event(conversation, "system", "replica_joined", {})

    def _event(
        self, conversation: Conversation, kind: str, what: str, properties: dict[str, Any]
    ) -> None:
        """Note an event and post it, twice where Tavus has two words for it."""
        face_id = conversation.wish.face_id
        forms = [(f"{kind}.{what}", {"replica_id": face_id, **properties})]
        if what == "replica_joined":
            forms.append(("system.pal_joined", {"face_id": face_id, **properties}))
        for event_type, fields in forms:
            event = {
                "properties": fields,
                "conversation_id": conversation.conversation_id,
                "webhook_url": conversation.wish.callback_url,
                "event_type": event_type,
                "message_type": kind,
                "timestamp": utc_now(),
            }
            conversation.events.append(event)
            if conversation.wish.callback_url:
                self._callback(conversation.wish.callback_url, event)
