"""``GET /sessions/{id}/stream``: the WebSocket that takes audio and tells what became of it."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from fastapi import APIRouter, WebSocket

from app.api.credentials import Caller, Credentials, demand, turn_away
from app.api.inlet import offered
from app.api.writer import Writer
from app.core import wire_in
from app.core.resume_token import role_named_in
from app.core.roles import Role
from app.core.tokens import Grant
from app.core.wire_out import PROTOCOL
from app.errors import BadMessage, BridgeError, Draining
from app.runtime.bus import TOO_SLOW
from app.runtime.connection import Connection, Wishes
from app.runtime.inbound import BUG, Inbound
from app.runtime.issuer import Issuer
from app.runtime.metrics import Metrics
from app.runtime.registry import Registry
from app.runtime.runner import Runner
from app.settings import Settings

log = logging.getLogger(__name__)

LOST = 1006
"""What the server reports for a connection that went without a close frame."""

GOING_AWAY = 1001
"""How a browser closes what a page had open that is left, or loaded anew (RFC 6455, 7.4.1)."""

MAX_DIGITS = 12
"""Of a number in the address; far more than any that means something."""

router = APIRouter()


@router.websocket("/sessions/{session_id}/stream")
async def stream(socket: WebSocket, session_id: str) -> None:
    """Admit the client, then read and write until either side is done."""
    state = socket.app.state
    registry, settings = cast("Registry", state.registry), cast("Settings", state.settings)
    metrics = cast("Metrics", state.metrics)
    credentials = Credentials.of(socket.scope)
    try:
        runner, wishes = _admit(socket, session_id, credentials)
    except BridgeError as error:
        await turn_away(socket.scope, socket.receive, socket.send, error, credentials)
        return
    try:
        await socket.accept(subprotocol=PROTOCOL if credentials.subprotocols else None)
    except OSError:  # the server's word for a client that is gone already
        return
    connection = Connection(registry.next_connection(), runner, settings, wishes, state.version)
    metrics.stream_opened()
    code = LOST
    try:
        await connection.attach()
        code = await _serve(socket, connection)
    except Exception:
        log.exception("a stream of session %s died", session_id)
        await Writer(socket, connection.clock).close(BUG)
    finally:
        connection.detach(clean=code not in {LOST, TOO_SLOW, BUG}, returns=code == GOING_AWAY)
        metrics.stream_closed()


def _admit(socket: WebSocket, session_id: str, credentials: Credentials) -> tuple[Runner, Wishes]:
    """Check everything that can be wrong before the upgrade, and use a session token up.

    Raises the error to answer with.
    """
    state, query = socket.app.state, socket.query_params
    registry = cast("Registry", state.registry)
    issuer = cast("Issuer", state.issuer)
    if credentials.subprotocols and PROTOCOL not in credentials.subprotocols:
        raise BadMessage(f"offer the subprotocol {PROTOCOL}, or none")
    resume = query.get("resume")
    # The resume token authenticates by itself; who has none learns nothing of sessions.
    role = None if resume is None else _role_of(registry, session_id, resume)
    caller: Caller | None = None
    if role is None:
        caller = credentials.caller(state.settings, issuer)
        asked = query.get("role")
        role = _role(asked, caller)
        demand(caller, session_id, role)
        if asked is None and resume is not None:  # nobody rises unasked
            role = role.at_most(role_named_in(resume))
    if registry.draining:
        raise Draining
    runner = registry.runner(session_id)
    fmt, declared = wire_in.parse_format(query)
    wishes = Wishes(
        fmt,
        declared,
        role,
        resume=resume,
        seq=_number(query.get("seq"), "seq"),
        progress_ms=_number(query.get("progress_ms"), "progress_ms"),
    )
    if isinstance(caller, Grant):
        runner.spent.spend(caller, runner.clock.wall_ms())
    return runner, wishes


def _role_of(registry: Registry, session_id: str, resume_token: str) -> Role | None:
    try:
        return registry.runner(session_id).resumes(resume_token)
    except BridgeError:
        return None


def _role(asked: str | None, caller: Caller) -> Role:
    """The role that was asked for, or else the highest the caller has."""
    if asked is None:
        return caller.role if isinstance(caller, Grant) else Role.PRODUCE
    try:
        return Role(asked)
    except ValueError:
        raise BadMessage(f"role must be one of {', '.join(Role)}") from None


def _number(value: str | None, name: str) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > MAX_DIGITS:
        raise BadMessage(f"{name} must be a whole number")
    return int(value)


async def _serve(socket: WebSocket, connection: Connection) -> int:
    """Read and write in one task group; returns the close code, whoever closed.

    The server tells the reader of the end, also of one that the writer brought about. The reader is
    a task of its own: every message would else be passed through all that waits for this one.
    """
    async with asyncio.TaskGroup() as group:
        writing = Writer(socket, connection.clock).run(connection.subscription)
        writer = group.create_task(writing, name="stream writer")
        with offered(socket.scope, connection.inbound.take):
            reader = group.create_task(_read(socket, connection.inbound), name="stream reader")
            code = await reader
        writer.cancel()
    return code


async def _read(socket: WebSocket, inbound: Inbound) -> int:
    """Hand every message on; returns the close code when the connection is over."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or LOST)
        data = message.get("bytes")
        if data is not None:
            await inbound.binary(data)
        else:
            await inbound.text(message["text"])
