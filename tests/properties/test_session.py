"""Whatever happens to a session, in whatever order, it ends once and leaks no conversation."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from app.core import commands as c
from app.core import events as e
from app.core.session import Session
from app.core.session_table import OUTSIDE, Fact
from app.core.spec import Status
from app.errors import RoomFailed, TavusUnavailable

CREATED = e.ConversationCreated("c1", "https://tavus.daily.co/c1")
USUAL: list[Fact] = [CREATED, e.RoomJoined(), e.ReplicaJoined(), e.ReplicaLeft()]
PERSON = e.Participant("p1")

FROM_OUTSIDE: list[Fact] = [
    *USUAL,
    e.ConversationRefused(TavusUnavailable()),
    e.ConversationEnded(),
    e.ConversationShutDown("max_call_duration reached"),
    e.ConversationExpired(),
    e.ReplacementWanted(),
    e.RoomFailed(RoomFailed()),
    e.RoomLost(RoomFailed()),
    e.ReplicaStalled(e.Stall.SPEECH),
    e.ParticipantJoined(PERSON),
    e.ParticipantLeft(PERSON),
    e.ReadyTimedOut(),
    e.ReplicaLostTimedOut(),
    e.IdleTimedOut(),
    e.LifetimeReached(),
    e.RenewalDue(),
    e.NextCreated(),
    e.NextRefused(TavusUnavailable()),
    e.NextReady(),
    e.NextFailed(RoomFailed()),
    e.VoiceRested(),
]
STOPS: list[Fact] = [e.StopRequested(reason) for reason in ("deleted", "drained", "internal")]

REFUSED = e.ConversationRefused(TavusUnavailable())

anything = st.sampled_from(FROM_OUTSIDE + STOPS)
NEXT_CREATED, NEXT_REFUSED = e.NextCreated(), e.NextRefused(TavusUnavailable())
RENEWAL: list[Fact] = [e.RenewalDue(), NEXT_CREATED, e.NextReady(), e.VoiceRested()]
unasked = st.sampled_from([fact for fact in FROM_OUTSIDE if fact not in {CREATED, NEXT_CREATED}])
"""What can come before anybody asked Tavus for a conversation."""


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Chance, a start, some steps of a usual life with chance in between, chance, and a stop."""
    facts = [*draw(st.lists(unasked, max_size=3)), e.StartRequested()]
    usual = [*USUAL[:3], *RENEWAL, *RENEWAL, *USUAL[3:]] if draw(st.booleans()) else USUAL
    for step in usual[: draw(st.integers(0, len(usual)))]:
        facts += [*draw(st.lists(anything, max_size=2)), step]
    return [*facts, *draw(st.lists(anything, max_size=15)), draw(st.sampled_from(STOPS))]


def test_no_outside_fact_is_missing() -> None:
    """Chance draws from every type of fact that may come at any time."""
    assert set(OUTSIDE) == {type(fact) for fact in FROM_OUTSIDE}


@dataclass
class Account:
    """What costs money, by what was ordered; it answers a create once, and only if it was asked."""

    speaks: bool = False
    follows: bool = False
    asked: int = 0
    asked_for_next: int = 0
    finished: int = 0

    def gives(self, fact: Fact) -> bool:
        """Whether this fact can come now; notes what it costs."""
        match fact:
            case e.ConversationCreated():
                self.speaks, self.asked = self.speaks or bool(self.asked), 0
                return self.speaks
            case e.ConversationRefused():
                self.asked, asked = 0, self.asked
                return bool(asked)
            case e.NextCreated() | e.NextRefused():
                self.asked_for_next, asked = 0, self.asked_for_next
                self.follows = self.follows or (bool(asked) and isinstance(fact, e.NextCreated))
                return bool(asked)
        return True

    def take(self, order: c.Command) -> None:
        """Note what an order saves."""
        match order:
            case c.CreateConversation():
                self.asked += 1
            case c.CreateNext():
                assert not self.asked_for_next
                assert not self.follows
                self.asked_for_next += 1
            case c.EndConversation() | c.DropConversation():
                self.speaks = False
            case c.DropNext():
                self.follows = False
            case c.MoveOver():
                assert self.follows
                assert not self.finished
                self.speaks, self.follows = True, False  # the one before is dropped
            case c.Finish():
                self.finished += 1


@given(lives(), st.booleans(), st.booleans())
def test_any_life_ends_once_and_leaks_no_conversation(
    life: list[Fact], renews: bool, is_made: bool
) -> None:
    """Nothing raises, there is one end, and when it is settled nothing costs money."""
    session, account = Session(renews=renews), Account()
    answers: list[Fact] = [CREATED, NEXT_CREATED] if is_made else [REFUSED, NEXT_REFUSED]
    for fact in [*life, *answers, e.ConversationEnded()]:
        if not account.gives(fact):
            continue
        for order in session.handle(fact):
            account.take(order)

        assert session.over == bool(account.finished)
        assert not session.settled or not (account.speaks or account.follows)

    assert 1 == account.finished
    assert session.settled
    assert (False, False) == (account.speaks, account.follows)


@given(lives(), st.lists(anything, max_size=15))
def test_what_was_told_of_an_end_stays_true(life: list[Fact], late: list[Fact]) -> None:
    """After the end nothing is told, and reason, error and status never change again."""
    session = Session()
    for fact in life:
        session.handle(fact)
    told = session.reason, session.detail, session.error, session.status

    for fact in late:
        assert set(session.handle(fact)) <= {c.EndConversation(), c.DropNext()}
        assert told == (session.reason, session.detail, session.error, session.status)
    assert None is not session.reason
    assert session.status in {Status.ENDED, Status.FAILED}
    assert (Status.FAILED is session.status) == (session.error is not None)
