from __future__ import annotations

from typing import Any

from app.core.events import Participant
from app.daily.people import People

REPLICA = Participant("p1", "tavus-replica-r1", "Anna")


def card(name: str, user_id: str = "", user_name: str = "", **info: Any) -> dict[str, Any]:
    """Make a participant as the SDK tells of one."""
    return {"id": name, "info": {"userId": user_id, "userName": user_name, **info}}


def test_the_join_tells_who_is_there() -> None:
    """And which participant we are: that one is not among the people."""
    people = People()
    people.enter({"local": card("us", isLocal=True), "p1": card("p1", REPLICA.user_id, "Anna")})

    assert "us" == people.ours
    assert (REPLICA,) == people.there


def test_a_join_that_tells_nobody() -> None:
    """Leaves us without an id."""
    people = People()
    people.enter({})

    assert ("", ()) == (people.ours, people.there)


def test_news_is_told_once() -> None:
    """Who came, and who changed; the same again is none."""
    people = People()
    nameless = people.meet(card("p2"))
    again = people.meet(card("p2"))
    named = people.meet(card("p2", user_name="Ben"))

    assert [Participant("p2"), None] == [nameless, again]
    assert Participant("p2", "", "Ben") == named
    assert (named,) == people.there


def test_what_names_nobody_is_nobody() -> None:
    """A participant without an id, and ourselves."""
    people = People()

    assert people.meet({"info": {}}) is None
    assert people.meet(card("us", isLocal=True)) is None
    assert () == people.there


def test_who_went_is_known_no_more() -> None:
    """The second time nobody went."""
    people = People()
    came = people.meet(card("p2"))

    assert came is not None
    assert came == people.part({"id": "p2"})
    assert people.part({"id": "p2"}) is None
    assert () == people.there


def test_a_namesake_is_the_replica_where_no_user_id_is() -> None:
    """It stays so when it changes; beside a replica's user id a name says nothing."""
    people = People()
    people.replica_name = "Anna"
    namesake = people.meet(card("p3", user_name="Anna"))
    renamed = people.meet(card("p3", user_name="Anna B."))
    people.part({"id": "p3"})
    people.meet(card("p1", REPLICA.user_id, "Anna"))
    other = people.meet(card("p4", user_name="Anna"))

    assert [True, True, False] == [
        each is not None and each.is_namesake for each in (namesake, renamed, other)
    ]
