"""A session's life, as a table.

The theory, in short. A session is always in one ``State``. Facts reach it through ``handle``; it
answers with orders (``app.core.commands``) and performs none of them. ``TABLE`` maps a state and
the type of a fact to the next state; a pair that is absent raises ``IllegalEvent`` and changes
nothing.

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
``MAX_LOSSES`` times, and look for the replica anew. Before the session was ready that is
``JOINING``; later it is ``REJOINING``, public as ``ready``: what clients send is held, not lost.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from app.core import commands as c
from app.core import events as e
from app.core.spec import Status
from app.errors import BridgeError, Internal, ReplicaLost, ReplicaTimeout

MAX_LOSSES = 5
"""So often a session joins its room again; who loses it once more is out."""


class State(Enum):
    """Where a session is in its life."""

    NEW = "new"
    CREATING = "creating"
    JOINING = "joining"
    WAITING = "waiting"
    READY = "ready"
    LOST = "lost"
    REJOINING = "rejoining"
    ENDING = "ending"
    OVER = "over"


Fact = (
    e.StartRequested
    | e.StopRequested
    | e.ConversationCreated
    | e.ConversationRefused
    | e.ConversationEnded
    | e.ConversationShutDown
    | e.RoomJoined
    | e.RoomFailed
    | e.RoomLost
    | e.ReplicaJoined
    | e.ReplicaLeft
    | e.ParticipantJoined
    | e.ParticipantLeft
    | e.ReadyTimedOut
    | e.ReplicaLostTimedOut
    | e.IdleTimedOut
    | e.LifetimeReached
)

OUTSIDE: tuple[type[Fact], ...] = (
    e.ConversationCreated,
    e.ConversationRefused,
    e.ConversationEnded,
    e.ConversationShutDown,
    e.RoomJoined,
    e.RoomFailed,
    e.RoomLost,
    e.ReplicaJoined,
    e.ReplicaLeft,
    e.ParticipantJoined,
    e.ParticipantLeft,
    e.ReadyTimedOut,
    e.ReplicaLostTimedOut,
    e.IdleTimedOut,
    e.LifetimeReached,
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
        State.READY, _ENDS | {e.ReplicaLeft: State.LOST, e.RoomLost: State.REJOINING}
    ),
    State.LOST: _row(
        State.LOST,
        _ENDS
        | {
            e.ReplicaJoined: State.READY,
            e.RoomLost: State.REJOINING,
            e.ReplicaLostTimedOut: State.ENDING,
        },
    ),
    State.REJOINING: _row(
        State.REJOINING,
        _ENDS | {e.RoomJoined: State.LOST, e.ReplicaLostTimedOut: State.ENDING},
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

_STATUS: dict[State, Status] = {
    State.NEW: Status.STARTING,
    State.CREATING: Status.STARTING,
    State.JOINING: Status.STARTING,
    State.WAITING: Status.STARTING,
    State.READY: Status.READY,
    State.LOST: Status.READY,
    State.REJOINING: Status.READY,
    State.ENDING: Status.ENDED,
    State.OVER: Status.ENDED,
}

_LIVE = frozenset(State) - {State.ENDING, State.OVER}

_WITH_A_ROOM = frozenset({State.JOINING, State.WAITING, State.READY, State.LOST, State.REJOINING})


class IllegalEvent(Exception):
    """This fact cannot happen in this state: a bug of ours."""

    def __init__(self, state: State, fact: Fact) -> None:
        """Name the pair that is not in the table."""
        super().__init__(f"{type(fact).__name__} is illegal in state {state.value}")


class Session:
    """One session's life. Not thread-safe, never waits, never looks at a clock."""

    def __init__(self) -> None:
        """Begin in ``NEW``: nothing costs money yet."""
        self.state = State.NEW
        self.reason: str | None = None
        """Why it ended, as in ``session.ended``."""
        self.detail: str | None = None
        self.error: BridgeError | None = None
        """What went wrong, when it failed."""
        self._losses = 0
        """How often the room was lost."""

    @property
    def status(self) -> Status:
        """The public status."""
        return Status.FAILED if self.error is not None else _STATUS[self.state]

    @property
    def over(self) -> bool:
        """Whether clients can do nothing with it any more."""
        return self.state in (State.ENDING, State.OVER)

    def handle(self, fact: Fact) -> tuple[c.Command, ...]:
        """Take a fact and answer with orders, in the order to follow.

        Raises ``IllegalEvent``, and changes nothing, for a pair that is not in the table.
        """
        before = self.state
        if isinstance(fact, e.RoomLost) and before in _WITH_A_ROOM:
            self._losses += 1
            if self._losses > MAX_LOSSES:
                fact = e.RoomFailed(fact.error)
        after = TABLE[before].get(type(fact))
        if after is None:
            raise IllegalEvent(before, fact)
        self.state = after
        if before in _LIVE and after not in _LIVE:
            return self._end(before, fact)
        match fact:
            case e.StartRequested():
                return (
                    c.StartTimer(c.Timer.LIFETIME),
                    c.StartTimer(c.Timer.IDLE),
                    c.StartTimer(c.Timer.READY),
                    c.CreateConversation(),
                )
            case e.ConversationCreated():
                if before is State.CREATING:
                    return (c.JoinRoom(),)
                return (c.EndConversation(),) if self.over else ()
            case e.ReplicaJoined():
                if after is before:
                    return ()
                back = before is State.LOST
                timer = c.Timer.REPLICA_LOST if back else c.Timer.READY
                told: tuple[c.Command, ...] = () if back else (c.TellState(),)
                return (c.StopTimer(timer), c.TellReplica(joined=True), *told, c.ReleaseAudio())
            case e.ReplicaLeft():
                if after is before:
                    return ()
                return (
                    c.HoldAudio(gone=True),
                    c.TellReplica(joined=False),
                    c.StartTimer(c.Timer.REPLICA_LOST),
                )
            case e.RoomLost():
                return self._rejoin(before)
            case e.ParticipantJoined(participant) | e.ParticipantLeft(participant):
                if self.over:
                    return ()
                joined = isinstance(fact, e.ParticipantJoined)
                return (c.TellParticipant(participant, joined=joined),)
            case (
                e.StopRequested()
                | e.ConversationRefused()
                | e.ConversationEnded()
                | e.ConversationShutDown()
                | e.RoomJoined()
                | e.RoomFailed()
                | e.ReadyTimedOut()
                | e.ReplicaLostTimedOut()
                | e.IdleTimedOut()
                | e.LifetimeReached()
            ):
                return ()
            case _:
                assert_never(fact)

    def _rejoin(self, before: State) -> tuple[c.Command, ...]:
        """Join again, where there is a room to join."""
        if before not in _WITH_A_ROOM:
            return ()
        away: tuple[c.Command, ...] = ()
        if before is State.READY:
            away = (
                c.HoldAudio(gone=False),
                c.TellReplica(joined=False),
                c.StartTimer(c.Timer.REPLICA_LOST),
            )
        return (*away, c.JoinRoom())

    def _end(self, before: State, fact: Fact) -> tuple[c.Command, ...]:
        """Enter the end, once: every cause takes this path."""
        match fact:
            case e.StopRequested(reason, detail):
                self.reason, self.detail = reason, detail
                if reason == "internal":
                    self.error = Internal(detail)
            case e.ConversationShutDown(reason):
                self.reason, self.detail = "tavus_shutdown", reason
            case e.RoomFailed(error):
                self.reason, self.detail, self.error = "room_failed", error.detail, error
            case e.ConversationRefused(error):
                self.reason, self.detail, self.error = "internal", error.detail, error
            case e.ReadyTimedOut():
                self.reason, self.error = "replica_timeout", ReplicaTimeout()
            case e.ReplicaLostTimedOut():
                self.reason, self.error = "replica_lost", ReplicaLost()
            case e.IdleTimedOut():
                self.reason = "idle"
            case _:
                self.reason = "max_duration"
        if before in {State.NEW, State.CREATING}:
            # Tavus was not asked, or has not answered: what turns up after all is ended then.
            return (c.TellState(), c.Finish())
        return (c.TellState(), c.Finish(), c.LeaveRoom(), c.EndConversation())
