"""Tavus's REST API in miniature: keeps conversations, records requests, fails on request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Handler = Callable[[Request], Awaitable[Response]]

BASE_URL = "http://tavus.test/v2"
KEY = "tavus-key"


@dataclass
class FakeTavus:
    """Conversations by id, and what was asked. Serve it with ``client``."""

    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path with query, and JSON body of each request, in order."""
    conversations: dict[str, dict[str, Any]] = field(default_factory=dict)
    next_answers: deque[Response | Exception] = field(default_factory=deque)
    """Taken, one a request, instead of the true answer; an exception is raised in the client."""
    lose_answers: bool = False
    """Conversations are made, but nobody hears of it."""
    personas: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is shown of a persona besides its name; without an entry it is a plain echo persona."""
    overrule: dict[str, Any] = field(default_factory=dict)
    """What every new persona is, whatever was asked for."""
    missing: set[str] = field(default_factory=set)
    """Personas that are not there."""
    broken: set[str] = field(default_factory=set)
    """Personas that Tavus fails to show."""
    replica_status: str = "completed"
    hold: asyncio.Event | None = None
    """While set and not fired, no request is answered."""

    def client(self) -> httpx.AsyncClient:
        """Make an httpx client whose every request ends here."""
        app = Starlette(
            routes=[
                Route("/v2/conversations", self._create, methods=["POST"]),
                Route("/v2/conversations", self._list, methods=["GET"]),
                Route("/v2/conversations/{conversation_id}", self._get, methods=["GET"]),
                Route("/v2/conversations/{conversation_id}/end", self._end, methods=["POST"]),
                Route("/v2/personas", self._create_persona, methods=["POST"]),
                Route("/v2/pals", self._create_persona, methods=["POST"]),
                Route("/v2/personas/{pal_id}", self._persona("persona"), methods=["GET"]),
                Route("/v2/pals/{pal_id}", self._persona("pal"), methods=["GET"]),
                Route("/v2/replicas/{face_id}", self._replica("replica"), methods=["GET"]),
                Route("/v2/faces/{face_id}", self._replica("face"), methods=["GET"]),
            ]
        )
        return httpx.AsyncClient(transport=httpx.ASGITransport(app))

    def active(self) -> list[str]:
        """Ids of the conversations that cost money now."""
        return [key for key, row in self.conversations.items() if row["status"] == "active"]

    def put(self, name: str, *, status: str = "active") -> str:
        """Have a conversation that nobody here made; returns its id."""
        conversation_id = f"c{len(self.conversations) + 1:06}"
        self.conversations[conversation_id] = {
            "conversation_id": conversation_id,
            "conversation_name": name,
            "conversation_url": f"https://tavus.daily.co/{conversation_id}",
            "status": status,
        }
        return conversation_id

    async def _planned(self, request: Request) -> Response | None:
        body = await request.body()
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.requests.append((request.method, path, await request.json() if body else None))
        if self.hold is not None:
            await self.hold.wait()
        if self.next_answers:
            answer = self.next_answers.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.headers.get("x-api-key") != KEY:
            return _message("Invalid access token", HTTPStatus.UNAUTHORIZED)
        return None

    async def _create(self, request: Request) -> Response:
        planned = await self._planned(request)
        if planned is not None:
            return planned
        body = await request.json()
        conversation_id = self.put(
            body.get("conversation_name", "New Conversation"),
            status="ended" if body.get("test_mode") else "active",
        )
        row = self.conversations[conversation_id]
        row["callback_url"] = body.get("callback_url", "")
        row["created_at"] = "2026-11-22T08:53:00.000000Z"
        if body.get("require_auth"):
            row["meeting_token"] = f"token-of-{conversation_id}"
        if self.lose_answers:
            raise httpx.ReadError("lost")
        return JSONResponse(row)

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        planned = await self._planned(request)
        status, limit, page = (
            query.get("status"),
            int(query.get("limit", "10")),
            int(query.get("page", "1")),
        )
        rows = [row for row in self.conversations.values() if status in {None, row["status"]}]
        shown = rows[(page - 1) * limit : page * limit]
        return planned or JSONResponse({"data": shown, "total_count": len(rows)})

    async def _get(self, request: Request) -> Response:
        planned = await self._planned(request)
        row = self.conversations.get(request.path_params["conversation_id"])
        if planned is not None or row is None:
            return planned or _message("Invalid conversation_id", HTTPStatus.NOT_FOUND)
        return JSONResponse(row)

    async def _end(self, request: Request) -> Response:
        planned = await self._planned(request)
        row = self.conversations.get(request.path_params["conversation_id"])
        if planned is not None or row is None:
            return planned or _message("Invalid conversation_id", HTTPStatus.NOT_FOUND)
        if row["status"] == "ended":
            return _message("Conversation has already ended", HTTPStatus.BAD_REQUEST)
        row["status"] = "ended"
        return Response()

    async def _create_persona(self, request: Request) -> Response:
        planned = await self._planned(request)
        word = request.url.path.rpartition("/")[2].removesuffix("s")
        pal_id = f"p{len(self.personas) + 1:06}"
        if planned is None:
            self.personas[pal_id] = {**await request.json(), **self.overrule}
        return planned or JSONResponse({f"{word}_id": pal_id})

    def _persona(self, word: str) -> Handler:
        async def get(request: Request) -> Response:
            pal_id = request.path_params["pal_id"]
            planned = await self._planned(request)
            if planned is None and pal_id in self.missing:
                return _message(f"Invalid {word}_uuid", HTTPStatus.NOT_FOUND)
            if planned is None and pal_id in self.broken:
                return Response(status_code=HTTPStatus.BAD_GATEWAY)
            shown = self.personas.get(pal_id, {"pipeline_mode": "echo"})
            return planned or JSONResponse({f"{word}_name": pal_id, **shown})

        return get

    def _replica(self, word: str) -> Handler:
        async def get(request: Request) -> Response:
            planned = await self._planned(request)
            face_id = request.path_params["face_id"]
            if planned is None and not face_id.startswith("r"):
                return _message(f"Invalid {word}_uuid", HTTPStatus.NOT_FOUND)
            row = {f"{word}_id": face_id, f"{word}_name": "Anna", "status": self.replica_status}
            return planned or JSONResponse(row)

        return get


def _message(text: str, status: HTTPStatus) -> Response:
    return JSONResponse({"message": text}, status_code=status)
