"""Tavus's REST API in miniature: keeps conversations, records requests, fails on request."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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
                Route("/v2/personas/{persona_id}", self._persona, methods=["GET"]),
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
        status, limit, page = query.get("status"), int(query["limit"]), int(query.get("page", "1"))
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

    async def _persona(self, request: Request) -> Response:
        planned = await self._planned(request)
        return planned or JSONResponse(
            {"persona_name": request.path_params["persona_id"], "pipeline_mode": "echo"}
        )


def _message(text: str, status: HTTPStatus) -> Response:
    return JSONResponse({"message": text}, status_code=status)
