"""Passes ``/sandbox/...`` on to the sandbox's own process, so that its paths work here too."""

from __future__ import annotations

import httpx
from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.errors import NotFound, TavusTimeout, TavusUnavailable

TIMEOUT = httpx.Timeout(60.0, connect=2.0)
"""Longest silence, seconds: a page may wait for what its room does next."""

NOT_PASSED_ON = frozenset(
    {
        # hop by hop (RFC 9110, 7.6.1)
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # each server says its own
        "authorization",
        "date",
        "server",
        "x-forwarded-proto",
    }
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

router = APIRouter(prefix="/sandbox", include_in_schema=False)


class SandboxProxy:
    """The way to the sandbox. The httpx client is the caller's to close."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        """Pass on to ``origin``, such as ``http://127.0.0.1:4000``."""
        self._client = client
        self._origin = httpx.URL(origin)

    async def pass_on(self, request: Request) -> Response:
        """Answer with what the sandbox answers.

        ``Host`` stays the caller's: addresses in the answer point to where the caller came from.
        Raises ``TavusUnavailable`` or ``TavusTimeout``, and ``NotFound`` for a path with dots that
        would lead to another place than the one whose credential was checked.
        """
        if {".", ".."} & set(request.url.path.split("/")):
            raise NotFound
        query = request.scope["query_string"]
        path: bytes = request.scope["raw_path"].partition(b"?")[0]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = self._client.build_request(
            request.method,
            self._origin.copy_with(raw_path=path + b"?" + query if query else path),
            headers=[
                *_passed_on(request.headers),
                (b"x-forwarded-proto", request.url.scheme.encode()),
            ],
            content=request.stream() if has_body else None,
            timeout=TIMEOUT,
        )
        try:
            incoming = await self._client.send(outgoing, stream=True)
        except httpx.TimeoutException as error:
            raise TavusTimeout("The sandbox did not answer in time") from error
        except httpx.RequestError as error:
            raise TavusUnavailable("The sandbox cannot be reached") from error
        return _Relay(incoming)


class _Relay(StreamingResponse):
    """An answer on its way through; closed in every case."""

    def __init__(self, incoming: httpx.Response) -> None:
        super().__init__(incoming.aiter_raw(), incoming.status_code)
        self._incoming = incoming
        self.raw_headers = _passed_on(Headers(raw=incoming.headers.raw))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._incoming.aclose()


def _passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Leave out what concerns one connection only, and what its ``Connection`` header names."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return [
        (name, value)
        for name, value in headers.raw
        if name.lower().decode("latin-1") not in NOT_PASSED_ON | named
    ]


@router.api_route("/{path:path}", methods=METHODS)
async def pass_on(request: Request) -> Response:
    """Pass one request on. Raises ``NotFound`` where no sandbox runs."""
    proxy: SandboxProxy | None = request.app.state.sandbox
    if proxy is None:
        raise NotFound
    return await proxy.pass_on(request)
