"""A session's life, as a table: what state follows which fact. ``app.core.session`` lives by it.

The theory, in short. A session is always in one ``State``. ``TABLE`` maps a state and the type of a
fact to the next state; a pair that is absent cannot happen.

Facts from outside (Tavus, the room, the timers) may come late, twice or in any order, so every pair
of a state and an outside fact is in the table, most of them as "stay". Only what we ourselves do
can be illegal, and then it is a bug.

Money sets the shape of the end: once Tavus was asked for a conversation, the session is not
``OVER`` before Tavus has refused it or has confirmed its end. ``ENDING`` is public as ``ended`` or
``failed`` already; what is left of it happens behind the caller's back. A conversation that turns
up after all is ended then::

    NEW ─▶ CREATING ─▶ JOINING ─▶ WAITING ─▶ READY ◀─▶ LOST ◀─▶ REJOINING
     │        ├───────────┴──────────┴─────────┴─────────┴──────────┘
     │        │ refused              ▼ any cause
     └────────┴─────────▶ OVER ◀─▶ ENDING

Our place in the room can be lost while the conversation goes on: then we join again, at most
a few times, soon at longer intervals, and look for the replica anew. Before the session
was ready that is ``JOINING``; later it is ``REJOINING``, public as ``ready``: what clients send is
held, not lost.

The conversation can end before the session does, or be given up: then another one takes over, see
``app.core.renewal``. Usually that is ready in time and the session stays ``READY``; while there is
no conversation it is ``RENEWING``, public as ``ready``, with what clients send held.
"""

from __future__ import annotations

from enum import Enum

from app.core import events as e
from app.core import renewal


class State(Enum):
    """Where a session is in its life."""

    NEW = "new"
    CREATING = "creating"
    JOINING = "joining"
    WAITING = "waiting"
    READY = "ready"
    LOST = "lost"
    REJOINING = "rejoining"
    RENEWING = "renewing"
    ENDING = "ending"
    OVER = "over"


Fact = (
    e.StartRequested
    | e.StopRequested
    | e.ConversationCreated
    | e.ConversationRefused
    | e.ConversationEnded
    | e.ConversationShutDown
    | e.ConversationExpired
    | e.ReplacementWanted
    | e.RoomJoined
    | e.RoomFailed
    | e.RoomLost
    | e.ReplicaJoined
    | e.ReplicaLeft
    | e.ReplicaStalled
    | e.ParticipantJoined
    | e.ParticipantLeft
    | e.ReadyTimedOut
    | e.ReplicaLostTimedOut
    | e.IdleTimedOut
    | e.LifetimeReached
    | renewal.Fact
)

OUTSIDE: tuple[type[Fact], ...] = (
    e.ConversationCreated,
    e.ConversationRefused,
    e.ConversationEnded,
    e.ConversationShutDown,
    e.ConversationExpired,
    e.ReplacementWanted,
    e.RoomJoined,
    e.RoomFailed,
    e.RoomLost,
    e.ReplicaJoined,
    e.ReplicaLeft,
    e.ReplicaStalled,
    e.ParticipantJoined,
    e.ParticipantLeft,
    e.ReadyTimedOut,
    e.ReplicaLostTimedOut,
    e.IdleTimedOut,
    e.LifetimeReached,
    *renewal.FACTS,
)
"""Facts that nobody here can order about."""


def _row(state: State, changes: dict[type[Fact], State]) -> dict[type[Fact], State]:
    """A row of the table: outside facts stay where no change is named."""
    return dict.fromkeys(OUTSIDE, state) | changes


_ENDS: dict[type[Fact], State] = dict.fromkeys(
    (
        e.StopRequested,
        e.ConversationShutDown,
        e.RoomFailed,
        e.IdleTimedOut,
        e.LifetimeReached,
    ),
    State.ENDING,
)

_GOES_ON: dict[type[Fact], State] = dict.fromkeys(
    (e.ConversationExpired, e.ReplacementWanted), State.RENEWING
)

TABLE: dict[State, dict[type[Fact], State]] = {
    State.NEW: _row(State.NEW, {e.StartRequested: State.CREATING, e.StopRequested: State.OVER}),
    State.CREATING: _row(
        State.CREATING,
        _ENDS
        | {
            e.ConversationCreated: State.JOINING,
            e.ConversationRefused: State.OVER,
            e.ReadyTimedOut: State.ENDING,
        },
    ),
    State.JOINING: _row(
        State.JOINING,
        _ENDS | {e.RoomJoined: State.WAITING, e.ReadyTimedOut: State.ENDING},
    ),
    State.WAITING: _row(
        State.WAITING,
        _ENDS
        | {
            e.ReplicaJoined: State.READY,
            e.RoomLost: State.JOINING,
            e.ReadyTimedOut: State.ENDING,
        },
    ),
    State.READY: _row(
        State.READY,
        _ENDS | _GOES_ON | {e.ReplicaLeft: State.LOST, e.RoomLost: State.REJOINING},
    ),
    State.LOST: _row(
        State.LOST,
        _ENDS
        | _GOES_ON
        | {
            e.ReplicaJoined: State.READY,
            e.NextReady: State.READY,
            e.RoomLost: State.REJOINING,
            e.ReplicaLostTimedOut: State.ENDING,
        },
    ),
    State.REJOINING: _row(
        State.REJOINING,
        _ENDS
        | _GOES_ON
        | {
            e.RoomJoined: State.LOST,
            e.NextReady: State.READY,
            e.ReplicaLostTimedOut: State.ENDING,
        },
    ),
    State.RENEWING: _row(
        State.RENEWING,
        {
            e.NextReady: State.READY,
            e.StopRequested: State.OVER,
            e.IdleTimedOut: State.OVER,
            e.LifetimeReached: State.OVER,
            e.ReadyTimedOut: State.OVER,
        },
    ),
    State.ENDING: _row(
        State.ENDING,
        {
            e.StopRequested: State.ENDING,
            e.ConversationRefused: State.OVER,
            e.ConversationEnded: State.OVER,
        },
    ),
    State.OVER: _row(
        State.OVER, {e.StopRequested: State.OVER, e.ConversationCreated: State.ENDING}
    ),
}
