"""Orders: what the session wants done. ``runtime/runner`` executes them, in this order of types."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

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


class CreateConversation(Struct, frozen=True):
    """Ask Tavus for a conversation; answers with a fact."""


class JoinRoom(Struct, frozen=True):
    """Enter the conversation's room, the first time or again; answers with a fact."""

    after_ms: int = 0
    """Wait so long: it was lost several times, and what is broken may need a moment."""


class StartTimer(Struct, frozen=True):
    """(Re)start a timer with the duration its name stands for."""

    timer: Timer


class StopTimer(Struct, frozen=True):
    """Stop a timer; nothing happens when it is not running."""

    timer: Timer


class ReleaseAudio(Struct, frozen=True):
    """The replica listens: hand over what waits."""


class HoldAudio(Struct, frozen=True):
    """The replica does not listen: keep what waits."""

    gone: bool
    """It has left, and what it held is lost; else it plays on what it has."""


class TellState(Struct, frozen=True):
    """Tell every connection the new public status."""


class TellReplica(Struct, frozen=True):
    """Tell every connection that the replica came or left."""

    joined: bool


class TellStall(Struct, frozen=True):
    """Tell every connection that the replica shows no life."""

    stall: Stall


class TellParticipant(Struct, frozen=True):
    """Tell every connection that a person came or left."""

    participant: Participant
    joined: bool


class Finish(Struct, frozen=True):
    """Cut the audio, account for every utterance and mark, tell the end, close the streams."""


class LeaveRoom(Struct, frozen=True):
    """Leave the room."""


class EndConversation(Struct, frozen=True):
    """End the conversation at Tavus, again and again until it confirms; answers with a fact."""


# --- the next conversation --------------------------------------------------------------------


class CreateNext(Struct, frozen=True):
    """Ask Tavus for the next conversation; answers with a fact, whatever else happens."""


class JoinNext(Struct, frozen=True):
    """Enter the next conversation's room and look for its replica; answers with a fact."""


class PrepareMove(Struct, frozen=True):
    """Tell where it will go on; then let the voice come to rest, which answers with a fact."""


class MoveOver(Struct, frozen=True):
    """Speak in the next conversation from now on; leave the one before and have it ended."""


class DropConversation(Struct, frozen=True):
    """Leave the conversation that is of no use and have it ended: there is none until the next."""


class DropNext(Struct, frozen=True):
    """Leave the next conversation and have it ended: it will not do, or is not wanted any more."""


class RenewLater(Struct, frozen=True):
    """(Re)start the timer ``RENEWAL`` with another duration: it is tried again."""

    after_s: int


class TellError(Struct, frozen=True):
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
