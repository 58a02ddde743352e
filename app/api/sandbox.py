"""Passes ``/sandbox/...`` on to the sandbox's own process, so that its paths work here too.

Who may enter a room by its two sockets is for the room to say, as it is with Daily: whoever knows
its address and, where it asks for one, has a meeting token.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import httpx
from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from app.api.problems import problem_response
from app.errors import BridgeError, NotFound, TavusTimeout, TavusUnavailable

TIMEOUT = httpx.Timeout(60.0, connect=2.0)
"""Longest silence, seconds: a page may wait for what its room does next."""

MAX_BYTES = 4 * 1024 * 1024
"""Largest message of a room: a picture."""

MESSAGES_AHEAD = 2
"""Messages read ahead of a slow client; the room keeps, or drops, the others."""

LOST, TRY_LATER = 1006, 1013
"""A connection that went without a close frame, and what its client is told."""

NOT_PASSED_ON = frozenset(
    {
        # hop by hop (RFC 9110, 7.6.1)
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # each server says its own
        "authorization",
        "date",
        "server",
        "x-forwarded-proto",
    }
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

router = APIRouter(prefix="/sandbox", include_in_schema=False)


class SandboxProxy:
    """The way to the sandbox. The httpx client is the caller's to close."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        """Pass on to ``origin``, such as ``http://127.0.0.1:4000``."""
        self._client = client
        self._origin = httpx.URL(origin)

    async def pass_on(self, request: Request) -> Response:
        """Answer with what the sandbox answers.

        ``Host`` stays the caller's: addresses in the answer point to where the caller came from.
        Raises ``TavusUnavailable`` or ``TavusTimeout``, and ``NotFound`` for a path with dots that
        would lead to another place than the one whose credential was checked.
        """
        if {".", ".."} & set(request.url.path.split("/")):
            raise NotFound
        query = request.scope["query_string"]
        path: bytes = request.scope["raw_path"].partition(b"?")[0]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = self._client.build_request(
            request.method,
            self._origin.copy_with(raw_path=path + b"?" + query if query else path),
            headers=[
                *_passed_on(request.headers),
                (b"x-forwarded-proto", request.url.scheme.encode()),
            ],
            content=request.stream() if has_body else None,
            timeout=TIMEOUT,
        )
        try:
            incoming = await self._client.send(outgoing, stream=True)
        except httpx.TimeoutException as error:
            raise TavusTimeout("The sandbox did not answer in time") from error
        except httpx.RequestError as error:
            raise TavusUnavailable("The sandbox cannot be reached") from error
        return _Relay(incoming)

    async def connect(self, socket: WebSocket, path: str) -> None:
        """Be the way between a client and one of the sandbox's sockets until either is gone.

        What the sandbox refuses is refused with its words. Raises ``TavusTimeout`` and
        ``TavusUnavailable`` before the upgrade.
        """
        url = self._origin.copy_with(
            scheme="ws", path=path, query=socket.scope["query_string"] or None
        )
        try:
            there = await connect(
                str(url),
                compression=None,
                max_size=MAX_BYTES,
                max_queue=MESSAGES_AHEAD,
                proxy=None,
            )
        except InvalidStatus as refusal:
            status, reason = refusal.response.status_code, bytes(refusal.response.body or b"")
            await socket.send_denial_response(PlainTextResponse(reason, status))
        except TimeoutError as error:
            raise TavusTimeout("The sandbox did not answer in time") from error
        except (OSError, WebSocketException) as error:
            raise TavusUnavailable("The sandbox cannot be reached") from error
        else:
            async with there:
                await socket.accept()
                await _exchange(socket, there)


async def _exchange(here: WebSocket, there: ClientConnection) -> None:
    """Pass messages on in both directions until one side goes, then send the other away."""
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(_pass_in(here, there), name="sandbox socket in")
        try:
            async for message in there:
                if isinstance(message, str):
                    await here.send_text(message)
                else:
                    await here.send_bytes(message)
        except ConnectionClosed:
            pass  # its close code says why
        except WebSocketDisconnect:
            return  # the reader is told, too
        code = there.close_code
        # Starlette raises RuntimeError for one that is closed already.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await here.close(TRY_LATER if code in {None, LOST} else code)
        reader.cancel()


async def _pass_in(here: WebSocket, there: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while (message := await here.receive())["type"] != "websocket.disconnect":
            data = message.get("bytes")
            await there.send(message["text"] if data is None else data)
        await there.close()


class _Relay(StreamingResponse):
    """An answer on its way through; closed in every case."""

    def __init__(self, incoming: httpx.Response) -> None:
        super().__init__(incoming.aiter_raw(), incoming.status_code)
        self._incoming = incoming
        self.raw_headers = _passed_on(Headers(raw=incoming.headers.raw))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._incoming.aclose()


def _passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Leave out what concerns one connection only, and what its ``Connection`` header names."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return [
        (name, value)
        for name, value in headers.raw
        if name.lower().decode("latin-1") not in NOT_PASSED_ON | named
    ]


@router.websocket("/rooms/{conversation_id}/{way}")
async def enter(socket: WebSocket, conversation_id: str, way: Literal["link", "media"]) -> None:
    """Open one of a room's sockets. Refuses where no sandbox runs."""
    proxy: SandboxProxy | None = socket.app.state.sandbox
    try:
        if proxy is None or not conversation_id.isalnum():
            raise NotFound
        await proxy.connect(socket, f"/sandbox/rooms/{conversation_id}/{way}")
    except BridgeError as error:
        await socket.send_denial_response(problem_response(error))


@router.api_route("/{path:path}", methods=METHODS)
async def pass_on(request: Request) -> Response:
    """Pass one request on. Raises ``NotFound`` where no sandbox runs."""
    proxy: SandboxProxy | None = request.app.state.sandbox
    if proxy is None:
        raise NotFound
    return await proxy.pass_on(request)
