from __future__ import annotations

from typing import Any

import pytest

from app.sandbox.facts import Started, Stopped
from app.sandbox.faults import parse_faults
from app.sandbox.speaking import SpeakingEvents

START = Started(0, "u1", 3)
STOP = Stopped(1, "u1", 3, 36_000, False)
CUT = Stopped(1, "u1", 3, 36_000, True)


def told(*facts: Started | Stopped, **faults: Any) -> list[str]:
    """The kinds of messages about these facts, shortened."""
    events = SpeakingEvents(parse_faults(faults), "c1")
    return [
        message["event_type"].removeprefix("conversation.")
        for fact in facts
        for message in events.of(fact)
    ]


def test_tavus_says_everything_three_times() -> None:
    """Unified for pal and replica, then the older form; the duration is in seconds."""
    pal, replica, older = SpeakingEvents(parse_faults({}), "c1").of(STOP)

    assert {
        "message_type": "conversation",
        "event_type": "conversation.stopped_speaking",
        "turn_idx": 3,
        "inference_id": "u1",
        "properties": {"role": "pal", "interrupted": False, "duration": 1.5},
    } == pal
    assert "replica" == replica["properties"]["role"]
    assert "conversation.replica.stopped_speaking" == older["event_type"]
    assert {"inference_id": "u1", "interrupted": False, "duration": 1.5} == older["properties"]


@pytest.mark.parametrize(
    ("faults", "kinds"),
    [
        ({"twins": False}, ["started_speaking", "stopped_speaking"]),
        ({"twins": False, "missing_started": True}, ["stopped_speaking"]),
        ({"twins": False, "missing_stopped": True}, ["started_speaking"]),
        ({"twins": False, "out_of_order": True}, ["stopped_speaking", "started_speaking"]),
        (
            {"twins": False, "duplicated": True},
            ["started_speaking", "started_speaking", "stopped_speaking", "stopped_speaking"],
        ),
    ],
)
def test_events_go_wrong_on_request(faults: dict[str, Any], kinds: list[str]) -> None:
    """Missing, doubled and swapped."""
    assert kinds == told(START, STOP, **faults)


def test_an_interrupt_can_go_unacknowledged() -> None:
    """An ordinary stop is still told."""
    faults = {"twins": False, "interrupt_unacknowledged": True}

    assert [] == told(CUT, **faults)
    assert ["stopped_speaking"] == told(STOP, **faults)


def test_the_duration_can_be_null() -> None:
    """As the schema allows."""
    messages = SpeakingEvents(parse_faults({"durations": False}), "c1").of(STOP)

    assert [None] * 3 == [message["properties"]["duration"] for message in messages]


def test_sealed_messages_are_numbered() -> None:
    """In the order they go out; the conversation's id can be left out."""
    honest = SpeakingEvents(parse_faults({}), "c1")
    vague = SpeakingEvents(parse_faults({"omit_conversation_id": True}), "c1")

    assert [1, 2] == [honest.sealed({})["seq"] for _ in range(2)]
    assert "c1" == honest.sealed({})["conversation_id"]
    assert {"seq": 1} == vague.sealed({})
