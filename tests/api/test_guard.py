"""Who may come in."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI

from app.api.guard import MAX_BODY_BYTES, Guard
from app.core.roles import Role
from tests.support.api import api_app, client, settings
from tests.support.world import spec

KEYS: dict[str, Any] = {"api_keys": "alice:key-a,bob:key-b"}


# --- without keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.1"]
)
async def test_this_machine_comes_in(host: str) -> None:
    """Every spelling of loopback is served."""
    async with client(api_app(), host=host) as http:
        response = await http.get("/sessions")

    assert 200 == response.status_code


@pytest.mark.parametrize(
    "host",
    [
        "bridge.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:8080",
        "",
        "[::1",
        "0.0.0.0:8080",
        "127.0.0.1@evil.example",
    ],
)
async def test_a_foreign_host_is_refused(host: str) -> None:
    """A name that only points here by DNS does not get in, whatever it asks."""
    async with client(api_app(), host=host) as http:
        answers = [await http.get(path) for path in ("/sessions", "/healthz", "/", "/nowhere")]

    assert [(403, "forbidden")] * 4 == [
        (answer.status_code, answer.json()["code"]) for answer in answers
    ]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8080", 200),
        ("http://localhost:3000", 200),
        ("https://app.example", 200),
        ("https://evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
    ],
)
async def test_a_foreign_page_is_refused(origin: str, status: int) -> None:
    """Pages of this machine and of the allowed origins are served, no others."""
    app = api_app(allowed_origins="https://app.example")
    async with client(app, origin=origin) as http:
        response = await http.post("/sessions")

    assert status == (200 if response.status_code == 201 else response.status_code)


async def test_two_hosts_are_one_too_many() -> None:
    """Of two Host headers nobody can say which one counts."""
    async with client(api_app()) as http:
        response = await http.get(
            "/sessions", headers=[("host", "127.0.0.1"), ("host", "evil.example")]
        )

    assert 403 == response.status_code


# --- with keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "owner"), [("Bearer key-a", "alice"), ("bearer  key-b", "bob")]
)
async def test_a_key_comes_in_under_its_name(authorization: str, owner: str) -> None:
    """Each key stands for its owner, from any host."""
    app = api_app(**KEYS)
    async with client(app, host="bridge.example", authorization=authorization) as http:
        response = await http.post("/sessions")

    assert 201 == response.status_code
    assert owner == app.state.registry.creates[0]["owner"]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer key",
        "Bearer key-aa",
        "Basic key-a",
        "key-a",
        "Bearer é",
    ],
)
@pytest.mark.parametrize("path", ["/sessions", "/", "/metrics", "/openapi.json", "/docs", "/x"])
async def test_without_a_key_nothing_is_told(authorization: str | None, path: str) -> None:
    """A wrong credential meets the same 401 everywhere, also where there is nothing."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    async with client(api_app(**KEYS)) as http:
        response = await http.get(path, headers=headers)

    assert (401, "unauthorized") == (response.status_code, response.json()["code"])


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_open(path: str) -> None:
    """Load balancers need no key."""
    async with client(api_app(**KEYS), host="bridge.example") as http:
        response = await http.get(path)

    assert 200 == response.status_code


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sandbox/v2/conversations", 404),  # past the guard; no sandbox runs
        ("/sandbox/v2/%2e%2e/faults", 404),  # past the guard; the proxy would refuse
        ("/sandbox/v2", 401),
        ("/sandbox/faults", 401),
        ("/sandbox/rooms/c1/log", 401),
    ],
)
async def test_the_sandboxs_rest_has_its_own_key(path: str, status: int) -> None:
    """What stands in for Tavus checks ``x-api-key`` itself; the rest of the sandbox needs ours."""
    async with client(api_app(**KEYS)) as http:
        response = await http.get(path)

    assert status == response.status_code


# --- session tokens ---------------------------------------------------------------------------

CALLS = [
    ("GET", "/sessions/sess_1", 200, Role.OBSERVE),
    ("POST", "/sessions/sess_1/interrupt", 200, Role.CONTROL),
    ("POST", "/sessions/sess_1/messages", 202, Role.CONTROL),
    ("POST", "/sessions/sess_1/tokens", 201, None),
    ("DELETE", "/sessions/sess_1", 204, None),
    ("GET", "/sessions", 200, None),
    ("POST", "/sessions", 201, None),
    ("GET", "/metrics", 200, None),
    ("GET", "/openapi.json", 200, None),
    ("GET", "/", 200, None),
    ("GET", "/sessions/sess_1/nothing", 404, None),
    ("GET", "/nowhere", 404, None),
]
"""Method, path, what an API key gets, and the role that is enough."""

BODIES = {"tokens": {"role": "observe"}, "messages": {"event_type": "conversation.respond"}}


@pytest.mark.parametrize("keys", [KEYS, {}])
@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize(("method", "path", "status", "needed"), CALLS)
async def test_a_role_may_do_so_much(
    method: str, path: str, status: int, needed: Role | None, role: Role | None, keys: Any
) -> None:
    """An API key may do all, a token what its role allows, whether or not keys are configured."""
    app = await one_session(**keys)
    given = "key-a" if role is None else token(app, role)
    async with client(app, authorization=f"Bearer {given}") as http:
        response = await http.request(method, path, json=BODIES.get(path.rpartition("/")[2]))
    is_allowed = role is None or (needed is not None and role.covers(needed))

    assert (status if is_allowed else 403) == response.status_code


async def test_a_token_tells_nothing_of_other_sessions() -> None:
    """Whether there is another session or not, the answer is the same."""
    app = await one_session(**KEYS)
    await app.state.registry.create(spec(), owner="x", key=None, body_hash="")
    async with client(app, authorization=f"Bearer {token(app, Role.PRODUCE)}") as http:
        answers = [await http.get(f"/sessions/{each}") for each in ("sess_2", "sess_3")]

    assert [(403, "forbidden")] * 2 == [
        (answer.status_code, answer.json()["code"]) for answer in answers
    ]
    assert answers[0].json() == answers[1].json()


async def test_a_token_in_the_query_is_for_streams() -> None:
    """Over HTTP there is a header for it."""
    app = await one_session(**KEYS)
    async with client(app) as http:
        response = await http.get(f"/sessions/sess_1?token={token(app, Role.OBSERVE)}")

    assert 401 == response.status_code


async def one_session(**given: Any) -> FastAPI:
    """Build the edge with one session."""
    app = api_app(**given)
    await app.state.registry.create(spec(), owner="x", key=None, body_hash="")
    return app


def token(app: FastAPI, role: Role) -> str:
    """Mint a token for that session."""
    text, _ = app.state.issuer.issue("sess_1", role, 60)
    assert isinstance(text, str)
    return text


# --- an API key as a browser's password -------------------------------------------------------


def password(key: str) -> str:
    """Write the header that a browser sends once its user has typed a key."""
    return "Basic " + b64encode(f"anybody:{key}".encode()).decode()


async def test_a_browser_is_asked_for_a_key() -> None:
    """Who opens a page is asked by the browser; what a page fetches, or a program, is not."""
    async with client(api_app(**KEYS)) as http:
        page = await http.get("/", headers={"accept": "text/html,*/*"})
        fetched = await http.get("/", headers={"accept": "*/*"})
        posted = await http.post("/sessions", headers={"accept": "text/html"})

    assert [401] * 3 == [answer.status_code for answer in (page, fetched, posted)]
    assert ["Bearer", "Basic"] == [
        line.split()[0] for line in page.headers.get_list("www-authenticate")
    ]
    assert ["Bearer"] * 2 == [answer.headers["www-authenticate"] for answer in (fetched, posted)]


@pytest.mark.parametrize(
    ("key", "method", "path", "origin", "status"),
    [
        ("key-a", "GET", "/", None, 200),
        ("key-a", "GET", "/sessions", "https://evil.example", 200),  # which cannot read it
        ("key-a", "POST", "/sessions", "http://127.0.0.1:8080", 201),
        ("key-a", "POST", "/sessions", "https://bridge.example", 201),
        ("key-a", "POST", "/sessions", None, 401),
        ("key-a", "POST", "/sessions", "", 401),
        ("key-a", "POST", "/sessions", "null", 401),
        ("key-a", "POST", "/sessions", "http://[", 401),
        ("key-a", "POST", "/sessions", "https://evil.example", 401),
        ("key-a", "POST", "/sessions", "http://127.0.0.1:9090", 401),
        ("key-a", "DELETE", "/sessions/sess_1", "https://evil.example", 401),
        ("key-x", "GET", "/", None, 401),
        ("", "GET", "/", None, 401),
    ],
)
async def test_a_password_counts_for_our_own_pages(
    key: str, method: str, path: str, origin: str | None, status: int
) -> None:
    """A browser sends it by itself: nobody else's page changes anything with it."""
    app = api_app(**KEYS, public_url="https://bridge.example/avatar")
    headers = {} if origin is None else {"origin": origin}
    async with client(app, authorization=password(key), **headers) as http:
        response = await http.request(method, path)

    assert status == response.status_code


async def test_a_password_is_no_session_token() -> None:
    """It is for people, who type."""
    app = await one_session(**KEYS)
    async with client(app, authorization=password(token(app, Role.OBSERVE))) as http:
        response = await http.get("/sessions/sess_1")

    assert 401 == response.status_code


# --- the sandbox ------------------------------------------------------------------------------


async def test_with_daily_there_is_no_open_sandbox() -> None:
    """The exception exists only where a sandbox does."""
    app = api_app(**KEYS, room="daily", tavus_api_key="x")
    async with client(app) as http:
        response = await http.get("/sandbox/v2/conversations")

    assert 401 == response.status_code


# --- browsers ---------------------------------------------------------------------------------


async def test_an_allowed_page_may_ask_and_read() -> None:
    """The preflight needs no key, and errors can be read by the page too."""
    app = api_app(**KEYS, allowed_origins="https://app.example")
    async with client(app, origin="https://app.example") as http:
        preflight = await http.options(
            "/sessions",
            headers={
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization, content-type, idempotency-key",
            },
        )
        refused = await http.post("/sessions")

    assert (200, 401) == (preflight.status_code, refused.status_code)
    assert ["https://app.example"] * 2 == [
        answer.headers["access-control-allow-origin"] for answer in (preflight, refused)
    ]


async def test_other_pages_get_no_permission() -> None:
    """No origin is allowed by default, and none but those listed."""
    for origins in ("", "https://app.example"):
        app = api_app(**KEYS, allowed_origins=origins)
        async with client(app, origin="https://x.example", authorization="Bearer key-a") as http:
            response = await http.get("/sessions")

        assert "access-control-allow-origin" not in response.headers


# --- sizes ------------------------------------------------------------------------------------


async def test_a_large_body_is_refused() -> None:
    """Over 1 MiB is 413, declared or not; up to it the body is read."""

    async def chunks(count: int) -> AsyncIterator[bytes]:
        yield b'{"x": "'
        for _ in range(count):
            yield b"x" * 1024
        yield b'"}'

    async with client(api_app()) as http:
        declared = await http.post("/sessions", content=b" " * (MAX_BODY_BYTES + 1))
        streamed = await http.post("/sessions", content=chunks(1024))
        absurd = await http.post("/sessions", headers={"content-length": "9" * 5000})
        fits = await http.post("/sessions", content=chunks(1000))

    assert [(413, "too_large")] * 3 == [
        (answer.status_code, answer.json()["code"]) for answer in (declared, streamed, absurd)
    ]
    assert 201 == fits.status_code


# --- websockets -------------------------------------------------------------------------------


async def websocket(headers: list[tuple[bytes, bytes]], **given: Any) -> list[str]:
    """Knock with a WebSocket; returns what the guard sent, or that it let us through."""
    sent: list[str] = []

    async def through(scope: object, receive: object, send: object) -> None:
        sent.append("through")

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(f"{message['type']} {message.get('status', '')}".strip())

    scope = {
        "type": "websocket",
        "path": "/sessions/s/stream",
        "query_string": b"",
        "headers": headers,
    }
    await Guard(through, settings(**given))(scope, receive, send)
    return sent


async def test_a_websocket_is_held_to_host_and_origin() -> None:
    """A foreign page cannot open the stream of a service without keys."""
    host = (b"host", b"127.0.0.1:8080")
    refused = ["websocket.http.response.start 403", "websocket.http.response.body"]

    assert ["through"] == await websocket([host])
    assert refused == await websocket([(b"host", b"evil.example")])
    assert refused == await websocket([host, (b"origin", b"https://evil.example")])


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("https://bridge.example", True),
        ("https://BRIDGE.example", True),
        ("https://app.example", True),
        ("https://public.example", True),
        ("https://evil.example", False),
        ("https://bridge.example:444", False),
        ("https://bridge.example.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
async def test_with_keys_a_websocket_is_held_to_its_origin(origin: str, passes: bool) -> None:
    """Pages of this service and of the allowed origins open streams, no others."""
    given = {"allowed_origins": "https://app.example", "public_url": "https://public.example/x"}
    headers = [(b"host", b"bridge.example"), (b"origin", origin.encode())]
    sent = await websocket(headers, **KEYS, **given)

    assert passes == (sent == ["through"])
    assert passes or "websocket.http.response.start 403" == sent[0]


async def test_a_websockets_credential_is_the_streams_own_matter() -> None:
    """The stream takes credentials in ways that HTTP does not, so the guard asks for none."""
    assert ["through"] == await websocket([(b"host", b"bridge.example")], **KEYS)


async def test_the_lifespan_passes() -> None:
    """What is neither HTTP nor WebSocket is not looked at."""
    seen: list[str] = []

    async def through(scope: MutableMapping[str, Any], receive: object, send: object) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        return {}

    await Guard(through, settings())({"type": "lifespan"}, nothing, nothing)

    assert ["lifespan"] == seen
