"""The next conversation of a session, made ready beside the one that speaks: a table, too.

Tavus ends every conversation at its limit, and a replica may die before. A session that shall go on
asks for the next conversation, waits until its room and replica are there, and moves over::

    NONE ─▶ CREATING ─▶ JOINING ─▶ READY ─▶ NONE, the next being the one that speaks now
     ▲         │           │         │
     └─────────┴───────────┴─────────┘ refused or failed: told, and tried again later

At the session's end the next conversation is dropped. One that Tavus has yet to answer for is
``UNWANTED``, and dropped as soon as it is known: until then the session is not settled.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from app.core import commands as c
from app.core import events as e
from app.errors import BridgeError

AHEAD_NS = 90_000_000_000
"""How long before a conversation's end the next one is asked for, at most half its life.

A replica may take up to a minute to come (Tavus quotes 2 s), and then speech needs a pause.
"""

FIRST_RETRY_S, LAST_RETRY_S = 2, 30
"""Between two attempts: doubled from the first to the last."""


class Stage(Enum):
    """How far the next conversation is."""

    NONE = "none"
    CREATING = "creating"
    JOINING = "joining"
    READY = "ready"
    UNWANTED = "unwanted"
    CLOSED = "closed"


Fact = e.RenewalDue | e.NextCreated | e.NextRefused | e.NextReady | e.NextFailed | e.VoiceRested

FACTS: tuple[type[Fact], ...] = (
    e.RenewalDue,
    e.NextCreated,
    e.NextRefused,
    e.NextReady,
    e.NextFailed,
    e.VoiceRested,
)
"""All of these come from outside: late, twice, in any order."""


def _row(stage: Stage, changes: dict[type[Fact], Stage]) -> dict[type[Fact], Stage]:
    """A row of the table: facts stay where no change is named."""
    return dict.fromkeys(FACTS, stage) | changes


TABLE: dict[Stage, dict[type[Fact], Stage]] = {
    Stage.NONE: _row(Stage.NONE, {e.RenewalDue: Stage.CREATING}),
    Stage.CREATING: _row(Stage.CREATING, {e.NextCreated: Stage.JOINING, e.NextRefused: Stage.NONE}),
    Stage.JOINING: _row(Stage.JOINING, {e.NextReady: Stage.READY, e.NextFailed: Stage.NONE}),
    Stage.READY: _row(Stage.READY, {e.VoiceRested: Stage.NONE, e.NextFailed: Stage.NONE}),
    Stage.UNWANTED: _row(
        Stage.UNWANTED, {e.NextCreated: Stage.CLOSED, e.NextRefused: Stage.CLOSED}
    ),
    Stage.CLOSED: _row(Stage.CLOSED, {}),
}


class Renewal:
    """One session's. Orders follow from a change of stage; a fact that changes nothing has none."""

    def __init__(self) -> None:
        """Begin with no next conversation on its way."""
        self.stage = Stage.NONE
        self._failures = 0
        """In a row."""

    @property
    def awaited(self) -> bool:
        """Whether the next conversation is on its way, or will be tried for again."""
        tried_again = self.stage is Stage.NONE and self._failures > 0
        return tried_again or self.stage in {Stage.CREATING, Stage.JOINING}

    def handle(self, fact: Fact) -> tuple[c.Command, ...]:
        """Take a fact and answer with orders, in the order to follow."""
        before, self.stage = self.stage, TABLE[self.stage][type(fact)]
        if self.stage is before:
            # Nobody waits for one that turns up after all, but it costs money.
            idle = before in {Stage.NONE, Stage.CLOSED}
            return (c.DropNext(),) if idle and isinstance(fact, e.NextCreated) else ()
        match fact:
            case e.RenewalDue():
                return (c.CreateNext(),)
            case e.NextCreated():
                if self.stage is Stage.CLOSED:
                    return (c.DropNext(),)
                return (c.StartTimer(c.Timer.NEXT), c.JoinNext())
            case e.NextRefused(error):
                return () if self.stage is Stage.CLOSED else self._try_again(error)
            case e.NextReady():
                return (c.StopTimer(c.Timer.NEXT), c.StopTimer(c.Timer.EXPIRY))
            case e.NextFailed(error):
                return (c.StopTimer(c.Timer.NEXT), c.DropNext(), *self._try_again(error))
            case e.VoiceRested():
                self._failures = 0
                return (c.MoveOver(),)
            case _:
                assert_never(fact)

    def close(self) -> tuple[c.Command, ...]:
        """The session is over: no next conversation is wanted. The second time does nothing."""
        before = self.stage
        awaited = before in {Stage.CREATING, Stage.UNWANTED}
        self.stage = Stage.UNWANTED if awaited else Stage.CLOSED
        return (c.DropNext(),) if before in {Stage.JOINING, Stage.READY} else ()

    def _try_again(self, error: BridgeError) -> tuple[c.Command, ...]:
        after_s = min(FIRST_RETRY_S << self._failures, LAST_RETRY_S)
        self._failures += 1
        return (c.TellError(error), c.RenewLater(after_s))


def begins_at(asked_at: int, ends_at: int) -> int:
    """When to ask for the next conversation, for one asked for at ``asked_at``; all in ns."""
    return ends_at - min(AHEAD_NS, (ends_at - asked_at) // 2)
