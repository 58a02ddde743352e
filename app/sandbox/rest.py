"""Tavus's REST API, as its documentation and the clients that run against it know it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.sandbox.catalogue import (
    DEFAULT_PAL,
    NEW_WORDS,
    OLD_WORDS,
    STOCK_FACE,
    BadPatch,
    Catalogue,
    Pal,
    face_view,
)
from app.sandbox.conversations import ABSENT_S, CEILING_S, LEFT_S, Conversations, Wish, utc_now
from app.sandbox.faults import FaultDesk, Faults

Handler = Callable[[Request], Awaitable[Response]]

CONCURRENCY = {"message": "User has reached maximum concurrent conversations"}

REFUSALS: dict[int, Any] = {
    400: CONCURRENCY,
    401: {"message": "Invalid access token"},
    402: {"message": "The user is out of conversational credits"},
    403: {"message": "Your plan does not include this feature"},
    404: {"error": "Not found"},
    429: {"message": "Too many requests"},
}
"""Bodies seen in the field; statuses from 500 on answer without JSON."""


class Refusal(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, body: Any) -> None:
        """Answer ``status`` with a JSON body, or text for a string."""
        self.status = status
        self.body = body
        super().__init__(status)

    def response(self) -> Response:
        """The answer."""
        if isinstance(self.body, str):
            return PlainTextResponse(self.body, self.status)
        return JSONResponse(self.body, self.status)


class LostReply(Response):
    """An answer whose connection breaks before it is complete."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Announce more than is sent; the server then closes the connection."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"500")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class TavusRest:
    """The handlers of ``/sandbox/v2``."""

    def __init__(
        self,
        conversations: Conversations,
        catalogue: Catalogue,
        desk: FaultDesk,
        api_key: str | None,
    ) -> None:
        """Serve one account, open to ``api_key`` or, without one, to any non-empty key."""
        self._conversations = conversations
        self._catalogue = catalogue
        self._desk = desk
        self._api_key = api_key

    def routes(self) -> list[Route]:
        """All routes, relative to ``/sandbox/v2``."""
        conversation = "/conversations/{conversation_id}"
        routes = [
            self._route("/conversations", self._create, "POST"),
            self._route("/conversations", self._list, "GET"),
            self._route(conversation, self._get, "GET"),
            self._route(conversation, self._delete, "DELETE"),
            self._route(f"{conversation}/end", self._end, "POST"),
        ]
        for word in ("persona", "pal"):
            routes += [
                self._route(f"/{word}s", self._pal_create(word), "POST"),
                self._route(f"/{word}s", self._pal_list(word), "GET"),
                self._route(f"/{word}s/{{pal_id}}", self._pal_get(word), "GET"),
                self._route(f"/{word}s/{{pal_id}}", self._pal_patch(word), "PATCH"),
                self._route(f"/{word}s/{{pal_id}}", self._pal_delete(word), "DELETE"),
            ]
        for word in ("replica", "face"):
            routes += [
                self._route(f"/{word}s", self._face_list(word), "GET"),
                self._route(f"/{word}s/{{face_id}}", self._face_get(word), "GET"),
            ]
        return routes

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        async def guarded(request: Request) -> Response:
            try:
                self._check_key(request)
                return await handler(request)
            except Refusal as refusal:
                return refusal.response()

        return Route(path, guarded, methods=[method])

    def _check_key(self, request: Request) -> None:
        key = request.headers.get("x-api-key", "")
        wanted = self._api_key
        if not key or (wanted and not secrets.compare_digest(key.encode(), wanted.encode())):
            raise Refusal(401, REFUSALS[401])

    # --- conversations

    async def _create(self, request: Request) -> Response:
        faults = self._desk.take()
        if faults.create_slow_ms:
            await asyncio.sleep(faults.create_slow_ms / 1000)
        if faults.create_status is not None:
            status = faults.create_status
            raise Refusal(status, REFUSALS.get(status, "upstream failure"))
        wish = self._wish(await _json_object(request), faults)
        taken = self._conversations.active()
        if not wish.test_mode and taken >= faults.max_conversations:
            raise Refusal(400, CONCURRENCY)
        base_url = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        conversation = self._conversations.create(wish, faults, base_url)
        if faults.create_reply_lost:
            return LostReply()
        shown = conversation.view()
        if conversation.meeting_token is not None:
            shown["meeting_token"] = conversation.meeting_token
        return JSONResponse(shown)

    def _wish(self, body: dict[str, Any], faults: Faults) -> Wish:
        face_id, face_word = _either(body, "replica", "face")
        pal_id, pal_word = _either(body, "persona", "pal")
        if not face_id and not pal_id:
            raise Refusal(400, {"error": "replica_id or persona_id is required"})
        pal = self._catalogue.pal(pal_id or DEFAULT_PAL, faults.known_personas)
        if pal is None:
            raise Refusal(400, {"message": f"Invalid {pal_word}_uuid"})
        face_id = face_id or pal.face_id
        if not self._catalogue.has_face(face_id, faults.known_replicas):
            raise Refusal(400, {"message": f"Invalid {face_word}_uuid"})
        properties = body.get("properties") or {}
        if not isinstance(properties, dict):
            raise Refusal(400, {"error": "properties must be an object"})
        return Wish(
            face_id=face_id,
            pal=pal,
            words=NEW_WORDS if face_word == "face" or pal_word == "pal" else OLD_WORDS,
            name=_text(body, "conversation_name"),
            callback_url=_text(body, "callback_url") or "",
            require_auth=body.get("require_auth") is True,
            test_mode=body.get("test_mode") is True,
            max_participants=_max_participants(body),
            max_call_s=_seconds(properties, "max_call_duration", CEILING_S),
            absent_s=_seconds(properties, "participant_absent_timeout", ABSENT_S),
            left_s=_seconds(properties, "participant_left_timeout", LEFT_S),
        )

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        face = query.get("replica_id") or query.get("face_id")
        pal = query.get("persona_id") or query.get("pal_id")
        rows = [
            conversation.view()
            for conversation in self._conversations.newest_first()
            if (not face or conversation.wish.face_id == face)
            and (not pal or conversation.wish.pal.pal_id == pal)
        ]
        status = query.get("status")
        return _page(request, [row for row in rows if not status or row["status"] == status])

    async def _get(self, request: Request) -> Response:
        conversation = self._conversations.get(request.path_params["conversation_id"])
        if conversation is None:
            raise Refusal(404, {"error": "Invalid conversation_id"})
        verbose = request.query_params.get("verbose", "").lower() == "true"
        return JSONResponse(conversation.view(verbose=verbose))

    async def _end(self, request: Request) -> Response:
        conversation = self._conversations.get(request.path_params["conversation_id"])
        if conversation is None:
            raise Refusal(400, {"error": "Invalid conversation_id"})
        if conversation.end_failures > 0:
            conversation.end_failures -= 1
            raise Refusal(500, "upstream failure")
        if not conversation.active:
            raise Refusal(400, {"message": "Conversation has already ended"})
        self._conversations.end(conversation)
        return Response()

    async def _delete(self, request: Request) -> Response:
        conversation = self._conversations.get(request.path_params["conversation_id"])
        if conversation is None:
            raise Refusal(404, {"error": "Invalid conversation_id"})
        self._conversations.delete(conversation)
        return Response(status_code=204)

    # --- PALs and faces

    def _pal_create(self, word: str) -> Handler:
        async def create(request: Request) -> Response:
            body = await _json_object(request)
            mode = body.get("pipeline_mode", "full")
            if mode not in ("full", "echo", "speech-to-speech"):
                raise Refusal(400, {"error": "Invalid pipeline_mode"})
            if mode == "full" and not body.get("system_prompt"):
                raise Refusal(400, {"error": "system_prompt is required"})
            if word == "pal" and not body.get("default_face_id"):
                raise Refusal(400, {"error": "default_face_id is required"})
            pal = self._catalogue.create(body, word, utc_now())
            return JSONResponse(pal.view(word))

        return create

    def _pal_list(self, word: str) -> Handler:
        async def listing(request: Request) -> Response:
            kind = request.query_params.get(f"{word}_type")
            pals = self._catalogue.pals(user_made=kind == "user" if kind else None)
            return _page(request, [pal.view(word) for pal in pals])

        return listing

    def _pal_get(self, word: str) -> Handler:
        async def get(request: Request) -> Response:
            return JSONResponse(self._pal_of(request, word).view(word))

        return get

    def _pal_patch(self, word: str) -> Handler:
        async def patch(request: Request) -> Response:
            pal = self._pal_of(request, word)
            operations = await _json(request)
            if not isinstance(operations, list) or not all(
                isinstance(operation, dict) for operation in operations
            ):
                raise Refusal(400, {"error": "a JSON Patch is a list of operations"})
            try:
                self._catalogue.patch(pal, word, operations)
            except BadPatch as error:
                raise Refusal(400, {"error": str(error)}) from error
            return JSONResponse(pal.view(word))

        return patch

    def _pal_delete(self, word: str) -> Handler:
        async def delete(request: Request) -> Response:
            self._catalogue.delete(self._pal_of(request, word))
            return Response(status_code=204)

        return delete

    def _pal_of(self, request: Request, word: str) -> Pal:
        known = self._desk.standing.known_personas
        pal = self._catalogue.pal(request.path_params["pal_id"], known)
        if pal is None:
            raise Refusal(404, {"message": f"Invalid {word}_uuid"})
        return pal

    def _face_list(self, word: str) -> Handler:
        async def listing(request: Request) -> Response:
            kind = request.query_params.get(f"{word}_type")
            return _page(request, [] if kind == "user" else [face_view(STOCK_FACE, word)])

        return listing

    def _face_get(self, word: str) -> Handler:
        async def get(request: Request) -> Response:
            face_id = request.path_params["face_id"]
            if not self._catalogue.has_face(face_id, self._desk.standing.known_replicas):
                raise Refusal(404, {"message": f"Invalid {word}_uuid"})
            return JSONResponse(face_view(face_id, word))

        return get


# --- reading requests


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refusal(400, {"error": "The request body is not valid JSON"}) from error


async def _json_object(request: Request) -> dict[str, Any]:
    body = await _json(request)
    if not isinstance(body, dict):
        raise Refusal(400, {"error": "The request body must be an object"})
    return body


def _either(body: dict[str, Any], old: str, new: str) -> tuple[str | None, str]:
    """The id under the old or the new word, and the word that was used."""
    word = new if body.get(f"{new}_id") else old
    value = body.get(f"{word}_id")
    if value is not None and not isinstance(value, str):
        raise Refusal(400, {"message": f"Invalid {word}_uuid"})
    return value, word


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(400, {"error": f"{name} must be a string"})
    return value


def _seconds(properties: dict[str, Any], name: str, default: float) -> float:
    value = properties.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise Refusal(400, {"error": f"{name} must be a number of seconds"})
    return value


def _max_participants(body: dict[str, Any]) -> int | None:
    value = body.get("max_participants")
    if value is not None and (type(value) is not int or value < 2):
        raise Refusal(400, {"error": "max_participants must be an integer of at least 2"})
    return value


def _page(request: Request, rows: list[dict[str, Any]]) -> Response:
    """One page in Tavus's envelope; ``page`` counts from 1, and tavus-cli calls the first 0."""
    try:
        limit = int(request.query_params.get("limit", "10"))
        page = int(request.query_params.get("page", "1"))
    except ValueError as error:
        raise Refusal(400, {"error": "limit and page must be integers"}) from error
    if limit < 1 or page < 0:
        raise Refusal(400, {"error": "limit must be at least 1, page at least 0"})
    first = max(0, page - 1) * limit
    return JSONResponse({"data": rows[first : first + limit], "total_count": len(rows)})
