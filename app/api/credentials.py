"""What a client shows of itself, who that makes it, and how it is told that it may not come in."""

from __future__ import annotations

from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Self

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from app.api.problems import problem_response
from app.core.roles import Role
from app.core.tokens import Grant
from app.core.wire_out import PROTOCOL
from app.errors import BridgeError, Forbidden, Unauthorized
from app.runtime.issuer import Issuer
from app.settings import Settings

LOCAL_OWNER = "local"
"""Who owns sessions where no API keys are configured."""

BEARER_PROTOCOL = "bearer."
"""A browser cannot set headers: its credential is a second subprotocol with this prefix."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Somebody who may do everything."""

    owner: str
    """The key's name, ``local`` without any keys."""


Caller = ApiKey | Grant
"""Who is asking."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows in a WebSocket's handshake."""

    subprotocols: tuple[str, ...] = field(repr=False)
    bearer: str | None = field(repr=False)
    """An API key or a session token."""
    query_token: str | None = field(repr=False)
    """A session token: API keys are for no address, since addresses are written down."""
    is_browser: bool
    """The credential came as a subprotocol: the client can read nothing but close codes."""

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Read the handshake."""
        connection = HTTPConnection(scope)
        subprotocols = tuple(scope.get("subprotocols", ()))
        shown = next((p for p in subprotocols if p.startswith(BEARER_PROTOCOL)), None)
        bearer = read_bearer(connection.headers.get("authorization"))
        if bearer is None and shown is not None:
            bearer = shown.removeprefix(BEARER_PROTOCOL)
        return cls(
            subprotocols,
            bearer,
            query_token=connection.query_params.get("token"),
            is_browser=shown is not None,
        )

    def caller(self, settings: Settings, issuer: Issuer) -> Caller:
        """Tell who this is; a token in the address counts where nothing else was shown.

        Raises ``Unauthorized``.
        """
        if self.bearer is None and self.query_token is not None:
            grant = issuer.check(self.query_token)
            if grant is None:
                raise Unauthorized("The query's token is no session token")
            return grant
        return identify(settings, issuer, self.bearer)


def read_bearer(authorization: str | None) -> str | None:
    """Return the credential of an ``Authorization`` header of that scheme."""
    scheme, _, given = (authorization or "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None


def read_password(authorization: str | None) -> str | None:
    """Return the password of an ``Authorization: Basic``, which only browsers use here."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = b64decode(given.strip(), validate=True)
    except ValueError:
        return None
    return decoded.decode("latin-1").partition(":")[2]


def identify(settings: Settings, issuer: Issuer, credential: str | None) -> Caller:
    """Tell whose API key or session token this is.

    Without API keys everybody may do everything, but who shows a session token has its role.
    Raises ``Unauthorized``.
    """
    if credential is not None:
        key = api_key(settings, credential)
        grant = key or issuer.check(credential)
        if grant is not None:
            return grant
    if not settings.api_keys:
        return ApiKey(LOCAL_OWNER)
    raise Unauthorized


def api_key(settings: Settings, credential: str) -> ApiKey | None:
    """Find a configured API key."""
    sent = credential.encode("latin-1", "replace")  # the bytes that came
    owner = None
    # Every key is compared, whichever fits, so that the time taken tells nothing.
    for name, key in settings.api_keys.items():
        if compare_digest(sent, key.get_secret_value().encode()):
            owner = name
    return None if owner is None else ApiKey(owner)


def demand(caller: Caller, session_id: str, role: Role) -> None:
    """Raise ``Forbidden`` unless the caller may act in this role in this session."""
    if isinstance(caller, ApiKey):
        return
    if caller.session_id != session_id:
        raise Forbidden("The session token is for another session")
    if not caller.role.covers(role):
        raise Forbidden(f"The session token is for the role {caller.role}: this needs {role}")


async def turn_away(
    scope: Scope, receive: Receive, send: Send, error: BridgeError, credentials: Credentials
) -> None:
    """Refuse a WebSocket before its upgrade; a browser can read only a close code: it gets one."""
    with suppress(OSError, WebSocketDisconnect):  # the client is gone already
        if credentials.is_browser and PROTOCOL in credentials.subprotocols:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL, "headers": []})
            await send({"type": "websocket.close", "code": error.close_code, "reason": error.title})
        else:
            await problem_response(error)(scope, receive, send)
