"""The way through to the sandbox's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app.api.sandbox import SandboxProxy
from tests.support.api import api_app, client


async def echo(request: Request) -> Response:
    """Answer with what arrived."""
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "headers": dict(request.headers),
            "body": (await request.body()).decode(),
        },
        status_code=202,
        headers={"x-answer": "yes", "connection": "x-private", "x-private": "1", "server": "inner"},
    )


async def stream(_request: Request) -> Response:
    """Answer piece by piece."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two ", b"three"):
            yield piece

    return StreamingResponse(pieces(), media_type="audio/wav")


def proxy() -> SandboxProxy:
    """Make a way to a sandbox of two routes."""
    inner = Starlette(
        routes=[
            Route("/sandbox/stream", stream),
            Route("/{path:path}", echo, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )
    return SandboxProxy(
        httpx.AsyncClient(transport=httpx.ASGITransport(inner)), "http://127.0.0.1:4000"
    )


async def test_a_request_goes_through_unchanged() -> None:
    """Method, path, query, body, key and Host arrive; what concerns one connection does not."""
    async with client(api_app(proxy=proxy())) as http:
        response = await http.put(
            "/sandbox/v2/a%20b?x=1&x=2",
            content=b"body",
            headers={
                "x-api-key": "k",
                "authorization": "Bearer ours",
                "connection": "x-hop",
                "x-hop": "1",
                "te": "trailers",
            },
        )
    arrived = response.json()

    assert (202, "yes") == (response.status_code, response.headers["x-answer"])
    assert set() == {"x-private", "server"} & set(response.headers)
    assert ("PUT", "/sandbox/v2/a%20b", "x=1&x=2", "body") == (
        arrived["method"],
        arrived["path"],
        arrived["query"],
        arrived["body"],
    )
    assert ("127.0.0.1:8080", "k", "http") == (
        arrived["headers"]["host"],
        arrived["headers"]["x-api-key"],
        arrived["headers"]["x-forwarded-proto"],
    )
    assert set() == {"authorization", "x-hop", "te"} & set(arrived["headers"])


async def test_a_request_without_body_stays_without() -> None:
    """Nothing is added to a plain GET."""
    async with client(api_app(proxy=proxy())) as http:
        arrived = (await http.get("/sandbox/rooms/c1")).json()

    assert set() == {"content-length", "transfer-encoding"} & set(arrived["headers"])


async def test_an_answer_is_passed_on_whole() -> None:
    """A long answer comes through in its pieces."""
    async with client(api_app(proxy=proxy())) as http:
        response = await http.get("/sandbox/stream")

    assert (b"one two three", "audio/wav") == (response.content, response.headers["content-type"])


@pytest.mark.parametrize("path", ["/sandbox/v2/%2e%2e/faults", "/sandbox/v2/..%2ffaults"])
async def test_no_path_leads_around_the_guard(path: str) -> None:
    """A path that would end elsewhere than it began is not passed on."""
    async with client(api_app(proxy=proxy(), api_keys="key")) as http:
        response = await http.get(path)

    assert (404, "not_found") == (response.status_code, response.json()["code"])


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (httpx.ConnectError("down"), 502, "tavus_unavailable"),
        (httpx.RemoteProtocolError("lost"), 502, "tavus_unavailable"),
        (httpx.ConnectTimeout("slow"), 504, "tavus_timeout"),
        (httpx.ReadTimeout("slow"), 504, "tavus_timeout"),
    ],
)
async def test_a_sandbox_that_fails_is_told(failure: Exception, status: int, code: str) -> None:
    """When the child is down the caller gets a problem."""

    async def broken(*_: object) -> None:
        raise failure

    transport = httpx.ASGITransport(broken)
    way = SandboxProxy(httpx.AsyncClient(transport=transport), "http://127.0.0.1:4000")
    async with client(api_app(proxy=way)) as http:
        response = await http.get("/sandbox/faults")

    assert (status, code) == (response.status_code, response.json()["code"])


async def test_without_a_sandbox_its_paths_do_not_exist() -> None:
    """With Daily there is nothing to pass on to."""
    async with client(api_app(room="daily", tavus_api_key="x")) as http:
        response = await http.get("/sandbox/faults")

    assert (404, "not_found") == (response.status_code, response.json()["code"])
