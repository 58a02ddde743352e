"""The door: who may come in at all, checked before any route is looked for.

Without API keys the service is for this machine only. A web page elsewhere could still reach it
through the visitor's browser, under its own name (``Origin``) or, by DNS rebinding, under a foreign
``Host``; both are refused. With keys, everything but the two health questions needs one, or a
session token where that is enough. Tavus has neither: its callbacks come from wherever it likes,
each to an address that is a secret.

A browser that is to show a page has nowhere to put a bearer token, so it is asked for user and
password, and an API key is the password. It sends them along from then on, also with what somebody
else's page makes it send; therefore they count only for what changes nothing, or comes from a page
of ours, and never for a WebSocket.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.credentials import (
    ApiKey,
    Caller,
    Credentials,
    api_key,
    demand,
    identify,
    read_bearer,
    read_password,
    turn_away,
)
from app.api.problems import problem_response
from app.core.callbacks import PATH as CALLBACKS
from app.core.roles import Role
from app.errors import BridgeError, Forbidden, TooLarge, Unauthorized
from app.settings import LOOPBACK_HOSTS, RoomKind, Settings

MAX_BODY_BYTES = 1 << 20
"""Most bytes of a request's body; the largest useful one is a few KiB of ``conversation``."""

FOR_TOKENS: dict[tuple[str, ...], Role] = {
    ("GET",): Role.OBSERVE,
    ("POST", "interrupt"): Role.CONTROL,
    ("POST", "messages"): Role.CONTROL,
}
"""What may be done below ``/sessions/{id}`` with a token of that session; all else needs a key."""

ASK_A_PERSON = 'Basic realm="API key as password", charset="UTF-8"'

SAFE = frozenset({"GET", "HEAD"})
"""What changes nothing, here as everywhere (RFC 9110, 9.2.1)."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
SANDBOX_REST = "/sandbox/v2/"
"""Has a key of its own, ``x-api-key``, like Tavus."""


class Guard:
    """ASGI middleware for HTTP and WebSocket."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Stand before ``app``."""
        self._app = app
        self._settings = settings
        public = urlsplit(settings.public_url or "")
        self._public_origin = f"{public.scheme}://{public.netloc}"
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
        try:
            if scope["type"] == "http":
                self._check_request(scope, headers)
                receive = _limited(headers, receive)
            elif self._settings.api_keys:
                self._known_page(headers)
            else:
                self._local_only(headers)
        except BridgeError as error:
            if scope["type"] == "websocket":
                await turn_away(scope, receive, send, error, Credentials.of(scope))
            else:
                answer = problem_response(error)
                if isinstance(error, Unauthorized) and _wants_page(scope, headers):
                    # A line of its own: Chromium reads one scheme a line.
                    answer.headers.append("WWW-Authenticate", ASK_A_PERSON)
                await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_request(self, scope: Scope, headers: Headers) -> None:
        """Put who is asking into ``scope``. Raises ``Unauthorized`` and ``Forbidden``."""
        path: str = scope["path"]
        if path.startswith(CALLBACKS):
            return
        if not self._settings.api_keys:
            self._local_only(headers)
        if self._is_open(path):
            return
        caller = self._person(scope, headers) or identify(
            self._settings, scope["app"].state.issuer, read_bearer(headers.get("authorization"))
        )
        _stay_inside(caller, scope["method"], path)
        scope.setdefault("state", {})["caller"] = caller

    def _person(self, scope: Scope, headers: Headers) -> ApiKey | None:
        """Whose API key a browser shows as a password, unless another page may be behind it."""
        password = read_password(headers.get("authorization"))
        is_harmless = scope["method"] in SAFE or self._is_own_page(
            headers.get("origin", ""), headers
        )
        return api_key(self._settings, password) if password and is_harmless else None

    def _is_own_page(self, origin: str, headers: Headers) -> bool:
        """Whether a page of this origin is one that this service has sent."""
        host = headers.get("host", "").lower()
        return origin == self._public_origin or (host != "" and host == _netloc(origin))

    def _known_page(self, headers: Headers) -> None:
        """No page of somebody else opens a stream: CORS knows nothing of WebSockets."""
        for origin in headers.getlist("origin"):
            if origin not in self._settings.allowed_origins and not self._is_own_page(
                origin, headers
            ):
                raise Forbidden("Pages of this origin may not call: see BRIDGE_ALLOWED_ORIGINS")

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


def _stay_inside(caller: Caller, method: str, path: str) -> None:
    """Raise ``Forbidden`` for a session token that is not meant for this call."""
    if isinstance(caller, ApiKey):
        return
    match path.split("/"):
        case ["", "sessions", session_id, *rest] if role := FOR_TOKENS.get((method, *rest)):
            demand(caller, session_id, role)
        case _:
            raise Forbidden("This needs an API key")


def _wants_page(scope: Scope, headers: Headers) -> bool:
    """Whether a person waits at a browser: what a page fetches asks for anything."""
    return scope["method"] in SAFE and "text/html" in headers.get("accept", "")


def _netloc(url: str) -> str | None:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


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
