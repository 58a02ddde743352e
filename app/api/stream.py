"""``GET /sessions/{id}/stream``: the WebSocket that takes audio and tells what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import APIRouter, WebSocket

from app.api.deps import authenticate
from app.api.problems import problem_response
from app.core import wire_in
from app.core.wire_out import PROTOCOL
from app.errors import BadMessage, BridgeError, Unauthorized
from app.runtime.connection import Connection, Wishes
from app.runtime.metrics import Metrics
from app.runtime.registry import Registry
from app.runtime.runner import Runner
from app.settings import Settings

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 10.0
"""A peer that takes nothing for this long is dropped."""

LOST = 1006
"""What the server reports for a connection that went without a close frame."""

BEARER_PROTOCOL = "bearer."
"""A browser cannot set headers: its credential is a second subprotocol with this prefix."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client showed in its handshake."""

    subprotocols: tuple[str, ...]
    authorization: str | None = field(repr=False)
    from_subprotocol: bool

    @classmethod
    def of(cls, socket: WebSocket) -> Credentials:
        """Read the handshake."""
        subprotocols = tuple(socket.scope.get("subprotocols", ()))
        header = socket.headers.get("authorization")
        offered = (p for p in subprotocols if p.startswith(BEARER_PROTOCOL))
        bearer = next(offered, None)
        if header is None and bearer is not None:
            header = f"Bearer {bearer.removeprefix(BEARER_PROTOCOL)}"
        return cls(subprotocols, header, bearer is not None)


@router.websocket("/sessions/{session_id}/stream")
async def stream(socket: WebSocket, session_id: str) -> None:
    """Admit the client, then read and write until either side is done."""
    state = socket.app.state
    registry, settings = cast("Registry", state.registry), cast("Settings", state.settings)
    metrics = cast("Metrics", state.metrics)
    credentials = Credentials.of(socket)
    try:
        runner, wishes = _admit(socket, session_id, registry, settings, credentials)
    except BridgeError as error:
        await _turn_away(socket, error, credentials)
        return
    await socket.accept(subprotocol=PROTOCOL if credentials.subprotocols else None)
    number = registry.next_connection()
    connection = Connection(number, runner, settings, wishes, state.version)
    metrics.stream_opened()
    code = LOST
    try:
        code = await _serve(socket, connection)
    finally:
        connection.detach(clean=code != LOST)
        metrics.stream_closed()


def _admit(
    socket: WebSocket,
    session_id: str,
    registry: Registry,
    settings: Settings,
    credentials: Credentials,
) -> tuple[Runner, Wishes]:
    """Check everything that can be wrong before the upgrade. Raises the error to answer with."""
    query = socket.query_params
    if credentials.subprotocols and PROTOCOL not in credentials.subprotocols:
        raise BadMessage(f"offer the subprotocol {PROTOCOL}, or none")
    resume = query.get("resume")
    try:
        authenticate(settings, credentials.authorization)
    except Unauthorized:
        # The resume token authenticates by itself.
        if resume is None or not registry.runner(session_id).producer.knows(resume):
            raise
    runner = registry.runner(session_id)
    fmt, declared = wire_in.parse_format(query)
    wishes = Wishes(
        fmt,
        declared,
        resume=resume,
        seq=_number(query.get("seq"), "seq"),
        progress_ms=_number(query.get("progress_ms"), "progress_ms"),
    )
    return runner, wishes


def _number(value: str | None, name: str) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise BadMessage(f"{name} must be a whole number")
    return int(value)


async def _turn_away(socket: WebSocket, error: BridgeError, credentials: Credentials) -> None:
    """Refuse before the upgrade; a browser can read only a close code, so it gets one."""
    if credentials.from_subprotocol and PROTOCOL in credentials.subprotocols:
        await socket.accept(subprotocol=PROTOCOL)
        await socket.close(error.close_code, error.title)
    else:
        await socket.send_denial_response(problem_response(error))


async def _serve(socket: WebSocket, connection: Connection) -> int:
    """Read and write in one task group; returns the close code, whoever closed."""
    code = LOST
    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(_write(socket, connection), name="stream writer")
            progress = group.create_task(connection.progress(), name="stream progress")
            code = await _read(socket, connection)
            writer.cancel()
            progress.cancel()
    except* BridgeError as errors:
        log.warning("stream failed: %s", errors.exceptions[0])
    return code


async def _read(socket: WebSocket, connection: Connection) -> int:
    """Hand every message on; returns the close code when the connection is over."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or LOST)
        data = message.get("bytes")
        if data is not None:
            await connection.binary(data)
        else:
            await connection.text(message["text"])


async def _write(socket: WebSocket, connection: Connection) -> None:
    """Send what there is to tell; a peer that takes nothing is dropped."""
    subscription = connection.subscription
    try:
        while texts := await subscription.take():
            for text in texts:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_text(text)
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.close(subscription.close_code or 1000)
    except TimeoutError:
        _abort(socket)


def _abort(socket: WebSocket) -> None:
    """Drop the connection without waiting for what it does not read."""
    extensions = cast("dict[str, Any]", socket.scope.get("extensions") or {})
    abort = cast("Callable[[], None] | None", extensions.get("avatar_bridge.abort"))
    if abort is not None:
        abort()
