"""Sessions over HTTP: make, look at, interrupt, tell and end."""
# ruff: noqa: FAST003  # RunnerDep takes session_id from the path

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders

from app import errors
from app.api.credentials import ApiKey
from app.api.deps import (
    BEARER,
    SESSION_TOKEN,
    CallerDep,
    IssuerDep,
    OwnerDep,
    RegistryDep,
    RunnerDep,
    SettingsDep,
)
from app.api.problems import problem_responses
from app.api.schemas import (
    InterruptRequest,
    InterruptResult,
    MessageCreate,
    Session,
    SessionCreate,
    SessionPage,
    SessionToken,
    SessionTokens,
    TokenCreate,
)
from app.core.roles import Role
from app.core.spec import SessionView, Status
from app.settings import Settings


class JsonRoute(APIRoute):
    """A route that reads every body as JSON: ``curl -d`` calls its own a form.

    The type of the content is no protection against other sites here: ``Guard`` is.
    """

    def get_route_handler(self) -> Any:
        """Say ``application/json`` to FastAPI whatever the client said."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            MutableHeaders(scope=request.scope)["content-type"] = "application/json"
            return await handler(request)

        return handle


CREATED_HEADERS = {
    "Location": {"description": "Path of the session", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` when the session was made by an earlier request with this key",
        "schema": {"type": "string"},
    },
}

router = APIRouter(prefix="/sessions", tags=["sessions"], route_class=JsonRoute)


@router.post(
    "",
    status_code=201,
    operation_id="createSession",
    summary="Create a session",
    response_model_exclude_unset=True,
    dependencies=[BEARER],
    responses={
        201: {"description": "The session", "headers": CREATED_HEADERS},
        **problem_responses(
            errors.MalformedJson,
            errors.InvalidRequest,
            errors.TooLarge,
            errors.IdempotencyConflict,
            errors.IdempotencyInProgress,
            errors.TooManySessions,
            errors.Draining,
            errors.NotReady,
            errors.SessionOver,
            errors.RoomFailed,
            errors.ReplicaTimeout,
            errors.TavusRejected,
            errors.TavusOutOfCredits,
            errors.TavusConcurrencyLimit,
            errors.TavusRateLimited,
            errors.TavusUnauthorized,
            errors.TavusForbidden,
            errors.TavusUnavailable,
            errors.TavusTimeout,
        ),
    },
)
async def create_session(
    *,
    request: Request,
    response: Response,
    settings: SettingsDep,
    registry: RegistryDep,
    owner: OwnerDep,
    issuer: IssuerDep,
    body: Annotated[SessionCreate | None, Body()] = None,
    wait: Annotated[
        Literal["ready"] | None,
        Query(description="`ready`: answer only when the replica is in the room."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[ -~]{1,255}$",
            description="The same key and body again answers with the same session, for 24 hours.",
        ),
    ] = None,
) -> Session:
    """Create the Tavus conversation and start joining its room. This costs money until it ends.

    The session outlives its request. A create whose answer was lost can be repeated safely only
    with the same `Idempotency-Key`. The `tokens` are for others, one for each role, and fresh in
    every answer.
    """
    runner, replayed = await registry.create(
        (body or SessionCreate()).spec(settings),
        owner=owner,
        key=idempotency_key,
        body_hash=_hash(await request.body()),
    )
    # One that is over already was made in test mode, or replayed: it will not become ready.
    if wait == "ready" and runner.view().status is Status.STARTING:
        await runner.wait_ready()
    prefix = urlsplit(settings.public_url).path if settings.public_url else ""
    response.headers["Location"] = f"{prefix}/sessions/{runner.session_id}"
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    view = runner.view()
    tokens = {
        role: issuer.issue(view.session_id, role, view.spec.max_duration_s)[0] for role in Role
    }
    return _show(view, request, settings, SessionTokens.model_validate(tokens))


@router.get(
    "",
    operation_id="listSessions",
    summary="List sessions",
    response_model_exclude_unset=True,
    dependencies=[BEARER],
    responses=problem_responses(errors.InvalidRequest),
)
async def list_sessions(
    *,
    request: Request,
    settings: SettingsDep,
    registry: RegistryDep,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None, Query(max_length=256, description="`next_cursor` of the page before.")
    ] = None,
) -> SessionPage:
    """List the sessions that run and those that ended within the last hour, newest first."""
    views, next_cursor = registry.page(status=status, limit=limit, cursor=cursor)
    return SessionPage(
        data=[_show(view, request, settings) for view in views], next_cursor=next_cursor
    )


@router.get(
    "/{session_id}",
    operation_id="getSession",
    summary="Look at a session",
    response_model_exclude_unset=True,
    dependencies=[BEARER, SESSION_TOKEN],
    responses=problem_responses(errors.SessionNotFound),
)
async def get_session(
    request: Request, settings: SettingsDep, runner: RunnerDep, caller: CallerDep
) -> Session:
    """Look at one session. One that ended stays readable for an hour.

    A session token does not show the `meeting_token`.
    """
    view = runner.view()
    if not isinstance(caller, ApiKey):
        view = replace(view, meeting_token=None)
    return _show(view, request, settings)


@router.delete(
    "/{session_id}",
    status_code=204,
    operation_id="endSession",
    summary="End a session",
    dependencies=[BEARER],
    responses=problem_responses(errors.SessionNotFound),
)
async def end_session(runner: RunnerDep) -> None:
    """End a session: what it plays is cut. Ending it again changes nothing.

    The answer comes after the cut; ending at Tavus goes on until Tavus confirms it.
    """
    await runner.stop("deleted")


@router.post(
    "/{session_id}/interrupt",
    operation_id="interruptSession",
    summary="Interrupt what is playing",
    response_model_exclude_none=True,
    dependencies=[BEARER, SESSION_TOKEN],
    responses=problem_responses(
        errors.MalformedJson,
        errors.InvalidRequest,
        errors.TooLarge,
        errors.SessionNotFound,
        errors.SessionOver,
    ),
)
async def interrupt_session(
    runner: RunnerDep, body: Annotated[InterruptRequest | None, Body()] = None
) -> InterruptResult:
    """Barge in: cut the utterance that plays, the one that is open and all that wait."""
    wish = body or InterruptRequest()
    accepted = await runner.interrupt(
        request_id=wish.id, utterance_id=wish.utterance_id, reason=wish.reason
    )
    return InterruptResult.model_validate(accepted)


@router.post(
    "/{session_id}/messages",
    status_code=202,
    operation_id="sendMessage",
    summary="Send a Tavus interaction",
    response_class=Response,
    dependencies=[BEARER, SESSION_TOKEN],
    responses=problem_responses(
        errors.MalformedJson,
        errors.InvalidRequest,
        errors.TooLarge,
        errors.SessionNotFound,
        errors.SessionNotReady,
        errors.SessionOver,
        errors.RoomFailed,
    ),
)
async def send_message(runner: RunnerDep, body: MessageCreate) -> None:
    """Send one interaction to the room, such as `conversation.respond`.

    Audio goes over the stream and interrupts have their own call; both are refused here.
    """
    await runner.interact(body.event_type, body.properties)


@router.post(
    "/{session_id}/tokens",
    status_code=201,
    operation_id="createToken",
    summary="Mint a session token",
    dependencies=[BEARER],
    responses=problem_responses(
        errors.MalformedJson,
        errors.InvalidRequest,
        errors.TooLarge,
        errors.SessionNotFound,
        errors.SessionOver,
    ),
)
async def create_token(
    session_id: str, body: TokenCreate, registry: RegistryDep, issuer: IssuerDep
) -> SessionToken:
    """Make a token with which somebody else, such as a browser, may use this one session.

    It opens one stream: for the next one take a fresh token, or the stream's `resume_token`.
    """
    registry.runner(session_id).touch()
    token, expires_at = issuer.issue(session_id, body.role, body.ttl_s)
    return SessionToken(token=token, role=body.role, expires_at=expires_at)


def _show(
    view: SessionView, request: Request, settings: Settings, tokens: SessionTokens | None = None
) -> Session:
    base = settings.public_url or str(request.base_url).rstrip("/")
    # http becomes ws, https becomes wss.
    stream_url = f"ws{base.removeprefix('http')}/sessions/{view.session_id}/stream"
    return Session.of(view, stream_url, tokens)


def _hash(body: bytes) -> str:
    """Hash a body that was read as JSON before, so that only its meaning counts."""
    meaning = json.loads(body or "null", parse_float=_number) or {}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _number(text: str) -> float | int:
    """Read ``1.0`` as 1: in JSON they are the same number."""
    value = float(text)
    return int(value) if value.is_integer() else value
