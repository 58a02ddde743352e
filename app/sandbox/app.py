"""The sandbox as one ASGI application, and as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.sandbox.catalogue import Catalogue
from app.sandbox.conversations import Conversations
from app.sandbox.faults import FaultDesk
from app.sandbox.pages import FaultPages, RoomPages
from app.sandbox.rest import TavusRest
from app.sandbox.rooms import Timing
from app.sandbox.voice import Espeak
from app.sandbox.webhooks import Webhooks

MAX_LINK_BYTES = 256 * 1024
"""Largest message of a link; a room's app messages are far smaller."""

GRACE_S = 2
"""Longest wait for links to close when the sandbox stops."""


def create_sandbox(
    *, api_key: str | None = None, webhook_transport: httpx.AsyncBaseTransport | None = None
) -> Starlette:
    """The whole sandbox, with ``/sandbox`` in all its paths.

    Without ``api_key`` any non-empty key opens the REST API. Webhooks go through
    ``webhook_transport`` when one is given.
    """
    webhooks = Webhooks(webhook_transport)
    timing = Timing(time.monotonic_ns, _call_at, time.time_ns() - time.monotonic_ns())
    voice = Espeak()
    conversations = Conversations(timing, voice, webhooks.post)
    desk = FaultDesk()
    rest = TavusRest(conversations, Catalogue(), desk, api_key)
    rooms = RoomPages(conversations)
    faults = FaultPages(desk)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        conversations.close()
        await voice.close()
        await webhooks.close()

    room = "/sandbox/rooms/{conversation_id}"
    return Starlette(
        routes=[
            Mount("/sandbox/v2", routes=rest.routes()),
            Route(room, rooms.page),
            Route("/sandbox/page/{name}", rooms.file),
            Route(f"{room}/heard.wav", rooms.heard),
            Route(f"{room}/log", rooms.log),
            WebSocketRoute(f"{room}/link", rooms.link),
            WebSocketRoute(f"{room}/media", rooms.media),
            Route("/sandbox/faults", faults.show, methods=["GET"]),
            Route("/sandbox/faults", faults.put, methods=["PUT"]),
        ],
        lifespan=lifespan,
    )


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
