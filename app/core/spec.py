"""What a session was asked to be, and what it shows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from app.errors import BridgeError


class AudioPathName(StrEnum):
    """How audio reaches the replica."""

    ECHO = "echo"
    """``conversation.echo`` app messages."""
    TRACK = "track"
    """A custom audio track named ``stream``."""


class Status(StrEnum):
    """The public status of a session."""

    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NamedId:
    """An id under the name the caller used for it: Tavus renamed both in 2026."""

    name: Literal["replica_id", "face_id", "persona_id", "pal_id"]
    value: str


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """A ``POST /sessions`` body with the defaults filled in."""

    face: NamedId | None
    pal: NamedId | None
    conversation_name: str | None
    audio_path: AudioPathName
    lead_ms: int
    ready_timeout_s: float
    idle_timeout_s: float
    max_duration_s: float
    renew: bool = False
    """Whether the session goes on in another conversation when Tavus ends one at its limit."""
    interrupt_on_user_speech: bool = False
    """Whether a person who speaks while the replica does cuts it."""
    metadata: dict[str, str] = field(default_factory=dict)
    conversation: dict[str, Any] = field(default_factory=dict)
    """Merged into the Tavus request; fields that the service needs win."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as ``GET /sessions/{id}`` shows it."""

    session_id: str
    status: Status
    room: str
    spec: SessionSpec
    created_at: datetime
    expires_at: datetime
    conversation_id: str | None = None
    conversation_url: str | None = None
    meeting_token: str | None = field(default=None, repr=False)
    ready_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None
    error: BridgeError | None = None
