from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from app.sandbox.device import Frame
from app.sandbox.rooms import RoomFull
from tests.support.sandbox import MS, PCM, FakeOutbox, Stage, echo_message, kinds, message


def test_echo_is_heard_and_logged() -> None:
    """Audio when it arrives, its silence by itself, and what was played of both."""
    stage = Stage()

    stage.wait(1000)
    stage.send(echo_message(PCM), epoch=3)
    stage.send(echo_message(PCM[:1920], done=True), epoch=3, silence=480)
    stage.wait(1000)

    assert [
        {"kind": "audio", "samples": 2400, "inference_id": "u1", "epoch": 3},
        {"kind": "audio", "samples": 480, "inference_id": "u1", "epoch": 3},
        {"kind": "silence", "samples": 480, "inference_id": "u1", "epoch": 3},
    ] == stage.log("audio", "silence")
    assert (2880, 480) == (
        sum(entry["samples"] for entry in stage.log("played")),
        sum(entry.get("silence", 0) for entry in stage.log("played")),
    )
    assert PCM + PCM[:1920] == stage.room.wav()[44:]
    assert ["sent", "sent"] == [op for op in stage.outbox.ops() if op in ("sent", "refused")]


def test_the_log_is_in_order_of_time() -> None:
    """Whatever was computed late."""
    stage = Stage()

    stage.wait(1000)
    for number in range(10):
        stage.send(echo_message(PCM, inference_id=f"u{number}", done=True))
        stage.wait(30)
    stage.send(message("conversation.interrupt"))
    times = [entry["at_ns"] for entry in stage.entries()]

    assert sorted(times) == times


def test_the_log_is_complete_whenever_it_is_read() -> None:
    """Reading it in the middle of a word shows all that was played by then."""
    stage = Stage()

    stage.wait(1000)
    stage.send(echo_message(PCM))
    stage.wait(50)

    assert [1200] == [entry["samples"] for entry in stage.log("played")]
    assert PCM[:2400] == stage.room.wav()[44:]


def test_an_interrupt_stands_in_the_log_between_what_sounded_and_what_it_cut() -> None:
    """Stale audio can be judged by order."""
    stage = Stage()

    stage.wait(1000)
    stage.send(echo_message(PCM + PCM), epoch=0)
    stage.wait(100)
    stage.send(message("conversation.interrupt"))
    stage.send(echo_message(PCM), epoch=1)
    stage.wait(1000)
    order = [entry["kind"] for entry in stage.log("audio", "interrupt", "played", "ignored")]

    assert ["audio", "played", "interrupt", "ignored", "audio", "ignored"] == order
    assert "dead_id" == stage.log("ignored")[1]["reason"]
    assert "conversation.stopped_speaking" in stage.events()


@pytest.mark.parametrize(
    ("text", "faults", "reason"),
    [
        ("x" * 4097, {"strict_bytes": True}, "the message is larger than 4096 bytes"),
        ('"' + "é" * 2048 + '"', {"strict_bytes": True}, "the message is larger than 4096 bytes"),
        ("{", {}, "the message is not JSON"),
        ("[" * 2000, {}, "the message is not JSON"),
        ("{}", {"refuse_nth": 1}, "the room failed to send it"),
        ("{}", {"refuse_probability": 1.0}, "the room failed to send it"),
    ],
)
def test_a_message_is_refused(text: str, faults: dict[str, Any], reason: str) -> None:
    """The sender is told, the log too, and nobody hears it."""
    stage = Stage(**faults)
    other = FakeOutbox()

    stage.room.join("other", other)
    stage.send(text)

    assert {"op": "refused", "id": 7, "reason": reason} == stage.outbox.posted[-1]
    assert [reason] == [entry["reason"] for entry in stage.log("refused")]
    assert [] == other.messages()


def test_large_messages_pass_when_not_strict() -> None:
    """Some clients are known to send them."""
    stage = Stage()

    stage.send(json.dumps("x" * 5000))

    assert "sent" == stage.outbox.ops()[-1]


@pytest.mark.parametrize(("how", "body"), [("object", {"a": 1}), ("string", '{"a":1}')])
def test_messages_reach_all_others(how: str, body: Any) -> None:
    """As an object or as text, with the sender's id; never the sender itself."""
    stage = Stage(messages_as=how)
    other = FakeOutbox()

    stage.room.join("other", other)
    stage.send('{"a":1}')

    assert {"op": "message", "from": stage.me.participant_id, "message": body} == other.posted[-1]
    assert [] == stage.outbox.messages()
    assert [{"kind": "message_in", "sender": stage.me.participant_id, "message": {"a": 1}}] == (
        stage.log("message_in")
    )


def test_a_malformed_echo_is_ignored_with_a_reason() -> None:
    """A bridge's bug is easy to find in the log."""
    stage = Stage()

    stage.send(message("conversation.echo", {"modality": "audio", "audio": "?"}))
    stage.send(message("conversation.echo"))

    assert ["audio is not base64", "properties are missing"] == [
        entry["detail"] for entry in stage.log("ignored")
    ]


def test_track_frames_are_consumed_in_real_time() -> None:
    """The log has each frame when the device begins it."""
    stage = Stage()

    stage.wait(1000)
    for _ in range(5):
        stage.room.frame(stage.me, Frame(2, 0, PCM[:960]))
    stage.wait(60)
    consumed = [op for op in stage.outbox.posted if op["op"] == "consumed"]
    audio = kinds(stage.entries(), "audio")

    assert [480, 480, 480] == [op["samples"] for op in consumed]
    assert [20 * MS, 20 * MS] == [
        after["at_ns"] - before["at_ns"] for before, after in pairwise(consumed)
    ]
    assert [2, 2, 2, 2] == [entry["epoch"] for entry in audio]


def test_clearing_answers_with_what_began() -> None:
    """The frame that sounds counts, those dropped do not."""
    stage = Stage()

    for _ in range(3):
        stage.room.frame(stage.me, Frame(0, 0, PCM[:960]))
    stage.wait(30)
    stage.room.clear(stage.me, 1)
    stage.room.frame(stage.me, Frame(0, 0, PCM[:960]))
    stage.wait(1000)

    assert {"op": "cleared", "epoch": 1, "samples": 960} in stage.outbox.posted
    assert 2 == stage.outbox.ops().count("consumed")


def test_people_come_and_go() -> None:
    """Everybody is told about the others, and the number is known outside."""
    stage = Stage()
    other = FakeOutbox()

    stage.wait(1000)
    member = stage.room.join("other", other)
    stage.room.leave(member)
    stage.room.leave(member)
    there = other.posted[0]["participants"]

    assert [1, 2, 1] == stage.people
    assert ["Echo", "me"] == [card["name"] for card in there]
    assert other.closed
    assert ["participant_joined", "participant_left"] == [
        op for op in stage.outbox.ops() if op.startswith("participant")
    ][1:]
    assert 1 == len(stage.log("leave"))


def test_a_full_room_lets_nobody_in() -> None:
    """The replica counts as one."""
    stage = Stage(max_participants=2)

    stage.wait(1000)

    with pytest.raises(RoomFull):
        stage.room.join("other", FakeOutbox())


def test_the_end_is_told_and_final() -> None:
    """A shutdown message, then the room is closed; nothing happens in it any more."""
    stage = Stage()

    stage.wait(1000)
    stage.send(echo_message(PCM + PCM))
    stage.wait(50)
    stage.room.end("because")
    stage.room.end("again")
    stage.send("{}")
    stage.room.frame(stage.me, Frame(0, 0, PCM[:960]))
    stage.room.clear(stage.me, 1)
    stage.room.leave(stage.me)
    stage.wait(10_000)

    assert "system.shutdown" == stage.events()[-1]
    assert {"op": "ended", "reason": "because"} == stage.outbox.posted[-1]
    assert stage.outbox.closed
    assert 0 == stage.clock.waiting
    assert PCM[:2400] == stage.room.wav()[44:]


def test_the_signalling_can_break_for_a_while() -> None:
    """Messages are lost without a word, in both directions; the link itself lives."""
    stage = Stage(link_lost_after_ms=500, link_lost_ms=1000, replica_join_ms=800)

    stage.wait(600)
    stage.send("{}")
    stage.wait(1000)
    stage.send("{}")

    assert ["joined", "interrupted", "participant_joined", "restored", "sent"] == (
        stage.outbox.ops()
    )
    assert 1 == len(stage.log("lost"))
