from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.faults import (
    DeadId,
    FaultDesk,
    Faults,
    Ids,
    MessagesAs,
    NewId,
    UnknownFault,
    parse_faults,
)


def test_the_presets_are_what_the_protocol_says() -> None:
    """Hostile is the worst reading of what nobody knows; friendly the kindest."""
    friendly, hostile = parse_faults({"preset": "friendly"}), parse_faults({"preset": "hostile"})

    assert Faults() == friendly
    assert (
        Faults(
            new_id=NewId.CUT,
            dead_id=DeadId.PLAY,
            ids=Ids.TAVUS,
            durations=False,
            twins=True,
            messages_as=MessagesAs.STRING,
        )
        == hostile
    )


def test_overrides_win_over_the_preset() -> None:
    """A preset can be bent."""
    faults = parse_faults({"preset": "hostile", "new_id": "queue"})

    assert (NewId.QUEUE, DeadId.PLAY) == (faults.new_id, faults.dead_id)


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"preset": "kind"}, "preset"),
        ({"preset": []}, "preset"),
        ({"no_such_fault": 1}, "no_such_fault"),
        ({"create_status": "400"}, "create_status"),
        ({"new_id": "explode"}, "new_id"),
        ({"picture": "2x2"}, "picture"),
    ],
)
def test_a_mistake_is_named(wishes: dict[str, Any], named: str) -> None:
    """The text says which fault is wrong."""
    with pytest.raises(UnknownFault, match=named):
        parse_faults(wishes)


def test_next_is_for_one_conversation() -> None:
    """The one after it gets the standing faults again."""
    desk = FaultDesk()

    desk.put({"preset": "hostile"})
    desk.put({"next": {"create_status": 402}})
    taken = [desk.take() for _ in range(2)]

    assert [402, None] == [faults.create_status for faults in taken]
    assert Ids.TAVUS is taken[1].ids


def test_a_bad_body_changes_nothing() -> None:
    """Neither half is taken when the other is wrong."""
    desk = FaultDesk()

    for body in ({"preset": "hostile", "next": {"x": 1}}, {"next": 7}, {"x": 1, "next": None}):
        with pytest.raises(UnknownFault):
            desk.put(body)

    assert Faults() == desk.standing
    assert desk.next is None


def test_an_empty_body_is_friendly_again() -> None:
    """What was set for the next conversation is gone too."""
    desk = FaultDesk()

    desk.put({"preset": "hostile", "next": {"twins": False}})
    desk.put({})

    assert Faults() == desk.standing
    assert desk.view()["next"] is None


def test_the_view_shows_all_that_is_in_force() -> None:
    """Including what waits for the next conversation."""
    desk = FaultDesk()

    desk.put({"max_conversations": 2, "next": {"twins": False}})

    assert 2 == desk.view()["max_conversations"]
    assert desk.view()["next"]["twins"] is False


def test_the_picture_has_one_of_two_sizes() -> None:
    """The small one unless the large one is asked for."""
    assert (640, 360) == Faults().picture.pixels
    assert (1280, 720) == parse_faults({"picture": "1280x720"}).picture.pixels


def test_the_readme_names_faults_that_exist() -> None:
    """Every row of its table can be put as it stands."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\{.*\})` \|", readme, re.MULTILINE)

    assert len(rows) > 5
    for row in rows:
        assert Faults() != parse_faults(json.loads(row))
