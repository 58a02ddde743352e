"""The whole application in virtual time, and two ways to open a stream to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from httpx_ws import AsyncWebSocketSession, WebSocketDisconnect, aconnect_ws
from httpx_ws.transport import ASGIWebSocketTransport
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.writer import OUTLET
from app.main import create_app
from app.runtime.runner import Runner
from tests.support.asyncapi import check_server_message
from tests.support.clock import settle
from tests.support.world import World, spec

ORIGIN = "http://127.0.0.1"


@asynccontextmanager
async def served(world: World) -> AsyncIterator[FastAPI]:
    """Run the application that ``serve`` runs, in this world."""
    app = create_app(
        world.settings,
        world.journal,
        clock=world.clock,
        http=world.http,
        make_room=world.make_room,
    )
    async with app.router.lifespan_context(app):
        yield app


async def new_session(app: FastAPI, **changes: Any) -> Runner:
    """Create a session that is ready."""
    session, _ = await app.state.registry.create(
        spec(**changes), owner="me", key=None, body_hash=""
    )
    await settle()
    assert isinstance(session, Runner)
    return session


class Stream:
    """A client's side of one stream; every message it gets is in the contract."""

    def __init__(self, socket: AsyncWebSocketSession) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        """Wait for the next message."""
        self.told.append(check_server_message(await self.socket.receive_text()))
        return self.told[-1]

    async def until(self, message_type: str) -> dict[str, Any]:
        """Wait for the next message of a type."""
        while (message := await self.next())["type"] != message_type:
            pass
        return message

    async def closed(self) -> int:
        """Read to the end; returns the close code."""
        try:
            while True:
                await self.next()
        except WebSocketDisconnect as end:
            return end.code


@asynccontextmanager
async def opened(
    app: FastAPI,
    session_id: str,
    query: str = "",
    subprotocols: list[str] | None = None,
    **headers: str,
) -> AsyncIterator[Stream]:
    """Open a stream as a client does."""
    async with (
        ASGIWebSocketTransport(_denying(app)) as transport,
        httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as http,
        aconnect_ws(
            f"{ORIGIN}/sessions/{session_id}/stream{query}",
            http,
            subprotocols=subprotocols,
            max_message_size_bytes=1 << 20,
            session_class=AsyncWebSocketSession,
        ) as socket,
    ):
        yield Stream(socket)


def _denying(app: FastAPI) -> ASGIApp:
    """Be more like uvicorn: refuse an upgrade with a response, split subprotocols at the comma."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {"websocket.http.response": {}}
        scope["subprotocols"] = [name.strip() for name in scope["subprotocols"]]
        await app(scope, receive, send)

    return run


class RawSocket:
    """The server's side of one WebSocket, as uvicorn keeps it: may block, be lost, be aborted."""

    def __init__(self, app: FastAPI, session_id: str, query: str = "") -> None:
        path = f"/sessions/{session_id}/stream"
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "ws",
            "query_string": query.encode(),
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}, OUTLET: self},
        }
        self.outbox: list[Message] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.left = 1
        """Bytes that wait while it is not writable."""
        self.aborted = False
        self.is_lost = False
        self.is_quick = True
        """A message can be sent where it comes up."""
        self.on_send: Callable[[Message], None] = lambda _message: None

    async def run(self) -> None:
        """Run the application for this socket, as a server does."""
        await self._app(self._scope, self._receive, self._send)

    def client_sends(self, data: bytes | str) -> None:
        """Let a message arrive."""
        kind = "bytes" if isinstance(data, bytes) else "text"
        self._inbox.put_nowait({"type": "websocket.receive", kind: data})

    def end(self, code: int) -> None:
        """Let the connection end: 1006 without a close frame."""
        self.is_lost = True
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": code})
        self.writable.set()

    @property
    def texts(self) -> list[dict[str, Any]]:
        """The messages that were sent, each in the contract."""
        return [check_server_message(m["text"]) for m in self.outbox if "text" in m]

    @property
    def close_code(self) -> int | None:
        """How the application closed it."""
        return next((m["code"] for m in self.outbox if m["type"] == "websocket.close"), None)

    # --- Outlet

    def waiting(self) -> int:
        return 0 if self.writable.is_set() else self.left

    async def drained(self) -> None:
        while not self.writable.is_set():
            await self.writable.wait()

    def send_now(self, text: str) -> bool:
        if not self.is_quick or not self.writable.is_set() or self.is_lost or self.close_code:
            return False
        message = {"type": "websocket.send", "text": text}
        self.on_send(message)
        self.outbox.append(message)
        return True

    def abort(self) -> None:
        self.aborted = True
        self.end(1006)

    # --- ASGI

    async def _receive(self) -> Message:
        return await self._inbox.get()

    async def _send(self, message: Message) -> None:
        await self.writable.wait()
        if self.is_lost:
            raise OSError  # as uvicorn's ClientDisconnected is one
        self.on_send(message)
        self.outbox.append(message)
        if message["type"] == "websocket.close":
            self.end(message["code"])
