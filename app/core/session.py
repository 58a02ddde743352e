"""A session's life: facts in, orders out, by the table of ``app.core.session_table``.

Facts reach a session through ``handle``; it answers with orders (``app.core.commands``) and
performs none of them. A fact whose pair with the state is not in the table raises ``IllegalEvent``
and changes nothing. What the table cannot say is here: what a fact comes to by what happened
before it, which orders follow from a change, and why a session ended.
"""

from __future__ import annotations

from typing import assert_never

from app.core import commands as c
from app.core import events as e
from app.core import renewal
from app.core.renewal import Renewal, Stage
from app.core.session_table import TABLE, Fact, State
from app.core.spec import Status
from app.errors import BridgeError, Internal, ReplicaLost, ReplicaTimeout

MAX_LOSSES = 5
"""So often a session joins a conversation's room again; who loses it once more is out."""

SECOND_WAIT_MS = 500
"""Before a room is joined again for the second time, doubled each time. The first time it is joined
at once: a room worker that died costs its sessions no more than it must."""


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
