"""What can be asked of the sandbox beside Tavus's REST API: its rooms and its faults."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path
from string import Template

from starlette.requests import HTTPConnection, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.websockets import WebSocket

from app.sandbox.conversations import Conversation, Conversations
from app.sandbox.face import Face
from app.sandbox.faults import FaultDesk, UnknownFault
from app.sandbox.link import serve_link
from app.sandbox.media_link import serve_media
from app.sandbox.portrait import Portrait
from app.sandbox.rooms import RoomFull

FOLDER = Path(__file__).parent / "page"

FILES = frozenset({"icon.svg", "microphone.js", "room.css", "room.js", "screen.js", "speaker.js"})
"""What the page loads; it uses nothing from elsewhere."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address may hold a meeting token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class RoomPages:
    """The handlers of ``/sandbox/rooms``."""

    def __init__(self, conversations: Conversations) -> None:
        """Show the rooms of these conversations."""
        self._conversations = conversations
        self._faces: dict[int, asyncio.Task[Face]] = {}

    async def page(self, request: Request) -> Response:
        """The room as a person sees it; the page asks for more only once somebody joins."""
        conversation = self._find(request)
        if conversation is None:
            return _no_room()
        refusal = _refusal(request, conversation)
        if not conversation.active:
            status, state = 200, "over"
        elif refusal is None:
            status, state = 200, "open"
        else:
            status, state = refusal[0], "private" if refusal[0] == 401 else "refused"
        page = Template((FOLDER / "room.html").read_text(encoding="utf-8"))
        text = page.substitute(room=conversation.conversation_id, state=state)
        return HTMLResponse(text, status, HEADERS)

    async def file(self, request: Request) -> Response:
        """A part of the page."""
        name = request.path_params["name"]
        if name not in FILES:
            return PlainTextResponse("There is no such file.", 404)
        return FileResponse(FOLDER / name, headers=HEADERS)

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
        conversation = await self._enter(websocket)
        if conversation is None:
            return
        try:
            await serve_link(
                websocket, conversation.room, websocket.query_params.get("name", "guest")
            )
        except RoomFull:
            await _deny(websocket, 403, "the meeting is full")

    async def media(self, websocket: WebSocket) -> None:
        """A viewer's way to the room's pictures and sound."""
        conversation = await self._enter(websocket)
        if conversation is not None:
            face = await self._face(*conversation.room.picture_size)
            await serve_media(websocket, conversation.room, Portrait(face))

    async def _enter(self, websocket: WebSocket) -> Conversation | None:
        """The conversation whose room this client may enter; else it is told why not."""
        conversation = self._find(websocket)
        if conversation is None or not conversation.active:
            await _deny(websocket, 404, "this room does not exist or is no longer available")
            return None
        refusal = _refusal(websocket, conversation)
        if refusal is not None:
            await _deny(websocket, *refusal)
            return None
        return conversation

    async def _face(self, width: int, height: int) -> Face:
        """The face of this size, painted once, when it is first wanted, beside the loop."""
        painting = self._faces.get(width)
        if painting is None:
            painting = asyncio.create_task(asyncio.to_thread(Face, width, height), name="paint")
            self._faces[width] = painting
        return await asyncio.shield(painting)  # others may wait for it, too

    def _find(self, request: HTTPConnection) -> Conversation | None:
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


def _refusal(connection: HTTPConnection, conversation: Conversation) -> tuple[int, str] | None:
    """The status and the reason why this client may not enter a room, if so."""
    wanted = conversation.meeting_token
    if wanted is None:
        return None
    shown = connection.query_params.get("token") or connection.query_params.get("t") or ""
    if not shown:
        return 401, "this room needs a meeting token"
    expired = time.monotonic_ns() > conversation.token_expires
    good = secrets.compare_digest(shown.encode(), wanted.encode())
    if not good or expired or conversation.faults.token_expired:
        return 403, "the meeting token is wrong or has expired"
    return None


def _no_room() -> Response:
    return PlainTextResponse("There is no such room.", 404)


async def _deny(websocket: WebSocket, status: int, reason: str) -> None:
    await websocket.send_denial_response(PlainTextResponse(reason, status))
