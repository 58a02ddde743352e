from __future__ import annotations

import copy
from typing import get_args

import pytest

from app.core import commands as c
from app.core import events as e
from app.core.session import MAX_LOSSES, IllegalEvent, Session
from app.core.session_table import TABLE, Fact, State
from app.core.spec import Status
from app.errors import BridgeError, Internal, ReplicaLost, ReplicaTimeout, RoomFailed, TavusRejected

PERSON = e.Participant("p1", "u1", "Ada")
REFUSAL = TavusRejected("Invalid persona_id")
FAILURE = RoomFailed("thrown out")

SAMPLES: dict[type[Fact], Fact] = {
    type(fact): fact
    for fact in (
        e.StartRequested(),
        e.StopRequested("deleted"),
        e.ConversationCreated("c1", "https://tavus.daily.co/c1"),
        e.ConversationRefused(REFUSAL),
        e.ConversationEnded(),
        e.ConversationShutDown("max_call_duration reached"),
        e.ConversationExpired(),
        e.ReplacementWanted(),
        e.RoomJoined(),
        e.RoomFailed(FAILURE),
        e.RoomLost(FAILURE),
        e.ReplicaJoined(),
        e.ReplicaLeft(),
        e.ReplicaStalled(e.Stall.SPEECH),
        e.ParticipantJoined(PERSON),
        e.ParticipantLeft(PERSON),
        e.ReadyTimedOut(),
        e.ReplicaLostTimedOut(),
        e.IdleTimedOut(),
        e.LifetimeReached(),
        e.RenewalDue(),
        e.NextCreated(),
        e.NextRefused(REFUSAL),
        e.NextReady(),
        e.NextFailed(FAILURE),
        e.VoiceRested(),
    )
}
"""One fact of each type."""

WAY: dict[State, tuple[type[Fact], ...]] = {
    State.NEW: (),
    State.CREATING: (e.StartRequested,),
    State.JOINING: (e.StartRequested, e.ConversationCreated),
    State.WAITING: (e.StartRequested, e.ConversationCreated, e.RoomJoined),
    State.READY: (e.StartRequested, e.ConversationCreated, e.RoomJoined, e.ReplicaJoined),
    State.LOST: (
        e.StartRequested,
        e.ConversationCreated,
        e.RoomJoined,
        e.ReplicaJoined,
        e.ReplicaLeft,
    ),
    State.REJOINING: (
        e.StartRequested,
        e.ConversationCreated,
        e.RoomJoined,
        e.ReplicaJoined,
        e.RoomLost,
    ),
    State.RENEWING: (
        e.StartRequested,
        e.ConversationCreated,
        e.RoomJoined,
        e.ReplicaJoined,
        e.ReplacementWanted,
    ),
    State.ENDING: (e.StartRequested, e.ConversationCreated, e.StopRequested),
    State.OVER: (e.StartRequested, e.ConversationCreated, e.StopRequested, e.ConversationEnded),
}
"""What leads to each state."""

WITH_A_CONVERSATION = (
    State.JOINING,
    State.WAITING,
    State.READY,
    State.LOST,
    State.REJOINING,
)
ENDED = (State.ENDING, State.OVER)
RENEWABLE = (State.READY, State.LOST, State.REJOINING, State.RENEWING)


def session_in(state: State, *, renewing: bool = False, renews: bool = False) -> Session:
    """A session that came to ``state`` by its usual way.

    ``renewing``: its next conversation is on its way; ``renews``: it was asked to go on.
    """
    session = Session(renews=renews)
    way = [SAMPLES[kind] for kind in WAY[state]]
    if renewing:
        way[4:4] = [e.RenewalDue(), e.NextCreated()]
    for fact in way:
        session.handle(fact)

    assert state is session.state
    return session


def after(session: Session, fact: Fact) -> State:
    """The state of ``session`` after this fact."""
    session.handle(fact)
    return session.state


def looks(session: Session) -> dict[str, object]:
    """Everything a session holds."""
    return vars(session) | {"_renewal": copy.copy(vars(session._renewal))}


# --- the table --------------------------------------------------------------------------------


def test_every_fact_has_a_sample() -> None:
    """No type of fact is missing in these tests."""
    assert set(get_args(Fact)) == set(SAMPLES)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", SAMPLES)
def test_the_table_is_the_law(state: State, kind: type[Fact]) -> None:
    """A pair of the table moves to its state; any other raises, says why and changes nothing."""
    renewing = kind is e.NextReady and state in RENEWABLE
    session = session_in(state, renewing=renewing)
    before = looks(session)
    after = TABLE[state].get(kind)
    if after is not None:
        session.handle(SAMPLES[kind])

        assert after is session.state
        return

    with pytest.raises(IllegalEvent, match=f"{kind.__name__} is illegal in state {state.value}"):
        session.handle(SAMPLES[kind])

    assert before == looks(session)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.NEW, Status.STARTING),
        (State.CREATING, Status.STARTING),
        (State.JOINING, Status.STARTING),
        (State.WAITING, Status.STARTING),
        (State.READY, Status.READY),
        (State.LOST, Status.READY),
        (State.REJOINING, Status.READY),
        (State.RENEWING, Status.READY),
        (State.ENDING, Status.ENDED),
        (State.OVER, Status.ENDED),
    ],
)
def test_the_public_status(state: State, status: Status) -> None:
    """Clients see four states; while the end is confirmed behind their back it is over for them."""
    session = session_in(state)

    assert status is session.status
    assert (state in ENDED) == session.over


# --- a life -----------------------------------------------------------------------------------


def test_a_life_from_start_to_end() -> None:
    """Create, join, wait, be ready, end: each fact brings exactly these orders."""
    session = Session()
    script: list[tuple[Fact, tuple[c.Command, ...]]] = [
        (
            e.StartRequested(),
            (
                c.StartTimer(c.Timer.LIFETIME),
                c.StartTimer(c.Timer.IDLE),
                c.StartTimer(c.Timer.READY),
                c.CreateConversation(),
            ),
        ),
        (e.ConversationCreated("c1", "https://tavus.daily.co/c1"), (c.JoinRoom(),)),
        (e.RoomJoined((PERSON,)), ()),
        (e.ParticipantJoined(PERSON), (c.TellParticipant(PERSON, joined=True),)),
        (
            e.ReplicaJoined(),
            (
                c.StopTimer(c.Timer.READY),
                c.TellReplica(joined=True),
                c.TellState(),
                c.ReleaseAudio(),
            ),
        ),
        (e.ParticipantLeft(PERSON), (c.TellParticipant(PERSON, joined=False),)),
        (
            e.StopRequested("deleted"),
            (c.TellState(), c.Finish(), c.LeaveRoom(), c.EndConversation()),
        ),
        (e.ConversationEnded(), ()),
    ]
    orders = [session.handle(fact) for fact, _ in script]

    assert [expected for _, expected in script] == orders
    assert State.OVER is session.state


def test_the_replica_may_go_and_come_back() -> None:
    """Audio is held while it is away; the session stays ready, and a timer bounds the wait."""
    session = session_in(State.READY)

    assert (
        c.HoldAudio(gone=True),
        c.TellReplica(joined=False),
        c.StartTimer(c.Timer.REPLICA_LOST),
    ) == session.handle(e.ReplicaLeft())
    assert Status.READY is session.status
    assert (
        c.StopTimer(c.Timer.REPLICA_LOST),
        c.TellReplica(joined=True),
        c.ReleaseAudio(),
    ) == session.handle(e.ReplicaJoined())


@pytest.mark.parametrize("state", State)
def test_a_stall_is_told_where_the_replica_should_be_alive(state: State) -> None:
    """Elsewhere the replica is not there, and that is known already."""
    told = session_in(state).handle(e.ReplicaStalled(e.Stall.PICTURE))

    assert ((c.TellStall(e.Stall.PICTURE),) if state is State.READY else ()) == told


# --- losing the room --------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.JOINING, State.WAITING])
def test_a_room_lost_before_the_session_is_ready_is_joined_again(state: State) -> None:
    """The same conversation, and the same time to get ready."""
    session = session_in(state)

    assert (c.JoinRoom(),) == session.handle(e.RoomLost(FAILURE))
    assert State.JOINING is session.state


def test_a_ready_session_comes_back_and_looks_for_the_replica_anew() -> None:
    """Audio is held, clients see the replica go and come, and one timer bounds it all."""
    session = session_in(State.READY)

    assert (
        c.HoldAudio(gone=False),
        c.TellReplica(joined=False),
        c.StartTimer(c.Timer.REPLICA_LOST),
        c.JoinRoom(),
    ) == session.handle(e.RoomLost(FAILURE))
    assert (State.REJOINING, Status.READY) == (session.state, session.status)
    assert (c.JoinRoom(500),) == session.handle(e.RoomLost(FAILURE))  # the new one as well
    assert () == session.handle(e.RoomJoined())
    assert (
        c.StopTimer(c.Timer.REPLICA_LOST),
        c.TellReplica(joined=True),
        c.ReleaseAudio(),
    ) == session.handle(e.ReplicaJoined())


def test_a_room_lost_while_the_replica_is_away_does_not_start_the_wait_anew() -> None:
    """The replica has been away all that time."""
    session = session_in(State.LOST)

    assert (c.JoinRoom(),) == session.handle(e.RoomLost(FAILURE))
    assert State.REJOINING is session.state


def test_a_room_that_is_lost_again_is_joined_again_later_each_time() -> None:
    """What is broken may need a moment; in another conversation it is not broken."""
    session = session_in(State.READY, renews=True)
    waits = [session.handle(e.RoomLost(FAILURE))[-1] for _ in range(MAX_LOSSES)]
    session.handle(e.RenewalDue())
    session.handle(e.NextCreated())
    session.handle(e.NextReady())

    assert [c.JoinRoom(after_ms) for after_ms in (0, 500, 1000, 2000, 4000)] == waits
    assert c.JoinRoom() == session.handle(e.RoomLost(FAILURE))[-1]


def test_a_room_is_not_joined_again_for_ever() -> None:
    """The loss that is one too many ends the session, with what was wrong."""
    session = session_in(State.READY)
    for _ in range(MAX_LOSSES):
        session.handle(e.RoomLost(FAILURE))
    orders = session.handle(e.RoomLost(FAILURE))

    assert (c.TellState(), c.Finish(), c.LeaveRoom(), c.EndConversation()) == orders
    assert ("room_failed", FAILURE) == (session.reason, session.error)


# --- going on in another conversation ----------------------------------------------------------

WATCH_LIMIT = (c.StartTimer(c.Timer.RENEWAL),)
NEXT_IS_READY = (c.StopTimer(c.Timer.NEXT), c.StopTimer(c.Timer.EXPIRY))


def prepared() -> Session:
    """A session that speaks, goes on, and has its next conversation ready."""
    session = session_in(State.READY, renewing=True, renews=True)
    session.handle(e.NextReady())

    assert session.moves_soon
    return session


def test_a_session_that_goes_on_watches_its_conversation_s_limit() -> None:
    """From its readiness on, and anew in each conversation."""
    session = session_in(State.WAITING, renews=True)

    assert set(WATCH_LIMIT) <= set(session.handle(e.ReplicaJoined()))
    assert not set(WATCH_LIMIT) & set(session_in(State.WAITING).handle(e.ReplicaJoined()))


def test_a_renewal() -> None:
    """Create, join, be ready, let the voice rest, move over: each fact brings exactly these."""
    session = session_in(State.READY, renews=True)
    script: list[tuple[Fact, tuple[c.Command, ...]]] = [
        (e.RenewalDue(), (c.CreateNext(), c.StartTimer(c.Timer.EXPIRY))),
        (e.NextCreated(), (c.StartTimer(c.Timer.NEXT), c.JoinNext())),
        (e.NextReady(), (*NEXT_IS_READY, c.PrepareMove())),
        (e.VoiceRested(), (c.MoveOver(), *WATCH_LIMIT)),
    ]
    orders = [session.handle(fact) for fact, _ in script]

    assert [expected for _, expected in script] == orders
    assert not session.moves_soon


@pytest.mark.parametrize("state", [State.LOST, State.REJOINING])
def test_a_session_without_its_replica_moves_over_at_once(state: State) -> None:
    """Nothing is spoken that could be broken into."""
    session = session_in(state, renewing=True)

    assert (
        *NEXT_IS_READY,
        c.StopTimer(c.Timer.REPLICA_LOST),
        c.MoveOver(),
        c.TellReplica(joined=True),
        c.ReleaseAudio(),
    ) == session.handle(e.NextReady())
    assert State.READY is session.state


@pytest.mark.parametrize(
    "fact",
    [
        e.ReplicaLeft(),
        e.RoomLost(FAILURE),
        e.RoomFailed(FAILURE),
        e.ConversationShutDown("max_call_duration reached"),
        e.ReplacementWanted(),
    ],
)
def test_who_can_move_over_waits_for_nothing_else(fact: Fact) -> None:
    """When the conversation breaks while the next one is ready, it goes on there at once."""
    session = prepared()

    assert (c.MoveOver(), *WATCH_LIMIT) == session.handle(fact)
    assert State.READY is session.state


def test_a_shutdown_that_is_meant_ends_the_session() -> None:
    """Somebody ended the conversation on purpose, or there are no credits: that is no limit."""
    session = prepared()
    orders = session.handle(e.ConversationShutDown("end_conversation_endpoint_hit"))

    assert (c.DropNext(),) == orders[-1:]
    assert State.ENDING is session.state


@pytest.mark.parametrize("state", [State.READY, State.LOST, State.REJOINING])
@pytest.mark.parametrize("renewing", [False, True])
def test_a_replacement_gives_up_the_conversation_first(state: State, *, renewing: bool) -> None:
    """What clients send is held; one that is on its way already is waited for."""
    session = session_in(state, renewing=renewing)
    away: tuple[c.Command, ...] = (c.StopTimer(c.Timer.REPLICA_LOST),)
    if state is State.READY:
        away = (c.HoldAudio(gone=True), c.TellReplica(joined=False))

    assert (
        *away,
        c.StopTimer(c.Timer.EXPIRY),
        c.StartTimer(c.Timer.READY),
        c.DropConversation(),
        *(() if renewing else (c.CreateNext(),)),
    ) == session.handle(e.ReplacementWanted())
    assert State.RENEWING is session.state
    session.handle(e.NextCreated())

    assert (
        *NEXT_IS_READY,
        c.StopTimer(c.Timer.READY),
        c.MoveOver(),
        c.TellReplica(joined=True),
        c.ReleaseAudio(),
    ) == session.handle(e.NextReady())


@pytest.mark.parametrize("state", [State.READY, State.LOST, State.REJOINING])
def test_a_limit_that_comes_too_early_is_a_gap_and_no_end(state: State) -> None:
    """A session that goes on has its next conversation made when the last one is over."""
    session = session_in(state, renews=True)
    orders = session.handle(e.ConversationShutDown("max_call_duration reached"))

    assert (c.DropConversation(), c.CreateNext()) == orders[-2:]
    assert (State.RENEWING, Status.READY) == (session.state, session.status)


def test_a_room_that_closes_while_the_next_one_is_on_its_way_is_a_gap() -> None:
    """Tavus may close the room before it says why; without a next one that is the end."""
    session = session_in(State.READY, renewing=True, renews=True)
    session.handle(e.RoomFailed(FAILURE))
    other = session_in(State.READY, renews=True)
    other.handle(e.RoomFailed(FAILURE))

    assert (State.RENEWING, State.ENDING) == (session.state, other.state)


@pytest.mark.parametrize("state", [State.CREATING, State.JOINING, State.WAITING])
def test_a_limit_before_the_session_is_ready_is_its_end(state: State) -> None:
    """What never was ready does not go on."""
    session = session_in(state, renews=True)
    session.handle(e.ConversationShutDown("max_call_duration reached"))

    assert "tavus_shutdown" == session.reason


def test_a_failed_renewal_leaves_the_session_as_it_is() -> None:
    """The error is told, it is tried again, and the move that was prepared is called off."""
    session = prepared()

    assert (
        c.StopTimer(c.Timer.NEXT),
        c.DropNext(),
        c.TellError(FAILURE),
        c.RenewLater(2),
    ) == session.handle(e.NextFailed(FAILURE))
    assert State.READY is session.state
    assert (c.CreateNext(), c.StartTimer(c.Timer.EXPIRY)) == session.handle(e.RenewalDue())


@pytest.mark.parametrize("state", RENEWABLE)
def test_an_end_drops_the_next_conversation(state: State) -> None:
    """Both cost money."""
    session = session_in(state, renewing=True)

    assert (c.DropNext(),) == session.handle(e.StopRequested("deleted"))[-1:]
    assert () == session.handle(e.NextReady())


@pytest.mark.parametrize("answer", [e.NextCreated(), e.NextRefused(REFUSAL)])
def test_an_end_waits_for_the_answer_about_the_next_conversation(answer: Fact) -> None:
    """Until Tavus has answered nobody knows whether it costs money."""
    session = session_in(State.RENEWING)
    session.handle(e.StopRequested("deleted"))

    assert (State.OVER, False) == (session.state, session.settled)
    created = isinstance(answer, e.NextCreated)
    assert ((c.DropNext(),) if created else ()) == session.handle(answer)
    assert session.settled


# --- the end ----------------------------------------------------------------------------------

CAUSES: list[tuple[Fact, str, str | None, BridgeError | type[BridgeError] | None, set[State]]] = [
    (e.StopRequested("deleted"), "deleted", None, None, set()),
    (e.StopRequested("drained", "a deploy"), "drained", "a deploy", None, set()),
    (e.StopRequested("internal", "a bug"), "internal", "a bug", Internal, set()),
    (
        e.ConversationShutDown("credits"),
        "tavus_shutdown",
        "credits",
        None,
        {State.NEW, State.RENEWING},
    ),
    (e.RoomFailed(FAILURE), "room_failed", "thrown out", FAILURE, {State.NEW, State.RENEWING}),
    (e.IdleTimedOut(), "idle", None, None, {State.NEW}),
    (e.LifetimeReached(), "max_duration", None, None, {State.NEW}),
    (
        e.ReadyTimedOut(),
        "replica_timeout",
        None,
        ReplicaTimeout,
        {State.NEW, *RENEWABLE},
    ),
    (
        e.ReplicaLostTimedOut(),
        "replica_lost",
        None,
        ReplicaLost,
        set(State) - {State.LOST, State.REJOINING},
    ),
    (
        e.ConversationRefused(REFUSAL),
        "internal",
        "Invalid persona_id",
        REFUSAL,
        set(State) - {State.CREATING},
    ),
]
"""What ends a session, its reason, detail and error, and the states in which it does not."""


@pytest.mark.parametrize("state", [state for state in State if state not in ENDED])
@pytest.mark.parametrize(("fact", "reason", "detail", "error", "not_in"), CAUSES)
def test_every_cause_of_an_end(
    state: State,
    fact: Fact,
    reason: str,
    detail: str | None,
    error: BridgeError | type[BridgeError] | None,
    not_in: set[State],
) -> None:
    """Each cause has its reason and status, tells and finishes once, and ends what costs money."""
    session = session_in(state)
    orders = session.handle(fact)
    if isinstance(fact, e.ReadyTimedOut) and state is State.RENEWING:
        reason, error = "replica_lost", ReplicaLost  # it was there before
        not_in = set()
    if state in not_in:
        assert (False, None, None, None) == (
            session.over,
            session.reason,
            session.detail,
            session.error,
        )
        assert c.Finish() not in orders
        return

    paid = (c.LeaveRoom(), c.EndConversation()) if state in WITH_A_CONVERSATION else ()
    assert (c.TellState(), c.Finish(), *paid) == orders
    assert (True, reason, detail) == (session.over, session.reason, session.detail)
    assert (Status.ENDED if error is None else Status.FAILED) is session.status
    assert error in {session.error, type(session.error), None}


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind is not e.StartRequested])
def test_after_the_end_nothing_changes_what_was_told(state: State, kind: type[Fact]) -> None:
    """No fact tells or finishes anything again, or changes reason, error and status."""
    session = session_in(state)
    orders = session.handle(SAMPLES[kind])

    assert kind in {e.ConversationCreated, e.NextCreated} or () == orders
    assert ("deleted", None, None) == (session.reason, session.detail, session.error)
    assert Status.ENDED is session.status


def test_an_end_before_the_start_costs_nothing() -> None:
    """A session that never asked Tavus is over at once."""
    session = Session()

    assert (c.TellState(), c.Finish()) == session.handle(e.StopRequested("deleted"))
    assert State.OVER is session.state


def test_a_refusal_is_the_end() -> None:
    """Without a conversation nothing is left to confirm."""
    session = session_in(State.CREATING)
    session.handle(e.ConversationRefused(REFUSAL))

    assert State.OVER is session.state


@pytest.mark.parametrize("state", WITH_A_CONVERSATION)
def test_an_end_is_over_when_tavus_confirms_it(state: State) -> None:
    """Until then the session is ended for its clients and not for us."""
    session = session_in(state)

    assert State.ENDING is after(session, e.StopRequested("deleted"))
    assert State.OVER is after(session, e.ConversationEnded())


# --- late and doubled facts -------------------------------------------------------------------


def test_a_conversation_that_turns_up_after_the_end_is_ended() -> None:
    """Deleted while Tavus was still at work: what it made is ended as soon as it is known."""
    session = session_in(State.CREATING)

    assert (c.TellState(), c.Finish()) == session.handle(e.StopRequested("deleted"))
    assert (c.EndConversation(),) == session.handle(SAMPLES[e.ConversationCreated])
    assert State.OVER is after(session, e.ConversationEnded())


def test_a_refusal_after_the_end_settles_it() -> None:
    """Deleted while Tavus was still at work, and then refused: nothing is left to end."""
    session = session_in(State.CREATING)
    session.handle(e.StopRequested("deleted"))

    assert () == session.handle(e.ConversationRefused(REFUSAL))
    assert State.OVER is session.state
    assert "deleted" == session.reason
    assert None is session.error


def test_a_conversation_that_turns_up_after_all_is_ended() -> None:
    """Even where the session was over for good, what costs money is ended."""
    session = session_in(State.CREATING)
    session.handle(e.ConversationRefused(REFUSAL))

    assert (c.EndConversation(),) == session.handle(SAMPLES[e.ConversationCreated])
    assert Status.FAILED is session.status
    assert State.OVER is after(session, e.ConversationEnded())


NOTHING = [
    *[(state, e.ConversationCreated) for state in (State.NEW, *WITH_A_CONVERSATION)],
    *[(state, e.ConversationRefused) for state in (State.NEW, *WITH_A_CONVERSATION)],
    *[(state, e.ConversationEnded) for state in State],
    (State.NEW, e.ConversationShutDown),
    *[(state, e.RoomJoined) for state in State],
    (State.NEW, e.RoomFailed),
    *[
        (state, e.ReplicaJoined)
        for state in State
        if state not in {State.WAITING, State.LOST, *ENDED}
    ],
    *[(state, e.ReplicaLeft) for state in State if state not in {State.READY, *ENDED}],
    *[(state, e.ReadyTimedOut) for state in (State.NEW, State.READY, State.LOST, State.REJOINING)],
    *[
        (state, e.ReplicaLostTimedOut)
        for state in State
        if state not in {State.LOST, State.REJOINING}
    ],
    *[(state, e.RoomLost) for state in (State.NEW, State.CREATING, State.RENEWING, *ENDED)],
    *[(state, e.RoomFailed) for state in (State.RENEWING, *ENDED)],
    *[(state, e.ConversationShutDown) for state in (State.RENEWING, *ENDED)],
    *[
        (state, kind)
        for state in State
        if state not in RENEWABLE or state is State.RENEWING
        for kind in (e.ConversationExpired, e.ReplacementWanted)
    ],
    *[(state, e.RenewalDue) for state in State if state not in RENEWABLE],
    *[
        (state, kind)
        for state in State
        if state is not State.RENEWING
        for kind in (e.NextRefused, e.NextFailed, e.VoiceRested)
    ],
    *[(state, e.NextReady) for state in State if state not in {*RENEWABLE} - {State.READY}],
    *[(State.NEW, kind) for kind in (e.IdleTimedOut, e.LifetimeReached)],
]
"""Facts that come too early, too late or twice (after the end: see above)."""


@pytest.mark.parametrize(("state", "kind"), NOTHING)
def test_early_late_and_doubled_facts_bring_no_orders(state: State, kind: type[Fact]) -> None:
    """A fact that means nothing where it arrives orders nothing and changes the state at most."""
    session = session_in(state)
    before = looks(session)

    assert () == session.handle(SAMPLES[kind])
    assert before | {"state": TABLE[state][kind]} == looks(session)


@pytest.mark.parametrize("state", [state for state in State if state not in ENDED])
def test_people_are_told_of_until_the_end(state: State) -> None:
    """Who comes and goes is told as often as the room says it, and never after the end."""
    session = session_in(state)

    assert (c.TellParticipant(PERSON, joined=True),) == session.handle(e.ParticipantJoined(PERSON))
    assert (c.TellParticipant(PERSON, joined=False),) == session.handle(e.ParticipantLeft(PERSON))
    assert state is session.state
