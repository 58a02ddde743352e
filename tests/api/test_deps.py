"""What routes say about credentials."""

from __future__ import annotations

from app.main import create_app
from tests.support.api import settings


def test_the_document_tells_which_credential_each_call_takes() -> None:
    """A session token is enough where the guard lets it through, and nowhere else."""
    paths = create_app(settings()).openapi()["paths"]
    for_tokens = {
        f"{method.upper()} {path}"
        for path, calls in paths.items()
        for method, call in calls.items()
        if {"sessionToken": []} in call.get("security", [])
    }
    for_anybody = {path for path, calls in paths.items() for call in calls.values()} - {
        path for path, calls in paths.items() for call in calls.values() if call.get("security")
    }

    assert {
        "GET /sessions/{session_id}",
        "POST /sessions/{session_id}/interrupt",
        "POST /sessions/{session_id}/messages",
    } == for_tokens
    assert {"/healthz", "/readyz", "/webhooks/tavus/{secret}"} == for_anybody
