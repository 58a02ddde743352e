from __future__ import annotations

import math

import pytest

from app.core.limits import call_s, session_s, whole_s
from app.core.spec import SessionSpec
from tests.support.world import spec


def wishing(theirs: object, **changes: object) -> SessionSpec:
    """A spec whose caller wishes ``theirs`` for Tavus's own limit."""
    return spec(conversation={"properties": {"max_call_duration": theirs}}, **changes)


@pytest.mark.parametrize(
    ("ours", "theirs", "session", "call"),
    [
        (599.2, None, 599.2, 601),
        (600.0, 90, 90, 90),
        (60.0, 90, 60.0, 61),
        (86_400.0, None, 3600, 3600),
        (86_400.0, 7200, 3600, 3600),
        (600.0, 0, 600.0, 601),
        (600.0, True, 600.0, 601),
        (600.0, "90", 600.0, 601),
        (600.0, math.nan, 600.0, 601),
    ],
)
def test_of_two_durations_the_smaller_holds(
    ours: float, theirs: object, session: float, call: int
) -> None:
    """A session with one conversation ends before it does, and so says why."""
    wish = wishing(theirs, max_duration_s=ours)

    assert session == session_s(wish)
    assert call == call_s(wish, session)


def test_a_session_with_many_conversations_has_only_its_own_limit() -> None:
    """Each conversation is bounded by Tavus, by the caller's wish, and by what is left."""
    wish = wishing(90, max_duration_s=86_400.0, renew=True)

    assert 86_400.0 == session_s(wish)
    assert 90 == call_s(wish, 86_400.0)
    assert 32 == call_s(wish, 30.5)


def test_properties_that_are_no_object_limit_nothing() -> None:
    """Nonsense in place of the properties is as good as none."""
    assert 3600 == call_s(spec(conversation={"properties": 3}), 86_400.0)


def test_a_limit_that_makes_no_sense_is_none() -> None:
    """Parts of a second count as a whole one."""
    assert [8, 5, 5, 5] == [whole_s(value, 5) for value in (7.1, -1, "7", math.inf)]
