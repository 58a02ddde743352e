from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app import errors
from app.core import snapshot
from app.core.spec import AudioPathName, NamedId, SessionSpec, SessionView, Status

SPEC = SessionSpec(
    face=NamedId("face_id", "r1"),
    pal=None,
    conversation_name="Call",
    audio_path=AudioPathName.TRACK,
    lead_ms=40,
    ready_timeout_s=120.0,
    idle_timeout_s=300.5,
    max_duration_s=3600.0,
    metadata={"customer": "42"},
)
NOON = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
VIEW = SessionView(
    session_id="sess_1",
    status=Status.ENDED,
    room="sandbox",
    spec=SPEC,
    created_at=NOON,
    expires_at=NOON,
    conversation_id="c1",
    conversation_url="https://tavus.daily.co/c1",
    ready_at=NOON,
    ended_at=NOON,
    end_reason="idle",
)


def test_view_comes_back_as_it_was() -> None:
    """What is shown of a session is the same in another process."""
    assert VIEW == snapshot.read(snapshot.write(VIEW))


def test_secret_and_size_stay_behind() -> None:
    """Neither the room's key nor the body of the create is written down."""
    view = replace(VIEW, meeting_token="SECRET", spec=replace(SPEC, conversation={"x": "y" * 1000}))
    written = snapshot.write(view)

    assert VIEW == snapshot.read(written)
    assert b"SECRET" not in written


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ReplicaTimeout("nobody came"), "replica_timeout"),
        (errors.TavusTimeout("lost"), "tavus_timeout"),
        (errors.Internal("a bug"), "internal"),
    ],
)
def test_error_keeps_its_code_and_words(error: errors.BridgeError, code: str) -> None:
    """An error is known by its code."""
    read = snapshot.read(snapshot.write(replace(VIEW, error=error))).error

    assert read is not None
    assert (code, error.detail, error.status) == (read.code, read.detail, read.status)


def test_error_that_is_no_more_is_one_of_ours() -> None:
    """A code of another version of the service is none to stumble over."""
    written = snapshot.write(replace(VIEW, error=errors.Internal("once")))
    read = snapshot.read(written.replace(b'"code":"internal"', b'"code":"gone"')).error

    assert read is not None
    assert ("internal", "once") == (read.code, read.detail)
