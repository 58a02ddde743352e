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
``MAX_LOSSES`` times, soon at longer intervals, and look for the replica anew. Before the session
was ready that is ``JOINING``; later it is ``REJOINING``, public as ``ready``: what clients send is
held, not lost.

The conversation can end before the session does, or be given up: then another one takes over, see
``app.core.renewal``. Usually that is ready in time and the session stays ``READY``; while there is
no conversation it is ``RENEWING``, public as ``ready``, with what clients send held.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from app.core import commands as c
from app.core import events as e
from app.core import renewal
from app.core.renewal import Renewal, Stage
from app.core.spec import Status
from app.errors import BridgeError, Internal, ReplicaLost, ReplicaTimeout

MAX_LOSSES = 5
"""So often a session joins a conversation's room again; who loses it once more is out."""

SECOND_WAIT_MS = 500
"""Before a room is joined again for the second time, doubled each time. The first time it is joined
at once: a room worker that died costs its sessions no more than it must."""


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

_STATUS: dict[State, Status] = {
    State.NEW: Status.STARTING,
    State.CREATING: Status.STARTING,
    State.JOINING: Status.STARTING,
    State.WAITING: Status.STARTING,
    State.READY: Status.READY,
    State.LOST: Status.READY,
    State.REJOINING: Status.READY,
    State.RENEWING: Status.READY,
    State.ENDING: Status.ENDED,
    State.OVER: Status.ENDED,
}

_LIVE = frozenset(State) - {State.ENDING, State.OVER}

_WITH_A_ROOM = frozenset({State.JOINING, State.WAITING, State.READY, State.LOST, State.REJOINING})

_RENEWABLE = frozenset({State.READY, State.LOST, State.REJOINING, State.RENEWING})

_AWAY: dict[State, c.Timer] = {
    State.LOST: c.Timer.REPLICA_LOST,
    State.REJOINING: c.Timer.REPLICA_LOST,
    State.RENEWING: c.Timer.READY,
}
"""Where no replica listens, and what bounds that."""

_NEWS_ONCE = (
    e.ReplicaJoined,
    e.ReplicaLeft,
    e.ConversationExpired,
    e.ReplacementWanted,
)
"""These mean nothing where they change nothing."""

_USELESS = (
    e.ReplicaLeft,
    e.RoomLost,
    e.RoomFailed,
    e.ConversationExpired,
    e.ReplacementWanted,
)
"""After these nothing more is to be had of the conversation, if another one is ready."""


class IllegalEvent(Exception):
    """This fact cannot happen in this state: a bug of ours."""

    def __init__(self, state: State, fact: Fact) -> None:
        """Name the pair that is not in the table."""
        super().__init__(f"{type(fact).__name__} is illegal in state {state.value}")


class Session:
    """One session's life. Not thread-safe, never waits, never looks at a clock."""

    def __init__(self, *, renews: bool = False) -> None:
        """Begin in ``NEW``: nothing costs money yet. ``renews``: it outlives its conversation."""
        self.state = State.NEW
        self.reason: str | None = None
        """Why it ended, as in ``session.ended``."""
        self.detail: str | None = None
        self.error: BridgeError | None = None
        """What went wrong, when it failed."""
        self._renews = renews
        self._renewal = Renewal()
        self._losses = 0
        """How often the room was lost, or could not be entered."""

    @property
    def status(self) -> Status:
        """The public status."""
        return Status.FAILED if self.error is not None else _STATUS[self.state]

    @property
    def over(self) -> bool:
        """Whether clients can do nothing with it any more."""
        return self.state in (State.ENDING, State.OVER)

    @property
    def settled(self) -> bool:
        """Whether it is over and Tavus has answered for everything it was asked for."""
        return self.state is State.OVER and self._renewal.stage is not Stage.UNWANTED

    @property
    def moves_soon(self) -> bool:
        """Whether the next conversation is ready: where to join from now on."""
        return self._renewal.stage is Stage.READY

    def handle(self, fact: Fact) -> tuple[c.Command, ...]:
        """Take a fact and answer with orders, in the order to follow.

        Raises ``IllegalEvent``, and changes nothing, for a pair that is not in the table.
        """
        before = self.state
        fact = self._meant(fact)
        after = TABLE[before].get(type(fact))
        if after is None:
            raise IllegalEvent(before, fact)
        if self._is_stale(fact):
            return ()
        self.state = after
        if before in _LIVE and after not in _LIVE:
            return (*self._end(before, fact), *self._renewal.close())
        if isinstance(fact, renewal.Fact):
            return self._renew(before, fact)
        if after is before and isinstance(fact, _NEWS_ONCE):
            return ()
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
            case e.ReplicaJoined() | e.ReplicaLeft():
                return self._replica(before, after)
            case e.ReplicaStalled(stall):
                return (c.TellStall(stall),) if before is State.READY else ()
            case e.RoomLost():
                return self._rejoin(before)
            case e.ConversationExpired() | e.ReplacementWanted():
                return self._go_on(before)
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

    def _meant(self, fact: Fact) -> Fact:
        """What a fact comes to, by what happened before it."""
        if isinstance(fact, e.RoomLost) and self.state in _WITH_A_ROOM:
            self._losses += 1
            if self._losses > MAX_LOSSES:
                fact = e.RoomFailed(fact.error)
        if self._renews and self.state in _RENEWABLE and self._is_expiry(fact):
            fact = e.ConversationExpired()
        if self.state is State.READY and self.moves_soon and isinstance(fact, _USELESS):
            return e.VoiceRested()
        return fact

    def _is_expiry(self, fact: Fact) -> bool:
        """Whether Tavus ended the conversation because its time was over, or seems to have."""
        if isinstance(fact, e.ConversationShutDown):
            return fact.reason.startswith("max_call_duration")
        return isinstance(fact, e.RoomFailed) and self._renewal.awaited

    def _is_stale(self, fact: Fact) -> bool:
        """Whether a fact about the next conversation comes where none is to be made, or is made."""
        if isinstance(fact, e.RenewalDue):
            return self.state not in _RENEWABLE
        return isinstance(fact, e.NextReady) and self._renewal.stage is not Stage.JOINING

    def _watch_limit(self) -> tuple[c.Command, ...]:
        """Look ahead to the end of the conversation that speaks now."""
        return (c.StartTimer(c.Timer.RENEWAL),) if self._renews else ()

    def _renew(self, before: State, fact: renewal.Fact) -> tuple[c.Command, ...]:
        """Bring the next conversation on, and move over when nothing keeps us."""
        orders = self._renewal.handle(fact)
        match fact:
            case e.RenewalDue() if orders and before is not State.RENEWING:
                # Only a renewal that takes long is worth an announcement of the end.
                return (*orders, c.StartTimer(c.Timer.EXPIRY))
            case e.NextReady() if before is State.READY:
                return (*orders, c.PrepareMove())
            case e.NextReady():
                self._losses = 0
                over = (c.StopTimer(_AWAY[before]), *self._renewal.handle(e.VoiceRested()))
                back = (c.TellReplica(joined=True), c.ReleaseAudio())
                return (*orders, *over, *self._watch_limit(), *back)
            case e.VoiceRested() if orders:
                self._losses = 0
                return (*orders, *self._watch_limit())
        return orders

    def _go_on(self, before: State) -> tuple[c.Command, ...]:
        """Give up the conversation, and have the next one as soon as may be."""
        if before is State.READY:
            away: tuple[c.Command, ...] = (c.HoldAudio(gone=True), c.TellReplica(joined=False))
        else:
            away = (c.StopTimer(_AWAY[before]),)
        ahead = (c.StopTimer(c.Timer.EXPIRY), c.StartTimer(c.Timer.READY))
        return (*away, *ahead, c.DropConversation(), *self._renewal.handle(e.RenewalDue()))

    def _replica(self, before: State, after: State) -> tuple[c.Command, ...]:
        """It came or left."""
        if after is State.LOST:
            return (
                c.HoldAudio(gone=True),
                c.TellReplica(joined=False),
                c.StartTimer(c.Timer.REPLICA_LOST),
            )
        back = before is State.LOST
        timer = c.Timer.REPLICA_LOST if back else c.Timer.READY
        told: tuple[c.Command, ...] = () if back else (c.TellState(), *self._watch_limit())
        return (c.StopTimer(timer), c.TellReplica(joined=True), *told, c.ReleaseAudio())

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
        again = self._losses - 2
        return (*away, c.JoinRoom(0 if again < 0 else SECOND_WAIT_MS << again))

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
            case e.ReadyTimedOut() if before is not State.RENEWING:
                self.reason, self.error = "replica_timeout", ReplicaTimeout()
            case e.ReplicaLostTimedOut() | e.ReadyTimedOut():
                self.reason, self.error = "replica_lost", ReplicaLost()
            case e.IdleTimedOut():
                self.reason = "idle"
            case _:
                self.reason = "max_duration"
        if before in {State.NEW, State.CREATING, State.RENEWING}:
            # Tavus was not asked, or has not answered: what turns up after all is ended then.
            # Or the conversation was dropped before.
            return (c.TellState(), c.Finish())
        return (c.TellState(), c.Finish(), c.LeaveRoom(), c.EndConversation())
