"""Facts: what has happened, in the past tense, each with its own fields and nothing else.

Facts from outside (Tavus, the room, timers) may come late, twice or in any order. Times are integer
nanoseconds of the service's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

from app.errors import BridgeError


class Participant(Struct, frozen=True):
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


class StartRequested(Struct, frozen=True):
    """The session was accepted and may begin to cost money."""


class StopRequested(Struct, frozen=True):
    """Somebody wants the session to end: a client, or we ourselves."""

    reason: str
    """``deleted``, ``drained`` or ``internal``."""
    detail: str | None = None


# --- Tavus ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)  # where a field can be left out of what is logged
class ConversationCreated:
    """Tavus has made the conversation: from now on it costs money."""

    conversation_id: str
    conversation_url: str
    meeting_token: str | None = field(default=None, repr=False)
    over: bool = False
    """Tavus answered ``ended`` at once, as it does with ``test_mode``."""
    replica_name: str = ""
    """The replica's in the room; empty: not known."""


class ConversationRefused(Struct, frozen=True):
    """Tavus made no conversation, or we do not know of one."""

    error: BridgeError


class ConversationEnded(Struct, frozen=True):
    """Tavus confirmed that the conversation is over, or that it knows it no longer."""


class ConversationShutDown(Struct, frozen=True):
    """Tavus ended the conversation by itself (``system.shutdown``, or the room was closed)."""

    reason: str


class ConversationExpired(Struct, frozen=True):
    """Tavus ended the conversation at its limit, and the session wants to go on in another."""


class ReplacementWanted(Struct, frozen=True):
    """The conversation is of no use any more, its replica being dead: another one, now."""


# --- the next conversation, made ready beside the one that speaks -----------------------------


class RenewalDue(Struct, frozen=True):
    """It is time to ask Tavus for the next conversation, for the first time or again."""


class NextCreated(Struct, frozen=True):
    """Tavus has made the next conversation: from now on both cost money."""


class NextRefused(Struct, frozen=True):
    """Tavus made no next conversation, or we do not know of one."""

    error: BridgeError


class NextReady(Struct, frozen=True):
    """We are in the next conversation's room, and its replica is, too."""


class NextFailed(Struct, frozen=True):
    """The next conversation will not do after all."""

    error: BridgeError


class VoiceRested(Struct, frozen=True):
    """The replica has said all that it was handed: nothing is cut in two by moving over now."""


# --- the room ---------------------------------------------------------------------------------


class RoomJoined(Struct, frozen=True):
    """We are in the room."""

    participants: tuple[Participant, ...] = ()
    """Who was there before us."""
    participant_id: str = ""
    """Ours, where a room may go on showing us after we are gone."""


class RoomFailed(Struct, frozen=True):
    """The room could not be joined, or we were thrown out of it."""

    error: BridgeError


class RoomLost(Struct, frozen=True):
    """Our place in the room is gone, but the conversation may go on: it can be joined again."""

    error: BridgeError
    """Why."""
    unanswered: tuple[int, ...] = ()
    """Messages of which the room had not said what became of them."""
    consumed: int = 0
    """Track samples that the device played since joining."""


class ReplicaJoined(Struct, frozen=True):
    """The replica is there: by participant, or by ``system.replica_joined`` or ``_present``."""


class ReplicaLeft(Struct, frozen=True):
    """The replica left the room."""


class Stall(StrEnum):
    """What of a replica shows no life."""

    SPEECH = "speech"
    PICTURE = "picture"


class ReplicaStalled(Struct, frozen=True):
    """The replica is there but does not speak what it was sent, or sends no picture."""

    stall: Stall


class ParticipantJoined(Struct, frozen=True):
    """Somebody came into the room."""

    participant: Participant


class ParticipantLeft(Struct, frozen=True):
    """Somebody left the room."""

    participant: Participant


class AppMessageReceived(Struct, frozen=True):
    """A message of the room, from Tavus or from another participant."""

    message: dict[str, Any] | str
    """As it came: daily-python delivers a dict or a JSON string."""
    at: int


class AudioConsumed(Struct, frozen=True):
    """The audio device has consumed track audio."""

    samples: int
    """Samples at 24 kHz, padding included, since the last of these."""
    at: int


class MessageFailed(Struct, frozen=True):
    """An app message was not delivered."""

    message_id: int
    definite: bool
    """The room said no; otherwise its completion never came."""
    reason: str
    too_large: bool = False
    """It said no because of the size."""


class LinkInterrupted(Struct, frozen=True):
    """The room's signalling is interrupted; messages sent now would be lost."""


class LinkRestored(Struct, frozen=True):
    """The room's signalling works again."""


# --- timers -----------------------------------------------------------------------------------


class ReadyTimedOut(Struct, frozen=True):
    """``ready_timeout_s`` went by without a replica."""


class ReplicaLostTimedOut(Struct, frozen=True):
    """``replica_lost_timeout_s`` went by without the replica coming back."""


class IdleTimedOut(Struct, frozen=True):
    """``idle_timeout_s`` went by without activity."""


class LifetimeReached(Struct, frozen=True):
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
