"""The way through to the sandbox's own process."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.api.sandbox import SandboxProxy
from tests.support.api import api_app, client
from tests.support.sandbox import listening, running_sandbox


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


@contextlib.asynccontextmanager
async def a_room_behind_us() -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client of the sandbox, and the address that its one room has with us."""
    async with running_sandbox() as tavus, httpx.AsyncClient() as passing:
        await tavus.put("/sandbox/faults", json={"replica_join_ms": 0})
        answer = await tavus.post("/sandbox/v2/conversations", json={"replica_id": "r1"})
        way = SandboxProxy(passing, str(tavus.base_url).rstrip("/"))
        async with listening(api_app(proxy=way)) as url:
            room = urlsplit(answer.json()["conversation_url"]).path
            yield tavus, f"{url.replace('http', 'ws', 1)}{room}"


async def test_a_room_can_be_entered_and_watched_through_us() -> None:
    """Text and binary go both ways; leaving one side leaves the other."""
    async with (
        a_room_behind_us() as (_, room),
        connect(f"{room}/link?name=visitor%20one", proxy=None) as link,
        connect(f"{room}/media", proxy=None) as media,
    ):
        joined = json.loads(await link.recv())
        await media.send('{"op":"watch","video":true,"people":true}')
        picture = await media.recv()
        await link.send('{"op":"microphone","sample_rate":8000}')
        await link.send(bytes(320))
        async for message in media:
            assert isinstance(message, bytes)
            if message[0] == 3:
                break
        await link.send('{"op":"leave"}')
        await link.wait_closed()

    assert "joined" == joined["op"]
    assert 20 + 640 * 360 * 3 // 2 == len(picture)
    assert message.endswith(joined["id"].encode() + bytes(320))
    assert 1000 == link.close_code


async def test_the_end_of_a_room_comes_through() -> None:
    """With its close code, and with that of a mistake."""
    async with a_room_behind_us() as (tavus, room):
        async with connect(f"{room}/media", proxy=None) as media:
            await media.send("nonsense")
            await media.wait_closed()
        async with connect(f"{room}/link?name=me", proxy=None) as link:
            await link.recv()
            await tavus.post(f"/sandbox/v2/conversations/{room.rsplit('/', 1)[1]}/end")
            await link.wait_closed()

    assert (1008, 1000) == (media.close_code, link.close_code)


@pytest.mark.parametrize("path", ["/sandbox/rooms/c0/link", "/sandbox/rooms/c0/media"])
async def test_what_the_sandbox_refuses_is_refused(path: str) -> None:
    """Before the upgrade, in its words."""
    async with a_room_behind_us() as (_, room):
        url = urlsplit(room)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{url.netloc}{path}", proxy=None)

    assert 404 == refused.value.response.status_code
    assert b"does not exist" in refused.value.response.body


@pytest.mark.parametrize("path", ["/sandbox/rooms/c0/other", "/sandbox/rooms/..%2fc0/link"])
async def test_there_is_no_other_socket(path: str) -> None:
    """Nor a way around."""
    async with a_room_behind_us() as (_, room):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{urlsplit(room).netloc}{path}", proxy=None)

    assert refused.value.response.status_code in {403, 404}


async def test_a_socket_of_a_sandbox_that_is_down_is_refused() -> None:
    """As its other paths are; so are all where no sandbox runs."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    statuses = []
    async with httpx.AsyncClient() as passing:
        for way in (SandboxProxy(passing, f"http://127.0.0.1:{port}"), None):
            async with listening(api_app(proxy=way)) as url:
                with pytest.raises(InvalidStatus) as refused:
                    await connect(
                        f"{url.replace('http', 'ws', 1)}/sandbox/rooms/c1/link", proxy=None
                    )
            statuses.append(refused.value.response.status_code)

    assert [502, 404] == statuses


async def test_without_a_sandbox_its_paths_do_not_exist() -> None:
    """With Daily there is nothing to pass on to."""
    async with client(api_app(room="daily", tavus_api_key="x")) as http:
        response = await http.get("/sandbox/faults")

    assert (404, "not_found") == (response.status_code, response.json()["code"])
