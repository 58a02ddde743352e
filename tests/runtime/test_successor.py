from __future__ import annotations

from app import errors
from app.core import events as e
from app.runtime.conversation import Conversation
from app.runtime.successor import Successor
from tests.support.room import ALICE, REPLICA
from tests.support.world import World, spec

TWIN = e.Participant("p-twin", "tavus-face-r1", "Anna")
PRESENT = e.AppMessageReceived({"event_type": "system.replica_present"}, 0)
Report = e.NextReady | e.NextFailed


def successor() -> tuple[Successor, list[Report]]:
    """One whose room was not entered yet, and what it reports."""
    reports: list[Report] = []
    conversation = Conversation(
        "sess_1.2", spec(), World().resources, lambda _answer: None, ends_by=0
    )
    return Successor(conversation, reports.append), reports


def test_it_is_ready_when_we_and_the_replica_are_there() -> None:
    """Whoever comes first; people do not count."""
    for facts in (
        (e.RoomJoined((ALICE, REPLICA)),),
        (e.RoomJoined((ALICE,)), e.ParticipantJoined(REPLICA)),
        (e.RoomJoined(), PRESENT),
        (PRESENT, e.RoomJoined()),
    ):
        next_one, reports = successor()
        before = []
        for fact in facts:
            before = reports.copy()
            next_one.take(fact)

        assert [] == before
        assert [e.NextReady()] == reports


def test_it_knows_who_is_there() -> None:
    """For whoever moves in."""
    next_one, _ = successor()
    next_one.take(e.RoomJoined((ALICE, REPLICA)))
    next_one.take(e.ParticipantJoined(TWIN))
    next_one.take(e.ParticipantLeft(ALICE))
    next_one.take(e.ParticipantLeft(ALICE))

    assert (REPLICA, TWIN) == next_one.there


def test_it_fails_with_its_last_replica() -> None:
    """A replica that comes anew joins before the old one leaves."""
    next_one, reports = successor()
    next_one.take(e.RoomJoined((REPLICA,)))
    next_one.take(e.ParticipantJoined(TWIN))
    next_one.take(e.ParticipantLeft(REPLICA))
    failed = [report for report in reports if isinstance(report, e.NextFailed)]
    next_one.take(e.ParticipantLeft(TWIN))

    assert [] == failed
    last = reports[-1]
    assert isinstance(last, e.NextFailed)
    assert isinstance(last.error, errors.ReplicaLost)


def test_it_fails_with_its_room() -> None:
    """Another one is made sooner than this one is entered again."""
    error = errors.RoomFailed("gone")
    for fact in (e.RoomFailed(error), e.RoomLost(error)):
        next_one, reports = successor()
        next_one.take(fact)

        assert [e.NextFailed(error)] == reports


def test_it_knows_whether_messages_get_through() -> None:
    """And that it was handed nothing that could be played or lost."""
    next_one, reports = successor()
    next_one.take(e.LinkInterrupted())
    interrupted = next_one.holds
    next_one.take(e.LinkRestored())
    next_one.take(e.AudioConsumed(480, 0))
    next_one.take(e.MessageFailed(1, definite=True, reason="no"))

    assert (False, True) == (interrupted, next_one.holds)
    assert [] == reports
