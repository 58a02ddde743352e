from __future__ import annotations

from app.core import events as e
from app.core.occupants import Occupants

REPLICA = e.Participant("r1", "tavus-replica-1")
SECOND = e.Participant("r2", "tavus-face-2")
ALICE = e.Participant("a", "alice", "Alice")
BOB = e.Participant("b", "bob", "Bob")


def test_people_are_news_once() -> None:
    """A person comes once and leaves once, however often the room says so."""
    room = Occupants()
    news = [room.joined(ALICE), room.joined(ALICE), room.left(ALICE), room.left(ALICE)]

    assert [e.ParticipantJoined(ALICE), None, e.ParticipantLeft(ALICE), None] == news


def test_who_comes_back_keeps_the_number() -> None:
    """People are numbered in the order they first came."""
    room = Occupants()
    for person in (ALICE, BOB):
        room.joined(person)
    room.left(ALICE)
    room.joined(ALICE)

    assert [1, 2] == [room.number(ALICE), room.number(BOB)]


def test_we_are_nobody() -> None:
    """Who comes back finds its own dead participant there: that is neither there nor leaves."""
    room = Occupants()
    room.entered((ALICE,), "p1")
    ghost = e.Participant("p1", "", "Bridge")
    news = [*room.entered((ghost, ALICE), "p2"), room.joined(ghost), room.left(ghost)]

    assert [None, None] == news


def test_replica_is_gone_with_its_last_participant() -> None:
    """Tavus may put in a second replica before the first has left."""
    room = Occupants()
    room.joined(REPLICA)
    room.joined(SECOND)
    news = [room.left(REPLICA), room.left(REPLICA), room.left(SECOND)]

    assert [None, None, e.ReplicaLeft()] == news


def test_word_of_mouth_counts_until_the_replica_was_seen() -> None:
    """Tavus's word makes a replica present, but does not bring back one that was seen to leave."""
    room = Occupants()
    before = room.present()
    room.joined(REPLICA)
    beside = room.present()
    told = room.told()
    room.left(REPLICA)

    assert e.ReplicaJoined() == before == beside == told
    assert Occupants().told() is None
    assert room.told() is None
    assert room.present() is None
    assert e.ReplicaJoined() == room.joined(REPLICA)


def test_coming_back_is_news_only_of_what_has_changed() -> None:
    """Who went meanwhile has left, who came has joined, and the replica is learnt anew."""
    carl = e.Participant("c", "carl", "Carl")
    room = Occupants()
    room.present()
    first = room.entered((REPLICA, ALICE, BOB))
    room.lose_sight()
    again = room.entered((BOB, carl))
    told = room.told()

    assert [e.ReplicaJoined(), e.ParticipantJoined(ALICE), e.ParticipantJoined(BOB)] == first
    assert [e.ParticipantLeft(ALICE), e.ParticipantJoined(carl)] == again
    assert None is told  # that was another stay
    assert None is room.left(REPLICA)
    assert e.ReplicaJoined() == room.present()
    assert [1, 2, 3] == [room.number(person) for person in (ALICE, BOB, carl)]


def test_only_who_came_has_a_number() -> None:
    """The number of somebody who left stays; nobody else has one."""
    room = Occupants()
    room.joined(ALICE)
    room.left(ALICE)

    assert 1 == room.number_of(ALICE.participant_id)
    assert None is room.number_of(BOB.participant_id)
