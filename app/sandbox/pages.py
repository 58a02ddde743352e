"""What can be asked of the sandbox beside Tavus's REST API: its rooms and its faults."""

from __future__ import annotations

import asyncio
import html
import json
import secrets
import time

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.websockets import WebSocket

from app.sandbox.conversations import Conversation, Conversations
from app.sandbox.face import Face
from app.sandbox.faults import FaultDesk, UnknownFault
from app.sandbox.link import serve_link
from app.sandbox.media_link import serve_media
from app.sandbox.portrait import Portrait
from app.sandbox.rooms import RoomFull

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>
<h1>{title}</h1>
<p>The offline stand-in for a Tavus conversation in its Daily room. It is {state}.</p>
<ul><li><a href="{path}/heard.wav">What the replica has said</a></li>
<li><a href="{path}/log">Everything that reached or left the room</a></li></ul>
</body></html>
"""


class RoomPages:
    """The handlers of ``/sandbox/rooms``."""

    def __init__(self, conversations: Conversations) -> None:
        """Show the rooms of these conversations."""
        self._conversations = conversations
        self._faces: dict[int, Face] = {}

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
        if conversation.meeting_token is None:
            return conversation
        token = websocket.query_params.get("token") or websocket.query_params.get("t") or ""
        good = secrets.compare_digest(token.encode(), conversation.meeting_token.encode())
        expired = time.monotonic_ns() > conversation.token_expires
        if not token:
            await _deny(websocket, 401, "this room needs a meeting token")
        elif not good or expired or conversation.faults.token_expired:
            await _deny(websocket, 403, "the meeting token is wrong or has expired")
        else:
            return conversation
        return None

    async def _face(self, width: int, height: int) -> Face:
        """The face of this size, painted when it is first wanted, beside the loop."""
        face = self._faces.get(width)
        if face is None:
            face = await asyncio.to_thread(Face, width, height)
            self._faces[width] = face
        return face

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


def _no_room() -> Response:
    return PlainTextResponse("There is no such room.", 404)


async def _deny(websocket: WebSocket, status: int, reason: str) -> None:
    await websocket.send_denial_response(PlainTextResponse(reason, status))
