"""Facts: what has happened, in the past tense, each with its own fields and nothing else.

Facts from outside (Tavus, the room, timers) may come late, twice or in any order. Times are integer
nanoseconds of the service's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.errors import BridgeError


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in the room: the replica or a person."""

    participant_id: str
    user_id: str = ""
    """Daily's ``user_id``; the replica's contains ``tavus-replica`` or ``tavus-face``."""
    name: str = ""
    is_namesake: bool = False
    """It bears the persona's name where nobody has a replica's user id."""

    @property
    def has_replica_id(self) -> bool:
        """Whether its user id is a replica's: so Tavus's own UI kit finds it."""
        return "tavus-replica" in self.user_id or "tavus-face" in self.user_id

    @property
    def is_replica(self) -> bool:
        """Whether this is the replica, by user id or else by its name, as Pipecat finds it."""
        return self.has_replica_id or self.is_namesake


# --- our own and our clients' wishes ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartRequested:
    """The session was accepted and may begin to cost money."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody wants the session to end: a client, or we ourselves."""

    reason: str
    """``deleted``, ``drained`` or ``internal``."""
    detail: str | None = None


# --- Tavus ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConversationCreated:
    """Tavus has made the conversation: from now on it costs money."""

    conversation_id: str
    conversation_url: str
    meeting_token: str | None = field(default=None, repr=False)
    over: bool = False
    """Tavus answered ``ended`` at once, as it does with ``test_mode``."""
    replica_name: str = ""
    """The replica's in the room; empty: not known."""


@dataclass(frozen=True, slots=True)
class ConversationRefused:
    """Tavus made no conversation, or we do not know of one."""

    error: BridgeError


@dataclass(frozen=True, slots=True)
class ConversationEnded:
    """Tavus confirmed that the conversation is over, or that it knows it no longer."""


@dataclass(frozen=True, slots=True)
class ConversationShutDown:
    """Tavus ended the conversation by itself (``system.shutdown``, or the room was closed)."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConversationExpired:
    """Tavus ended the conversation at its limit, and the session wants to go on in another."""


@dataclass(frozen=True, slots=True)
class ReplacementWanted:
    """The conversation is of no use any more, its replica being dead: another one, now."""


# --- the next conversation, made ready beside the one that speaks -----------------------------


@dataclass(frozen=True, slots=True)
class RenewalDue:
    """It is time to ask Tavus for the next conversation, for the first time or again."""


@dataclass(frozen=True, slots=True)
class NextCreated:
    """Tavus has made the next conversation: from now on both cost money."""


@dataclass(frozen=True, slots=True)
class NextRefused:
    """Tavus made no next conversation, or we do not know of one."""

    error: BridgeError


@dataclass(frozen=True, slots=True)
class NextReady:
    """We are in the next conversation's room, and its replica is, too."""


@dataclass(frozen=True, slots=True)
class NextFailed:
    """The next conversation will not do after all."""

    error: BridgeError


@dataclass(frozen=True, slots=True)
class VoiceRested:
    """The replica has said all that it was handed: nothing is cut in two by moving over now."""


# --- the room ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """We are in the room."""

    participants: tuple[Participant, ...] = ()
    """Who was there before us."""
    participant_id: str = ""
    """Ours, where a room may go on showing us after we are gone."""


@dataclass(frozen=True, slots=True)
class RoomFailed:
    """The room could not be joined, or we were thrown out of it."""

    error: BridgeError


@dataclass(frozen=True, slots=True)
class RoomLost:
    """Our place in the room is gone, but the conversation may go on: it can be joined again."""

    error: BridgeError
    """Why."""
    unanswered: tuple[int, ...] = ()
    """Messages of which the room had not said what became of them."""
    consumed: int = 0
    """Track samples that the device played since joining."""


@dataclass(frozen=True, slots=True)
class ReplicaJoined:
    """The replica is there: by participant, or by ``system.replica_joined`` or ``_present``."""


@dataclass(frozen=True, slots=True)
class ReplicaLeft:
    """The replica left the room."""


class Stall(StrEnum):
    """What of a replica shows no life."""

    SPEECH = "speech"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class ReplicaStalled:
    """The replica is there but does not speak what it was sent, or sends no picture."""

    stall: Stall


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody came into the room."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody left the room."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class AppMessageReceived:
    """A message of the room, from Tavus or from another participant."""

    message: dict[str, Any] | str
    """As it came: daily-python delivers a dict or a JSON string."""
    at: int


@dataclass(frozen=True, slots=True)
class AudioConsumed:
    """The audio device has consumed track audio."""

    samples: int
    """Samples at 24 kHz, padding included, since the last of these."""
    at: int


@dataclass(frozen=True, slots=True)
class MessageFailed:
    """An app message was not delivered."""

    message_id: int
    definite: bool
    """The room said no; otherwise its completion never came."""
    reason: str
    too_large: bool = False
    """It said no because of the size."""


@dataclass(frozen=True, slots=True)
class LinkInterrupted:
    """The room's signalling is interrupted; messages sent now would be lost."""


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """The room's signalling works again."""


# --- timers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadyTimedOut:
    """``ready_timeout_s`` went by without a replica."""


@dataclass(frozen=True, slots=True)
class ReplicaLostTimedOut:
    """``replica_lost_timeout_s`` went by without the replica coming back."""


@dataclass(frozen=True, slots=True)
class IdleTimedOut:
    """``idle_timeout_s`` went by without activity."""


@dataclass(frozen=True, slots=True)
class LifetimeReached:
    """``max_duration_s`` went by."""


RoomFact = (
    RoomJoined
    | RoomFailed
    | RoomLost
    | ParticipantJoined
    | ParticipantLeft
    | AppMessageReceived
    | AudioConsumed
    | MessageFailed
    | LinkInterrupted
    | LinkRestored
)
"""What a ``Room`` reports."""
