from __future__ import annotations

import json
from typing import Any

import pytest

from app.core import wire_out
from app.core.pcm import AudioFormat, Encoding
from app.core.roles import Role
from app.core.spec import Status
from app.errors import BadMessage, BufferOverflow, TavusRateLimited

TS_MS = 1_700_000_000_123


def test_a_message_of_the_session_carries_its_number_before_all_else() -> None:
    """The stamp stands right after the type, the fields follow in their order."""
    message = wire_out.UtteranceOpened(
        utterance_id="u1", number=1, format=AudioFormat(Encoding.MULAW, 8_000, 1), implicit=True
    )

    text = wire_out.encode(message, ts_ms=TS_MS, seq=7)

    assert (
        '{"type":"utterance.opened","seq":7,"ts_ms":1700000000123,"utterance_id":"u1","number":1,'
        '"format":{"encoding":"pcm_mulaw","sample_rate":8000,"channels":1},"implicit":true}'
    ) == text


def test_a_message_to_one_connection_carries_no_number() -> None:
    """Without a seq there is only the time, also where no field follows."""
    text = wire_out.encode(wire_out.SessionReady(), ts_ms=TS_MS)

    assert '{"type":"session.ready","ts_ms":1700000000123}' == text


def test_the_greeting_has_the_number_of_the_last_message_as_a_field() -> None:
    """The seq in hello is what was said before, not the number of the hello."""
    message = wire_out.Hello(
        protocol=wire_out.PROTOCOL,
        version="1",
        session="s",
        role=Role.PRODUCE,
        room="sandbox",
        format=AudioFormat(),
        epoch=0,
        seq=41,
        received=0,
        resume_token="t",
        resumed=False,
        limits=wire_out.Limits(1, 2, 3, 4, 5, 6, 7),
        heartbeat_ms=20_000,
        open_utterance=wire_out.OpenUtterance("u1", 10),
    )

    decoded = json.loads(wire_out.encode(message, ts_ms=TS_MS))

    assert (41, {"utterance_id": "u1", "accepted_bytes": 10}) == (
        decoded["seq"],
        decoded["open_utterance"],
    )


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"type": "session.state", "status": "ready"}, wire_out.SessionState(Status.READY)),
        ({"type": "pong"}, wire_out.Pong()),
        ({"type": "pong", "ts": 0, "id": ""}, wire_out.Pong(ts=0, id="")),
        ({"type": "replica.stopped_speaking"}, wire_out.ReplicaStoppedSpeaking()),
        (
            {"type": "replica.stopped_speaking", "duration_ms": 0, "interrupted": False},
            wire_out.ReplicaStoppedSpeaking(duration_ms=0, interrupted=False),
        ),
    ],
)
def test_only_what_is_unknown_is_left_out(
    expected: dict[str, Any], message: wire_out.ServerMessage
) -> None:
    """An optional field that is None is left out; one that is 0, False or empty is not."""
    decoded = json.loads(wire_out.encode(message, ts_ms=TS_MS))

    assert {**expected, "ts_ms": TS_MS} == decoded


def test_a_latency_that_never_came_is_null() -> None:
    """Both latencies are always there, null where the moment never came."""
    message = wire_out.UtteranceDone(
        utterance_id="u1",
        number=1,
        status="failed",
        received_ms=10,
        sent_ms=0,
        played_ms=0,
        dropped_ms=10,
        source="clock",
        latency=wire_out.Latency(first_sent_ms=None, started_ms=None),
        code="session_over",
    )

    decoded = json.loads(wire_out.encode(message, ts_ms=TS_MS, seq=1))

    assert {"first_sent_ms": None, "started_ms": None} == decoded["latency"]


def test_what_is_no_json_in_an_event_is_mended() -> None:
    """NaN and half a surrogate pair, which some JSON parsers let through, break no client."""
    event = {"number": float("nan"), "half \ud800": "caf\u00e9 \udfff"}

    text = wire_out.encode(wire_out.TavusEvent(event), ts_ms=TS_MS, seq=1)

    assert (
        '{"type":"tavus.event","seq":1,"ts_ms":1700000000123,'
        '"event":{"number":null,"half ?":"caf\u00e9 ?"}}'
    ) == text


def test_an_event_that_nests_too_deep_is_refused() -> None:
    """A hostile event is an error for the caller to drop, not a crash of the interpreter."""
    event: list[Any] = []
    for _ in range(100_000):
        event = [event]

    with pytest.raises(RecursionError):
        wire_out.encode(wire_out.TavusEvent(event), ts_ms=TS_MS, seq=1)


def test_an_error_is_told_with_its_code_and_its_reference() -> None:
    """The error's own attributes are what the client reads."""
    expected = wire_out.Error(
        code="bad_message", message="no such field", retryable=False, ref="m-1"
    )

    assert expected == wire_out.error_message(BadMessage("no such field"), "m-1")


def test_an_error_tells_when_to_try_again() -> None:
    """A known moment for a retry is passed on."""
    expected = wire_out.Error(
        code="tavus_rate_limited",
        message="Tavus asks to slow down",
        retryable=True,
        retry_after_ms=1_500,
    )

    assert expected == wire_out.error_message(TavusRateLimited(retry_after_ms=1_500))


def test_an_overflow_tells_what_was_taken() -> None:
    """After an overflow the client knows how much of the utterance still plays."""
    error = wire_out.error_message(BufferOverflow(), accepted_bytes=0)

    assert 0 == json.loads(wire_out.encode(error, ts_ms=TS_MS))["accepted_bytes"]
