"""Sessions over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from app import errors
from app.core.roles import Role
from app.core.spec import Status
from tests.support.api import api_app, client
from tests.support.registry import CREATED_AT, FakeRegistry


@pytest.fixture
def registry() -> FakeRegistry:
    """The sessions of the service under test."""
    return FakeRegistry()


async def call(registry: FakeRegistry, method: str, path: str, **given: Any) -> httpx.Response:
    """Make one request of the service on this machine."""
    async with client(api_app(registry)) as http:
        return await http.request(method, path, **given)


def outcome(response: httpx.Response) -> tuple[int, str]:
    """Tell a problem's status and code."""
    return response.status_code, response.json()["code"]


# --- create -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"lead_ms": null}'])
async def test_a_session_needs_no_body(registry: FakeRegistry, content: bytes) -> None:
    """An empty create answers 201 with the session and where to find it."""
    response = await call(registry, "POST", "/sessions", content=content)

    body = response.json()
    tokens = body.pop("tokens")

    assert 201 == response.status_code
    assert "/sessions/sess_1" == response.headers["location"]
    assert "idempotency-replayed" not in response.headers
    assert {
        "id": "sess_1",
        "status": "starting",
        "room": "sandbox",
        "conversation_id": "c000001",
        "conversation_url": "https://tavus.daily.co/c000001",
        "stream_url": "ws://127.0.0.1:8080/sessions/sess_1/stream",
        "audio": {"path": "echo", "sample_rate": 24_000, "lead_ms": 1500},
        "metadata": {},
        "created_at": "2026-11-22T08:53:00Z",
        "expires_at": "2026-11-22T09:53:00Z",
    } == body
    assert {"produce", "control", "observe"} == set(tokens)


async def test_a_body_is_json_whatever_it_is_called(registry: FakeRegistry) -> None:
    """``curl -d`` names its body a form; it is read all the same."""
    response = await call(
        registry,
        "POST",
        "/sessions",
        content=b'{"metadata": {"a": "b"}}',
        headers={"content-type": "application/x-www-form-urlencoded"},
    )

    assert {"a": "b"} == response.json()["metadata"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"hello", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"conversation": {"x": ' + b"9" * 5000 + b"}}", 400, "malformed_json"),
        (b"[]", 422, "invalid_request"),
        (b'"x"', 422, "invalid_request"),
        (b'{"lead_ms": -1}', 422, "invalid_request"),
        (b'{"max_duration_s": 1e999}', 422, "invalid_request"),
        (b'{"conversation": {"x": NaN}}', 422, "invalid_request"),
        (b'{"metadata": {"\\ud800": "x"}}', 422, "invalid_request"),
        (b'{"replica_id": "a", "face_id": "b"}', 422, "invalid_request"),
    ],
)
async def test_a_wrong_body_starts_nothing(
    registry: FakeRegistry, content: bytes, status: int, code: str
) -> None:
    """What is no JSON is 400, what is the wrong JSON 422, and neither costs money."""
    response = await call(registry, "POST", "/sessions", content=content)

    assert (status, code) == outcome(response)
    assert {} == registry.runners


async def test_every_wrong_field_is_listed(registry: FakeRegistry) -> None:
    """The caller learns all mistakes at once, each by its path."""
    response = await call(registry, "POST", "/sessions", json={"lead_ms": -1, "metadata": {"a": 1}})

    assert ["lead_ms", "metadata.a"] == [item["field"] for item in response.json()["errors"]]


@pytest.mark.parametrize(
    ("public_url", "stream_url", "location"),
    [
        (
            "https://bridge.example",
            "wss://bridge.example/sessions/sess_1/stream",
            "/sessions/sess_1",
        ),
        ("http://10.0.0.7:9000/", "ws://10.0.0.7:9000/sessions/sess_1/stream", "/sessions/sess_1"),
        (
            "https://example.com/bridge",
            "wss://example.com/bridge/sessions/sess_1/stream",
            "/bridge/sessions/sess_1",
        ),
    ],
)
async def test_a_public_address_is_told_if_there_is_one(
    registry: FakeRegistry, public_url: str, stream_url: str, location: str
) -> None:
    """Behind a proxy the request's own Host means nothing to the caller."""
    async with client(api_app(registry, public_url=public_url)) as http:
        response = await http.post("/sessions")

    assert (stream_url, location) == (response.json()["stream_url"], response.headers["location"])


async def test_who_waits_gets_a_ready_session(registry: FakeRegistry) -> None:
    """``?wait=ready`` answers when the replica is there, not before."""
    request = asyncio.create_task(call(registry, "POST", "/sessions?wait=ready"))
    await registry.created.wait()
    await registry.get("sess_1").waited.wait()
    early = request.done()
    registry.get("sess_1").ready()
    response = await request

    assert not early
    assert (201, "ready", "2026-11-22T08:53:02Z") == (
        response.status_code,
        response.json()["status"],
        response.json()["ready_at"],
    )


async def test_who_waits_in_vain_learns_it(registry: FakeRegistry) -> None:
    """When the replica never comes the answer is 504, and the session has ended."""
    request = asyncio.create_task(call(registry, "POST", "/sessions?wait=ready"))
    await registry.created.wait()
    registry.get("sess_1").fail(errors.ReplicaTimeout())

    assert (504, "replica_timeout") == outcome(await request)


async def test_a_session_that_is_over_is_not_waited_for(registry: FakeRegistry) -> None:
    """A replay of one that ended, as with ``test_mode``, answers at once."""
    headers = {"idempotency-key": "k1"}
    await call(registry, "POST", "/sessions", headers=headers)
    registry.get("sess_1").set(status=Status.ENDED, ended_at=CREATED_AT, end_reason="deleted")
    response = await call(registry, "POST", "/sessions?wait=ready", headers=headers)

    assert (201, "ended") == (response.status_code, response.json()["status"])


@pytest.mark.parametrize("query", ["wait=never", "wait="])
async def test_there_is_one_thing_to_wait_for(registry: FakeRegistry, query: str) -> None:
    """Another ``wait`` is refused before anything is started."""
    response = await call(registry, "POST", f"/sessions?{query}")

    assert (422, "invalid_request") == outcome(response)
    assert ["wait"] == [item["field"] for item in response.json()["errors"]]
    assert {} == registry.runners


async def test_the_same_key_and_meaning_is_the_same_session(registry: FakeRegistry) -> None:
    """Order, spaces and the way a number is written make no other body."""
    answers = [
        await call(
            registry, "POST", "/sessions", content=content, headers={"idempotency-key": "k 1"}
        )
        for content in (
            b'{"lead_ms": 100, "conversation": {"a": 1, "b": 2.50}}',
            b'{ "conversation": {"b": 2.5, "a": 1.0}, "lead_ms": 100 }',
        )
    ]

    assert ["sess_1", "sess_1"] == [answer.json()["id"] for answer in answers]
    assert [201, 201] == [answer.status_code for answer in answers]
    assert [None, "true"] == [answer.headers.get("idempotency-replayed") for answer in answers]


@pytest.mark.parametrize("content", [b'{"lead_ms": 101}', b'{"lead_ms": 100, "x": 1}', b""])
async def test_the_same_key_with_another_body_is_a_conflict(
    registry: FakeRegistry, content: bytes
) -> None:
    """A key stands for one body, fields that are ignored included."""
    headers = {"idempotency-key": "k1"}
    await call(registry, "POST", "/sessions", content=b'{"lead_ms": 100}', headers=headers)
    response = await call(registry, "POST", "/sessions", content=content, headers=headers)

    assert (409, "idempotency_conflict") == outcome(response)


async def test_no_body_and_an_empty_one_are_the_same(registry: FakeRegistry) -> None:
    """Nothing, null and an empty object all mean the defaults."""
    answers = [
        await call(
            registry, "POST", "/sessions", content=content, headers={"idempotency-key": "k1"}
        )
        for content in (b"", b"null", b"{}", b" { } ")
    ]

    assert {"sess_1"} == {answer.json()["id"] for answer in answers}


@pytest.mark.parametrize("key", [b"", b"k" * 256, "schlüssel".encode(), b"tab\there"])
async def test_a_key_is_short_and_printable(registry: FakeRegistry, key: bytes) -> None:
    """Up to 255 printable ASCII characters; others are refused before anything starts."""
    response = await call(registry, "POST", "/sessions", headers=[(b"idempotency-key", key)])

    assert (422, "invalid_request") == outcome(response)
    assert {} == registry.runners


@pytest.mark.parametrize(
    "error",
    [
        errors.TooManySessions("10 of 10"),
        errors.Draining(),
        errors.IdempotencyInProgress(),
        errors.TavusConcurrencyLimit("Tavus (400): full"),
        errors.TavusOutOfCredits(),
        errors.TavusTimeout(),
    ],
)
async def test_a_refused_create_tells_why(
    registry: FakeRegistry, error: errors.BridgeError
) -> None:
    """The registry's error is the answer, in its own words."""
    registry.failure = error
    response = await call(registry, "POST", "/sessions")

    assert (error.status, error.code, error.detail) == (
        *outcome(response),
        response.json()["detail"],
    )


async def test_a_caller_that_goes_away_leaves_its_session(registry: FakeRegistry) -> None:
    """A create goes on without its connection: Tavus may have begun to bill already."""
    registry.on_create = asyncio.Event()
    app = api_app(registry)
    incoming = iter(({"type": "http.request"}, {"type": "http.disconnect"}))

    async def receive() -> Any:
        return next(incoming)

    async def send(_message: object) -> None:
        raise OSError("the caller is gone")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/sessions",
        "raw_path": b"/sessions",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "scheme": "http",
        "server": ("127.0.0.1", 8080),
        "app": app,
    }
    request = asyncio.create_task(app(scope, receive, send))
    await asyncio.sleep(0)
    registry.on_create.set()
    with pytest.raises(OSError, match="gone"):
        await request

    assert ["sess_1"] == list(registry.runners)


# --- look -------------------------------------------------------------------------------------


async def test_a_session_can_be_looked_at(registry: FakeRegistry) -> None:
    """GET shows what POST showed but for the tokens, and is no activity."""
    created = (await call(registry, "POST", "/sessions")).json()
    seen = await call(registry, "GET", "/sessions/sess_1")
    listed = await call(registry, "GET", "/sessions")

    assert created == {**seen.json(), "tokens": created["tokens"]}
    assert [seen.json()] == listed.json()["data"]
    assert 0 == registry.get("sess_1").touched


# --- tokens -----------------------------------------------------------------------------------


async def test_a_create_has_a_token_for_each_role(registry: FakeRegistry) -> None:
    """Each is for this session and its own role, and good for as long as the session may last."""
    app = api_app(registry)
    async with client(app) as http:
        body = (await http.post("/sessions", json={"max_duration_s": 60})).json()
    issuer = app.state.issuer
    grants = {role: issuer.check(token) for role, token in body["tokens"].items()}
    in_a_minute = issuer.check(issuer.issue("x", Role.OBSERVE, 60)[0]).expires_at

    assert {role.value: ("sess_1", role, in_a_minute) for role in Role} == {
        role: (grant.session_id, grant.role, grant.expires_at) for role, grant in grants.items()
    }


async def test_a_replay_has_fresh_tokens(registry: FakeRegistry) -> None:
    """Those of the first answer may be spent by now."""
    app = api_app(registry)
    async with client(app, **{"idempotency-key": "k"}) as http:
        answers = [await http.post("/sessions") for _ in range(2)]
    tokens = {token for answer in answers for token in answer.json()["tokens"].values()}

    assert [None, "true"] == [answer.headers.get("idempotency-replayed") for answer in answers]
    assert 6 == len(tokens)


@pytest.mark.parametrize("role", Role)
async def test_a_token_is_minted(registry: FakeRegistry, role: Role) -> None:
    """It says what was asked for, until when it is good, and counts as activity."""
    app = api_app(registry)
    async with client(app) as http:
        await http.post("/sessions")
        response = await http.post("/sessions/sess_1/tokens", json={"role": role, "ttl_s": 90})
    body = response.json()
    grant = app.state.issuer.check(body["token"])

    assert 201 == response.status_code
    assert (role.value, "2026-01-01T12:01:30Z") == (body["role"], body["expires_at"])
    assert ("sess_1", role) == (grant.session_id, grant.role)
    assert 1 == registry.get("sess_1").touched


async def test_a_token_is_good_for_an_hour_by_default(registry: FakeRegistry) -> None:
    """The role alone is enough."""
    await call(registry, "POST", "/sessions")
    response = await call(registry, "POST", "/sessions/sess_1/tokens", json={"role": "observe"})

    assert "2026-01-01T13:00:00Z" == response.json()["expires_at"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "role"),
        ({"role": "king"}, "role"),
        ({"role": None}, "role"),
        ({"role": "observe", "ttl_s": 0}, "ttl_s"),
        ({"role": "observe", "ttl_s": 86_401}, "ttl_s"),
        ({"role": "observe", "ttl_s": "60"}, "ttl_s"),
        ({"role": "observe", "ttl_s": 1.5}, "ttl_s"),
    ],
)
async def test_a_wrong_wish_for_a_token(
    registry: FakeRegistry, body: dict[str, Any], field: str
) -> None:
    """The answer names the field."""
    await call(registry, "POST", "/sessions")
    response = await call(registry, "POST", "/sessions/sess_1/tokens", json=body)

    assert (422, "invalid_request") == outcome(response)
    assert [field] == [each["field"] for each in response.json()["errors"]]


async def test_no_token_for_what_is_not_running(registry: FakeRegistry) -> None:
    """There is nothing to do with one."""
    wish = {"role": "observe"}
    await call(registry, "POST", "/sessions")
    await call(registry, "DELETE", "/sessions/sess_1")
    over = await call(registry, "POST", "/sessions/sess_1/tokens", json=wish)
    unknown = await call(registry, "POST", "/sessions/sess_9/tokens", json=wish)

    assert (409, "session_over") == outcome(over)
    assert (404, "session_not_found") == outcome(unknown)


@pytest.mark.parametrize("role", [None, *Role])
async def test_only_a_key_sees_the_meeting_token(registry: FakeRegistry, role: Role | None) -> None:
    """It opens the room itself, which is more than any role allows."""
    app = api_app(registry, api_keys="key")
    async with client(app, authorization="Bearer key") as http:
        tokens = (await http.post("/sessions")).json()["tokens"]
        registry.get("sess_1").set(meeting_token="m")
        shown = {"authorization": f"Bearer {tokens[role]}"} if role else {}
        seen = await http.get("/sessions/sess_1", headers=shown)

    assert ("m" if role is None else None) == seen.json().get("meeting_token")


# --- list -------------------------------------------------------------------------------------


async def test_sessions_are_listed_in_pages(registry: FakeRegistry) -> None:
    """Newest first, page by page, by status if wanted."""
    for _ in range(3):
        await call(registry, "POST", "/sessions")
    registry.get("sess_2").ready()
    first = (await call(registry, "GET", "/sessions?limit=2")).json()
    second = (
        await call(registry, "GET", f"/sessions?limit=2&cursor={first['next_cursor']}")
    ).json()
    ready = (await call(registry, "GET", "/sessions?status=ready")).json()

    assert ["sess_3", "sess_2"] == [row["id"] for row in first["data"]]
    assert ["sess_1"] == [row["id"] for row in second["data"]]
    assert second["next_cursor"] is None
    assert ["sess_2"] == [row["id"] for row in ready["data"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=tired", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=nowhere", "cursor"),
        (f"cursor={'x' * 257}", "cursor"),
    ],
)
async def test_a_wrong_question_is_refused(registry: FakeRegistry, query: str, field: str) -> None:
    """A parameter out of range is named."""
    response = await call(registry, "GET", f"/sessions?{query}")

    assert (422, "invalid_request") == outcome(response)
    assert [field] == [item["field"] for item in response.json()["errors"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("POST", "/messages")],
)
@pytest.mark.parametrize("session_id", ["sess_0", "%F0%9F%90%8C", "a%20b", "x" * 5000])
async def test_an_unknown_session_is_not_found(
    registry: FakeRegistry, method: str, path: str, session_id: str
) -> None:
    """Ids are opaque: whatever it looks like, one that nobody has is 404."""
    response = await call(
        registry,
        method,
        f"/sessions/{session_id}{path}",
        content=b'{"event_type": "conversation.respond"}' if path else b"",
    )

    assert (404, "session_not_found") == outcome(response)


# --- tell and end -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "wish"),
    [
        (b"", {"id": None, "utterance_id": None, "reason": None}),
        (
            b'{"id": "i1", "utterance_id": "u1", "reason": "user"}',
            {"id": "i1", "utterance_id": "u1", "reason": "user"},
        ),
    ],
)
async def test_an_interrupt_answers_with_what_it_cut(
    registry: FakeRegistry, content: bytes, wish: dict[str, str | None]
) -> None:
    """The wish reaches the session, counts as activity, and its result comes back."""
    await call(registry, "POST", "/sessions")
    response = await call(registry, "POST", "/sessions/sess_1/interrupt", content=content)
    runner = registry.get("sess_1")
    given_id = {"id": wish["id"]} if wish["id"] else {}

    assert 200 == response.status_code
    assert {
        **given_id,
        "interrupted": True,
        "epoch": 1,
        "utterance_id": "u1",
        "dropped_ms": 400,
        "utterances": [
            {
                "utterance_id": "u1",
                "received_ms": 900,
                "sent_ms": 500,
                "played_ms": 400,
                "dropped_ms": 400,
            }
        ],
    } == response.json()
    assert ([wish], 1) == (runner.interrupts, runner.touched)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"utterance_id": 7}', 422),
        (b'{"utterance_id": ""}', 422),
        (b'{"utterance_id": "u 1"}', 422),
        (b'{"utterance_id": "u1\\n"}', 422),
        (b'{"utterance_id": "' + 65 * b"u" + b'"}', 422),
        (b'{"utterance_id": "' + 64 * b"u" + b'"}', 200),
        (b'{"utterance_id": "A-z_0.9:"}', 200),
        (b'{"reason": null}', 200),
    ],
)
async def test_a_wrong_interrupt_cuts_nothing(
    registry: FakeRegistry, content: bytes, status: int
) -> None:
    """Only a body of the right shape interrupts."""
    await call(registry, "POST", "/sessions")
    response = await call(registry, "POST", "/sessions/sess_1/interrupt", content=content)

    assert status == response.status_code
    assert (status == 200) == bool(registry.get("sess_1").interrupts)


async def test_a_message_is_passed_on(registry: FakeRegistry) -> None:
    """An interaction is accepted with 202 and no body, and counts as activity."""
    await call(registry, "POST", "/sessions")
    response = await call(
        registry,
        "POST",
        "/sessions/sess_1/messages",
        json={"event_type": "conversation.respond", "properties": {"text": "hi"}},
    )
    runner = registry.get("sess_1")

    assert (202, b"") == (response.status_code, response.content)
    assert {"text": "hi"} == json.loads(runner.messages[0])["properties"]
    assert 1 == runner.touched


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"event_type": "conversation.interrupt"}, 422, "invalid_request"),
        (
            {"event_type": "conversation.echo", "properties": {"modality": "audio"}},
            422,
            "invalid_request",
        ),
        ({"properties": {}}, 422, "invalid_request"),
        (
            {"event_type": "conversation.respond", "properties": {"text": "x" * 4096}},
            413,
            "too_large",
        ),
        (None, 422, "invalid_request"),
    ],
)
async def test_a_message_that_does_not_belong_is_refused(
    registry: FakeRegistry, body: dict[str, Any] | None, status: int, code: str
) -> None:
    """Audio and interrupts have their own ways, and Daily its limit."""
    await call(registry, "POST", "/sessions")
    response = await call(registry, "POST", "/sessions/sess_1/messages", json=body)

    assert (status, code) == outcome(response)


async def test_an_end_can_be_repeated(registry: FakeRegistry) -> None:
    """DELETE answers 204 each time; afterwards the session can still be seen, but not told."""
    await call(registry, "POST", "/sessions")
    answers = [await call(registry, "DELETE", "/sessions/sess_1") for _ in range(2)]
    seen = (await call(registry, "GET", "/sessions/sess_1")).json()
    told = await call(registry, "POST", "/sessions/sess_1/interrupt")

    assert [(204, b""), (204, b"")] == [(each.status_code, each.content) for each in answers]
    assert ("ended", "deleted") == (seen["status"], seen["end_reason"])
    assert (409, "session_over") == outcome(told)
