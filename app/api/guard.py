"""The door: who may come in at all, checked before any route is looked for.

Without API keys the service is for this machine only. A web page elsewhere could still reach it
through the visitor's browser, under its own name (``Origin``) or, by DNS rebinding, under a foreign
``Host``; both are refused. With keys, everything but the two health questions needs one. Tavus has
neither: its callbacks come from wherever it likes, each to an address that is a secret.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.deps import authenticate
from app.api.problems import problem_response
from app.core.callbacks import PATH as CALLBACKS
from app.errors import BridgeError, Forbidden, TooLarge
from app.settings import LOOPBACK_HOSTS, RoomKind, Settings

MAX_BODY_BYTES = 1 << 20
"""Most bytes of a request's body; the largest useful one is a few KiB of ``conversation``."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
SANDBOX_REST = "/sandbox/v2/"
"""Has a key of its own, ``x-api-key``, like Tavus."""


class Guard:
    """ASGI middleware for HTTP and WebSocket."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Stand before ``app``."""
        self._app = app
        self._settings = settings
        self._entry: ASGIApp = self._check
        if settings.allowed_origins:
            self._entry = CORSMiddleware(
                self._check,
                allow_origins=settings.allowed_origins,
                allow_methods=("GET", "POST", "PUT", "DELETE"),
                allow_headers=("Authorization", "Idempotency-Key", "x-api-key"),
                expose_headers=("Location", "Idempotency-Replayed", "Retry-After"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] in {"http", "websocket"}:
            await self._entry(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        is_callback = scope["type"] == "http" and scope["path"].startswith(CALLBACKS)
        try:
            if not self._settings.api_keys and not is_callback:
                self._local_only(headers)
            if scope["type"] == "http":
                if not is_callback and not self._is_open(scope["path"]):
                    owner = authenticate(self._settings, headers.get("authorization"))
                    scope.setdefault("state", {})["owner"] = owner
                receive = _limited(headers, receive)
        except BridgeError as error:
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _local_only(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _hostname(f"//{hosts[0]}") not in LOOPBACK_HOSTS:
            raise Forbidden("Without BRIDGE_API_KEYS only a loopback Host is served")
        for origin in headers.getlist("origin"):
            if (
                origin not in self._settings.allowed_origins
                and _hostname(origin) not in LOOPBACK_HOSTS
            ):
                raise Forbidden("Without BRIDGE_API_KEYS only pages of this machine are served")

    def _is_open(self, path: str) -> bool:
        return path in OPEN_PATHS or (
            path.startswith(SANDBOX_REST) and self._settings.room_kind is RoomKind.SANDBOX
        )


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _limited(headers: Headers, receive: Receive) -> Receive:
    """Let no more than ``MAX_BODY_BYTES`` through. Raises ``TooLarge`` when that is known ahead."""
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > MAX_BODY_BYTES):
        raise TooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes")
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            # FastAPI lets nothing but HTTPException out of its reading of a body.
            raise HTTPException(413)
        return message

    return limited
