"""What bodies may say, and what becomes of them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from app import errors
from app.api.schemas import MessageCreate, Session, SessionCreate
from app.core.spec import AudioPathName, NamedId, SessionSpec, SessionView, Status
from tests.support.api import settings


def spec(body: dict[str, Any], **given: Any) -> SessionSpec:
    """Read a body as the route does."""
    return SessionCreate.model_validate(body).spec(settings(**given))


def test_an_empty_body_takes_the_configured_defaults() -> None:
    """Whatever the body leaves out, or sets to null, comes from the settings."""
    given = {
        "tavus_face_id": "r1",
        "tavus_pal_id": "p1",
        "lead_ms": 700,
        "ready_timeout_s": 30,
        "idle_timeout_s": 40,
        "max_duration_s": 50,
    }
    expected = SessionSpec(
        face=NamedId("face_id", "r1"),
        pal=NamedId("pal_id", "p1"),
        conversation_name=None,
        audio_path=AudioPathName.ECHO,
        lead_ms=700,
        ready_timeout_s=30.0,
        idle_timeout_s=40.0,
        max_duration_s=50.0,
    )

    assert expected == spec({}, **given)
    assert expected == spec(
        {"lead_ms": None, "audio_path": None, "face_id": None, "max_duration_s": None}, **given
    )


def test_a_body_beats_the_defaults() -> None:
    """Every field of the body arrives, ids under the names used; zero is a value."""
    body = {
        "replica_id": "r2",
        "pal_id": "p2",
        "conversation_name": "Support call",
        "lead_ms": 0,
        "ready_timeout_s": 1,
        "idle_timeout_s": 2.5,
        "max_duration_s": 86_400,
        "metadata": {"a": "b"},
        "conversation": {"require_auth": True},
        "unknown": "ignored",
    }

    assert SessionSpec(
        face=NamedId("replica_id", "r2"),
        pal=NamedId("pal_id", "p2"),
        conversation_name="Support call",
        audio_path=AudioPathName.ECHO,
        lead_ms=0,
        ready_timeout_s=1.0,
        idle_timeout_s=2.5,
        max_duration_s=86_400.0,
        metadata={"a": "b"},
        conversation={"require_auth": True},
    ) == spec(body, tavus_face_id="r1", tavus_persona_id="p1")


def test_ids_inside_the_conversation_beat_the_defaults() -> None:
    """Who writes the Tavus request by hand is not overruled by the configuration."""
    read = spec(
        {"conversation": {"face_id": "r3", "persona_id": 7}},
        tavus_replica_id="r1",
        tavus_persona_id="p1",
    )

    assert (NamedId("face_id", "r3"), NamedId("persona_id", "p1")) == (read.face, read.pal)


@pytest.mark.parametrize(
    ("body", "face", "pal"),
    [
        ({}, NamedId("replica_id", "r4067604db72"), NamedId("persona_id", "pipecat0")),
        (
            {"audio_path": "track"},
            NamedId("replica_id", "r4067604db72"),
            NamedId("persona_id", "pipecat-stream"),
        ),
        ({"face_id": "r1"}, NamedId("face_id", "r1"), NamedId("pal_id", "pipecat0")),
        ({"persona_id": "p1"}, None, NamedId("persona_id", "p1")),
    ],
)
def test_the_sandbox_needs_no_ids(body: dict[str, Any], face: NamedId | None, pal: NamedId) -> None:
    """Where nothing is given stock ids fit the audio path; a persona may bring its own replica."""
    read = spec(body)

    assert (face, pal) == (read.face, read.pal)


def test_with_daily_somebody_must_say_who_speaks() -> None:
    """A real avatar is never guessed; the stock persona for our audio is."""
    daily = {"room": "daily", "tavus_api_key": "x"}

    with pytest.raises(errors.InvalidRequest):
        spec({}, **daily)
    assert NamedId("persona_id", "pipecat0") == spec({"replica_id": "r1"}, **daily).pal


@pytest.mark.parametrize("lead_ms", [None, 0, 10_000])
def test_a_track_has_one_lead(lead_ms: int | None) -> None:
    """On ``track`` the device keeps time: the lead is 40 ms, whatever was asked for."""
    assert 40 == spec({"audio_path": "track", "lead_ms": lead_ms}).lead_ms


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"replica_id": "r1", "face_id": "r1"}, "face_id"),
        ({"persona_id": "p1", "pal_id": "p2"}, "pal_id"),
        ({"replica_id": ""}, "replica_id"),
        ({"replica_id": 7}, "replica_id"),
        ({"replica_id": "r" * 129}, "replica_id"),
        ({"audio_path": "carrier pigeon"}, "audio_path"),
        ({"lead_ms": -1}, "lead_ms"),
        ({"lead_ms": 10_001}, "lead_ms"),
        ({"lead_ms": "1500"}, "lead_ms"),
        ({"lead_ms": True}, "lead_ms"),
        ({"lead_ms": 1.5}, "lead_ms"),
        ({"ready_timeout_s": 0}, "ready_timeout_s"),
        ({"ready_timeout_s": 3601}, "ready_timeout_s"),
        ({"idle_timeout_s": -1}, "idle_timeout_s"),
        ({"idle_timeout_s": "300"}, "idle_timeout_s"),
        ({"max_duration_s": 86_401}, "max_duration_s"),
        ({"max_duration_s": math.inf}, None),
        ({"ready_timeout_s": math.nan}, None),
        ({"conversation": {"properties": {"x": [math.nan]}}}, None),
        ({"metadata": {"\ud800": "x"}}, None),
        ({"conversation_name": "\ud800"}, None),
        ({"conversation_name": "x" * 257}, "conversation_name"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {"x" * 513: "a"}}, "metadata"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": None}, "metadata"),
        ({"conversation": []}, "conversation"),
        ({"conversation": {"properties": 3}}, "conversation"),
        ([], None),
        ("{}", None),
    ],
)
def test_a_wrong_field_is_named(body: object, field: str | None) -> None:
    """What is out of range or of another type is refused where it stands."""
    with pytest.raises(ValidationError) as caught:
        SessionCreate.model_validate(body)
    assert field == next(iter(caught.value.errors()[0]["loc"]), None)


def test_metadata_may_be_as_large_as_promised() -> None:
    """16 strings of 512 characters pass."""
    metadata = {f"{number:0512}": "ü" * 512 for number in range(16)}

    assert metadata == spec({"metadata": metadata}).metadata


def test_nothing_can_nest_too_deep() -> None:
    """A body that Python cannot write back is refused like any other wrong one."""
    body: dict[str, Any] = {}
    for _ in range(100_000):
        body = {"x": body}

    with pytest.raises(ValidationError):
        SessionCreate.model_validate({"conversation": body})


@pytest.mark.parametrize(
    "body",
    [{}, {"event_type": ""}, {"event_type": "x" * 129}, {"event_type": "x", "properties": None}],
)
def test_a_message_needs_its_type(body: dict[str, Any]) -> None:
    """An interaction is a type and, if any, an object of properties."""
    with pytest.raises(ValidationError):
        MessageCreate.model_validate(body)


VIEW = SessionView(
    session_id="sess_1",
    status=Status.STARTING,
    room="daily",
    spec=spec({"metadata": {"a": "b"}}),
    created_at=datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
    expires_at=datetime(2026, 11, 22, 9, 0, 0, 250_000, tzinfo=UTC),
)


def test_a_session_shows_only_what_it_has() -> None:
    """Fields without a value are absent; times are UTC with a Z."""
    shown = Session.of(VIEW, "wss://bridge.example/sessions/sess_1/stream")

    assert {
        "id": "sess_1",
        "status": "starting",
        "room": "daily",
        "conversation_id": None,
        "conversation_url": None,
        "stream_url": "wss://bridge.example/sessions/sess_1/stream",
        "audio": {"path": "echo", "sample_rate": 24_000, "lead_ms": 1500},
        "metadata": {"a": "b"},
        "created_at": "2026-11-22T08:00:00Z",
        "expires_at": "2026-11-22T09:00:00.250000Z",
    } == shown.model_dump(mode="json", exclude_unset=True)


def test_a_failed_session_says_why() -> None:
    """The error is its code and its detail, and nothing of its inside."""
    at = datetime(2026, 11, 22, 8, 1, tzinfo=UTC)
    view = replace(
        VIEW,
        status=Status.FAILED,
        conversation_id="c1",
        conversation_url="https://tavus.daily.co/c1",
        meeting_token="t1",
        ready_at=at,
        ended_at=at,
        end_reason="replica_lost",
        error=errors.ReplicaLost("It went"),
    )
    shown = Session.of(view, "ws://x").model_dump(mode="json", exclude_unset=True)

    assert {"code": "replica_lost", "detail": "It went"} == shown["error"]
    assert ("failed", "replica_lost", "t1", "2026-11-22T08:01:00Z") == (
        shown["status"],
        shown["end_reason"],
        shown["meeting_token"],
        shown["ended_at"],
    )
