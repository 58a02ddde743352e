from __future__ import annotations

import pytest

from app.sandbox.device import Frame
from tests.support.sandbox import PCM, SlowVoice, Stage, echo_message, message


def test_the_replica_comes_after_its_delay() -> None:
    """As a participant and by two messages, then it says that it is there."""
    stage = Stage()

    stage.wait(999)
    early = stage.outbox.ops()
    stage.wait(1)
    joined = stage.outbox.posted[1]["participant"]
    stage.wait(5000)

    assert ["joined"] == early
    assert ("tavus-replica-r1", "Echo") == (joined["user_id"], joined["name"])
    assert 1 == stage.replicas
    assert [
        "system.replica_joined",
        "system.pal_joined",
        "system.replica_present",
        "system.pal_present",
    ] == stage.events()
    assert 1 == stage.outbox.messages()[2]["properties"]["attempt"]


def test_heartbeats_end() -> None:
    """After a minute everybody knows."""
    stage = Stage()

    stage.wait(600_000)

    assert 2 + 2 * 12 == len(stage.events())


@pytest.mark.parametrize(("joins", "count"), [("once", 1), ("twice", 2), ("never", 0)])
def test_the_replica_joins_as_often_as_asked(joins: str, count: int) -> None:
    """Twice is two participants at the same moment."""
    stage = Stage(replica_joins=joins)

    stage.wait(5000)

    assert count == stage.outbox.ops().count("participant_joined")


def test_closing_silence_is_recognised() -> None:
    """All zeros with done are padding, also from a client that does not say so."""
    stage = Stage()

    stage.wait(1000)
    stage.send(echo_message(PCM))
    stage.send(echo_message(bytes(1920), done="true"))

    assert [{"kind": "silence", "samples": 960, "inference_id": "u1"}] == stage.log("silence")


def test_audio_before_the_replica_is_lost() -> None:
    """As it is with Tavus."""
    stage = Stage()

    stage.send(echo_message(PCM))
    stage.room.frame(stage.me, Frame(0, 0, PCM[:960]))
    stage.send(message("conversation.echo", {"text": "hello"}))
    stage.wait(5000)

    assert ["no_replica", "no_replica"] == [entry["reason"] for entry in stage.log("ignored")]
    assert 44 == len(stage.room.wav())


def test_text_without_a_voice_takes_its_time() -> None:
    """It is logged and told of, but not heard."""
    stage = Stage()

    stage.wait(1000)
    stage.send(message("conversation.echo", {"text": "hello"}))
    stage.wait(3000)

    assert 1 == len(stage.log("message_in"))
    assert [8000] == [entry["samples"] for entry in stage.log("voice")]
    assert 44 == len(stage.room.wav())
    assert "conversation.replica.stopped_speaking" in stage.events()


def test_text_is_spoken_with_the_voice_of_its_own() -> None:
    """It is heard as soon as the voice has made it, and told apart from audio."""
    voice = SlowVoice()
    stage = Stage(voice=voice)

    stage.wait(1000)
    stage.send(message("conversation.echo", {"text": "hello"}))
    stage.wait(3000)
    early = stage.events()
    voice.finish(PCM)
    stage.wait(1000)

    assert "conversation.replica.started_speaking" not in early
    assert "conversation.replica.stopped_speaking" in stage.events()
    assert [2400] == [entry["samples"] for entry in stage.log("voice")]
    assert PCM == stage.room.wav()[44:]


@pytest.mark.parametrize("end", ["interrupt", "end"])
def test_text_that_was_cut_before_it_had_a_voice_is_never_spoken(end: str) -> None:
    """Nothing that was said before an interrupt, or in a room that is over, comes after it."""
    voice = SlowVoice()
    stage = Stage(voice=voice)

    stage.wait(1000)
    stage.send(message("conversation.echo", {"text": "hello"}))
    if end == "interrupt":
        stage.send(message("conversation.interrupt"))
    else:
        stage.room.end("over")
    voice.finish(PCM)
    stage.wait(1000)

    assert 44 == len(stage.room.wav())


def test_the_replica_can_leave_in_the_middle_of_a_word() -> None:
    """It comes back under another id; what it had is lost."""
    stage = Stage(replica_leave_after_ms=50, replica_rejoin_after_ms=300)

    stage.wait(1000)
    stage.send(echo_message(PCM + PCM))
    stage.wait(200)
    gone = stage.outbox.ops()[-1]
    stage.wait(200)
    cards = [op["participant"] for op in stage.outbox.posted if op["op"].startswith("partic")]

    assert "participant_left" == gone
    assert 3 == len(cards)
    assert cards[0] == cards[1]
    assert cards[1]["participant_id"] != cards[2]["participant_id"]
    assert PCM[:2400] == stage.room.wav()[44:]
    assert 2 == stage.replicas


def test_a_replica_that_left_has_no_heartbeat() -> None:
    """Until it is back, if ever."""
    stage = Stage(replica_leave_after_ms=50)

    stage.wait(1000)
    stage.send(echo_message(PCM + PCM))
    stage.wait(60_000)

    assert "system.replica_present" not in stage.events()


def test_the_replica_can_stall_in_the_middle_of_a_word() -> None:
    """It stays and has its heartbeat; what it had is lost, what comes is ignored, nothing told."""
    stage = Stage(speech_stalls_after_ms=50, twins=False)

    stage.wait(1000)
    stage.send(echo_message(PCM + PCM))
    stage.wait(50)
    stage.send(echo_message(PCM, done=True))
    stage.room.frame(stage.me, Frame(0, 0, PCM[:960]))
    stage.send(message("conversation.echo", {"text": "hello"}))
    stage.wait(5000)

    assert PCM[:2400] == stage.room.wav()[44:]
    assert ["interrupted", "stalled", "stalled"] == [
        entry["reason"] for entry in stage.log("ignored")
    ]
    assert [
        "system.replica_joined",
        "conversation.started_speaking",
        "system.replica_present",
    ] == stage.events()


def test_speaking_events_can_be_late() -> None:
    """By as much as asked."""
    stage = Stage(speaking_late_ms=700, twins=False)

    stage.wait(1000)
    stage.send(echo_message(PCM, done=True))
    stage.wait(699)
    before = stage.events()
    stage.wait(200)

    assert ["system.replica_joined"] == before
    assert ["conversation.started_speaking", "conversation.stopped_speaking"] == (
        stage.events()[1:]
    )
