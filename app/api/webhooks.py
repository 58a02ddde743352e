"""What Tavus posts to us about its conversations."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from app import errors
from app.api.deps import CallbacksDep, RegistryDep
from app.api.problems import problem_responses
from app.core.callbacks import PATH

router = APIRouter(tags=["service"])

EVENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {
                    "shutdown": {
                        "value": {
                            "event_type": "system.shutdown",
                            "message_type": "system",
                            "conversation_id": "c123456",
                            "properties": {"shutdown_reason": "max_call_duration reached"},
                        }
                    }
                },
            }
        },
    }
}


@router.post(
    PATH + "{secret}",
    operation_id="receiveTavusCallback",
    summary="For Tavus: tell what became of a conversation",
    response_class=Response,
    responses={
        200: {"description": "Taken"},
        **problem_responses(errors.NotFound, errors.TooLarge, anybody=True),
    },
    openapi_extra=EVENT,
)
async def receive(
    secret: str, request: Request, callbacks: CallbacksDep, registry: RegistryDep
) -> None:
    """Take a callback of the session whose secret this is.

    `system.shutdown` ends the session, `system.replica_joined` and its twin count as the replica's
    presence; everything else, and whatever comes twice or late, changes nothing.
    """
    session_id = callbacks.session_id(secret)
    if session_id is None:
        raise errors.NotFound
    with contextlib.suppress(errors.SessionNotFound):
        session = registry.get(session_id)
        session.take_callback(_event(await request.body()))


def _event(body: bytes) -> dict[str, Any]:
    """Read a callback; one that makes no sense is as good as one that says nothing."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
