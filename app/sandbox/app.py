"""The sandbox as one ASGI application, and as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import math
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.sandbox.catalogue import Catalogue
from app.sandbox.conversations import Conversation, Conversations
from app.sandbox.faults import FaultDesk, UnknownFault
from app.sandbox.link import serve_link
from app.sandbox.rest import TavusRest
from app.sandbox.rooms import RoomFull, Timing
from app.sandbox.webhooks import Webhooks

MAX_LINK_BYTES = 256 * 1024
"""Largest message of a link; a room's app messages are far smaller."""

GRACE_S = 2
"""Longest wait for links to close when the sandbox stops."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>
<h1>{title}</h1>
<p>The offline stand-in for a Tavus conversation in its Daily room. It is {state}.</p>
<ul><li><a href="{path}/heard.wav">What the replica has said</a></li>
<li><a href="{path}/log">Everything that reached or left the room</a></li></ul>
</body></html>
"""


def create_sandbox(
    *, api_key: str | None = None, webhook_transport: httpx.AsyncBaseTransport | None = None
) -> Starlette:
    """The whole sandbox, with ``/sandbox`` in all its paths.

    Without ``api_key`` any non-empty key opens the REST API. Webhooks go through
    ``webhook_transport`` when one is given.
    """
    webhooks = Webhooks(webhook_transport)
    timing = Timing(time.monotonic_ns, _call_at)
    conversations = Conversations(timing, webhooks.post)
    desk = FaultDesk()
    rest = TavusRest(conversations, Catalogue(), desk, api_key)
    rooms = RoomPages(conversations)
    faults = FaultPages(desk)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        conversations.close()
        await webhooks.close()

    room = "/sandbox/rooms/{conversation_id}"
    return Starlette(
        routes=[
            Mount("/sandbox/v2", routes=rest.routes()),
            Route(room, rooms.page),
            Route(f"{room}/heard.wav", rooms.heard),
            Route(f"{room}/log", rooms.log),
            WebSocketRoute(f"{room}/link", rooms.link),
            Route("/sandbox/faults", faults.show, methods=["GET"]),
            Route("/sandbox/faults", faults.put, methods=["PUT"]),
        ],
        lifespan=lifespan,
    )


class RoomPages:
    """The handlers of ``/sandbox/rooms``."""

    def __init__(self, conversations: Conversations) -> None:
        """Show the rooms of these conversations."""
        self._conversations = conversations

    async def page(self, request: Request) -> Response:
        """The room as a person sees it."""
        conversation = self._find(request)
        if conversation is None:
            return _no_room()
        title = html.escape(f"Sandbox room {conversation.conversation_id}")
        state = "open" if conversation.active else "over"
        return HTMLResponse(PAGE.format(title=title, state=state, path=request.url.path))

    async def heard(self, request: Request) -> Response:
        """What the replica really played so far."""
        conversation = self._find(request)
        if conversation is None:
            return _no_room()
        return Response(conversation.room.wav(), media_type="audio/wav")

    async def log(self, request: Request) -> Response:
        """All that reached or left the room, in order."""
        conversation = self._find(request)
        if conversation is None:
            return _no_room()
        return Response(conversation.room.log_json(), media_type="application/json")

    async def link(self, websocket: WebSocket) -> None:
        """A participant's way into the room."""
        conversation = self._conversations.get(websocket.path_params["conversation_id"])
        if conversation is None or not conversation.active:
            await _deny(websocket, 404, "this room does not exist or is no longer available")
            return
        token = websocket.query_params.get("token") or websocket.query_params.get("t") or ""
        if conversation.meeting_token is not None:
            if not token:
                await _deny(websocket, 401, "this room needs a meeting token")
                return
            good = secrets.compare_digest(token.encode(), conversation.meeting_token.encode())
            expired = time.monotonic_ns() > conversation.token_expires
            if not good or expired or conversation.faults.token_expired:
                await _deny(websocket, 403, "the meeting token is wrong or has expired")
                return
        try:
            await serve_link(
                websocket, conversation.room, websocket.query_params.get("name", "guest")
            )
        except RoomFull:
            await _deny(websocket, 403, "the meeting is full")

    def _find(self, request: Request) -> Conversation | None:
        return self._conversations.get(request.path_params["conversation_id"])


class FaultPages:
    """The handlers of ``/sandbox/faults``."""

    def __init__(self, desk: FaultDesk) -> None:
        """Set the faults of this desk."""
        self._desk = desk

    async def show(self, _: Request) -> Response:
        """The faults in force."""
        return JSONResponse(self._desk.view())

    async def put(self, request: Request) -> Response:
        """Set the faults of the coming conversations, or under ``next`` of one."""
        try:
            body = json.loads(await request.body())
            if not isinstance(body, dict):
                raise UnknownFault("faults are a JSON object")
            self._desk.put(body)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse(self._desk.view())


def _no_room() -> Response:
    return PlainTextResponse("There is no such room.", 404)


async def _deny(websocket: WebSocket, status: int, reason: str) -> None:
    await websocket.send_denial_response(PlainTextResponse(reason, status))


def _call_at(at: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
    """Call back at a monotonic moment or up to a millisecond later, never before it.

    uvloop rounds delays to whole milliseconds; rounding up here keeps a wake-up from coming early
    and finding nothing due.
    """
    delay_ms = max(0, math.ceil((at - time.monotonic_ns()) / 1_000_000))
    return asyncio.get_running_loop().call_later(delay_ms / 1000, callback)


# --- the process


class QueryFilter(logging.Filter):
    """Cuts queries off the paths in uvicorn's messages: a meeting token is a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, without queries."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                part.split("?", 1)[0] if isinstance(part, str) and part.startswith("/") else part
                for part in record.args
            )
        return True


class LinkProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, without its complaint that an upgrade was refused."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send. An upgrade that is refused is answered, and no error as uvicorn has it."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True


class SandboxServer(uvicorn.Server):
    """A server whose signals are its caller's: uvicorn's own way out exits with 143."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def run_sandbox(
    *,
    sock: socket.socket | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    log_level: str = "info",
    parent_pipe: bool = False,
) -> None:
    """Serve the sandbox until SIGTERM or SIGINT, then return.

    Listens on ``sock`` when one is given, else on ``host`` and ``port``. With ``parent_pipe``
    standard input is a pipe that the parent process holds open: its end is the parent's end, and
    ours.
    """
    config = uvicorn.Config(
        create_sandbox(api_key=api_key),
        host=host,
        port=port,
        log_config=None,  # handlers and format are the caller's
        log_level=log_level,
        access_log=False,
        ws=LinkProtocol,
        ws_per_message_deflate=False,
        ws_max_size=MAX_LINK_BYTES,
        timeout_graceful_shutdown=GRACE_S,
    )
    logging.getLogger("uvicorn.error").addFilter(QueryFilter())
    server = SandboxServer(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(server, sock, parent_pipe=parent_pipe))


async def _serve(server: SandboxServer, sock: socket.socket | None, *, parent_pipe: bool) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    def watch_parent() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    stdin = sys.stdin.fileno() if parent_pipe else -1
    if parent_pipe:
        loop.add_reader(stdin, watch_parent)
    await server.serve(None if sock is None else [sock])
