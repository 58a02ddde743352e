"""Orders: what the session wants done. ``runtime/runner`` executes them, in this order of types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.core.events import Participant, Stall
from app.errors import BridgeError


class Timer(StrEnum):
    """The session's timers; each reports back as its own fact."""

    READY = "ready"
    REPLICA_LOST = "replica_lost"
    IDLE = "idle"
    LIFETIME = "lifetime"
    RENEWAL = "renewal"
    """Until the next conversation is asked for."""
    EXPIRY = "expiry"
    """Announces the conversation's own end; reports nothing."""
    NEXT = "next"
    """Until the next conversation must be ready."""


@dataclass(frozen=True, slots=True)
class CreateConversation:
    """Ask Tavus for a conversation; answers with a fact."""


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """Enter the conversation's room, the first time or again; answers with a fact."""

    after_ms: int = 0
    """Wait so long: it was lost several times, and what is broken may need a moment."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """(Re)start a timer with the duration its name stands for."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer; nothing happens when it is not running."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class ReleaseAudio:
    """The replica listens: hand over what waits."""


@dataclass(frozen=True, slots=True)
class HoldAudio:
    """The replica does not listen: keep what waits."""

    gone: bool
    """It has left, and what it held is lost; else it plays on what it has."""


@dataclass(frozen=True, slots=True)
class TellState:
    """Tell every connection the new public status."""


@dataclass(frozen=True, slots=True)
class TellReplica:
    """Tell every connection that the replica came or left."""

    joined: bool


@dataclass(frozen=True, slots=True)
class TellStall:
    """Tell every connection that the replica shows no life."""

    stall: Stall


@dataclass(frozen=True, slots=True)
class TellParticipant:
    """Tell every connection that a person came or left."""

    participant: Participant
    joined: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """Cut the audio, account for every utterance and mark, tell the end, close the streams."""


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Leave the room."""


@dataclass(frozen=True, slots=True)
class EndConversation:
    """End the conversation at Tavus, again and again until it confirms; answers with a fact."""


# --- the next conversation --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateNext:
    """Ask Tavus for the next conversation; answers with a fact, whatever else happens."""


@dataclass(frozen=True, slots=True)
class JoinNext:
    """Enter the next conversation's room and look for its replica; answers with a fact."""


@dataclass(frozen=True, slots=True)
class PrepareMove:
    """Tell where it will go on; then let the voice come to rest, which answers with a fact."""


@dataclass(frozen=True, slots=True)
class MoveOver:
    """Speak in the next conversation from now on; leave the one before and have it ended."""


@dataclass(frozen=True, slots=True)
class DropConversation:
    """Leave the conversation that is of no use and have it ended: there is none until the next."""


@dataclass(frozen=True, slots=True)
class DropNext:
    """Leave the next conversation and have it ended: it will not do, or is not wanted any more."""


@dataclass(frozen=True, slots=True)
class RenewLater:
    """(Re)start the timer ``RENEWAL`` with another duration: it is tried again."""

    after_s: int


@dataclass(frozen=True, slots=True)
class TellError:
    """Tell every connection what went wrong; the session goes on."""

    error: BridgeError


Command = (
    CreateConversation
    | JoinRoom
    | StartTimer
    | StopTimer
    | ReleaseAudio
    | HoldAudio
    | TellState
    | TellReplica
    | TellStall
    | TellParticipant
    | Finish
    | LeaveRoom
    | EndConversation
    | CreateNext
    | JoinNext
    | PrepareMove
    | MoveOver
    | DropConversation
    | DropNext
    | RenewLater
    | TellError
)
