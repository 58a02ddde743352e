"""Whatever happens to a session, in whatever order, it ends once and leaks no conversation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core import commands as c
from app.core import events as e
from app.core.session import OUTSIDE, Fact, Session, State
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
    e.RoomFailed(RoomFailed()),
    e.RoomLost(RoomFailed()),
    e.ParticipantJoined(PERSON),
    e.ParticipantLeft(PERSON),
    e.ReadyTimedOut(),
    e.ReplicaLostTimedOut(),
    e.IdleTimedOut(),
    e.LifetimeReached(),
]
STOPS: list[Fact] = [e.StopRequested(reason) for reason in ("deleted", "drained", "internal")]

anything = st.sampled_from(FROM_OUTSIDE + STOPS)
unasked = st.sampled_from([fact for fact in FROM_OUTSIDE if fact is not CREATED])
"""What can come before anybody asked Tavus for a conversation."""


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Chance, a start, some steps of a usual life with chance in between, chance, and a stop."""
    facts = [*draw(st.lists(unasked, max_size=3)), e.StartRequested()]
    for step in USUAL[: draw(st.integers(0, len(USUAL)))]:
        facts += [*draw(st.lists(anything, max_size=2)), step]
    return [*facts, *draw(st.lists(anything, max_size=15)), draw(st.sampled_from(STOPS))]


def test_no_outside_fact_is_missing() -> None:
    """Chance draws from every type of fact that may come at any time."""
    assert set(OUTSIDE) == {type(fact) for fact in FROM_OUTSIDE}


@given(lives())
def test_any_life_ends_once_and_leaks_no_conversation(life: list[Fact]) -> None:
    """Nothing raises, there is one end, and each conversation is ended once it exists."""
    session = Session()
    story: list[Fact | c.Command] = []
    for fact in life:
        story += [fact, *session.handle(fact)]

        assert session.over == (c.Finish() in story)

    creations = [at for at, step in enumerate(story) if step == CREATED]
    ends = [at for at, step in enumerate(story) if step == c.EndConversation()]
    assert 1 == story.count(c.Finish())
    assert story.count(c.LeaveRoom()) <= 1
    assert bool(creations) == bool(ends)
    assert creations[:1] < ends[:1] or not creations
    assert creations[-1:] < ends[-1:] or not creations

    assert () == session.handle(e.ConversationEnded())
    assert State.OVER is session.state


@given(lives(), st.lists(anything, max_size=15))
def test_what_was_told_of_an_end_stays_true(life: list[Fact], late: list[Fact]) -> None:
    """After the end nothing is told, and reason, error and status never change again."""
    session = Session()
    for fact in life:
        session.handle(fact)
    told = session.reason, session.detail, session.error, session.status

    for fact in late:
        assert set(session.handle(fact)) <= {c.EndConversation()}
        assert told == (session.reason, session.detail, session.error, session.status)
    assert None is not session.reason
    assert session.status in {Status.ENDED, Status.FAILED}
    assert (Status.FAILED is session.status) == (session.error is not None)
