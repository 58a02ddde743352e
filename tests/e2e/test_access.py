"""Who may do what with a service that has API keys: every place, every role, every refusal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.support.processes import until
from tests.support.service import DEADLINE_S, Client, Service, Stream

KEY = "k3y-of-the-backend"
PROTOCOL = "avatar-bridge.v1"
ROLES = ("observe", "control", "produce")
PLACES = ("header", "subprotocol", "query")
SPEECH = bytes(20 * 48_000)
"""20 s of it, at the default format."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service that asks for a key and logs all it can."""
    with Service(
        tmp_path_factory.mktemp("access"),
        BRIDGE_API_KEYS=f"backend:{KEY}",
        BRIDGE_ALLOWED_ORIGINS="https://app.example",
        BRIDGE_LOG_LEVEL="debug",
    ) as service:
        yield service


@pytest.fixture
async def backend(service: Service) -> AsyncIterator[Client]:
    """Be a backend that knows the key."""
    async with service.client(KEY) as client:
        await client.faults(replica_join_ms=0)
        yield client


@pytest.fixture
async def session(backend: Client) -> dict[str, Any]:
    """Create a session that is ready."""
    return await backend.create_session(wait=True)


async def mint(backend: Client, session: dict[str, Any], role: str, ttl_s: int = 60) -> str:
    """Get a session token."""
    path = f"/sessions/{session['id']}/tokens"
    answer = await backend.http.post(path, json={"role": role, "ttl_s": ttl_s})

    assert 201 == answer.status_code, answer.text
    token: str = answer.json()["token"]
    return token


def knock(
    url: str, credential: str | None, place: str, query: str = "", origin: str | None = None
) -> connect:
    """Open a stream with the credential in its place."""
    bearer = f"Bearer {credential}"
    if place == "query" and credential is not None:
        query += f"{'&' if query else '?'}token={credential}"
    return connect(
        url + query,
        additional_headers={"Authorization": bearer} if place == "header" and credential else {},
        subprotocols=[Subprotocol(PROTOCOL), Subprotocol(f"bearer.{credential}")]
        if place == "subprotocol"
        else None,
        origin=None if origin is None else Origin(origin),
        proxy=None,
    )


@asynccontextmanager
async def admitted(url: str, *args: Any, **kwargs: Any) -> AsyncIterator[Stream]:
    """Be let in, and hold what is said against the contract."""
    async with knock(url, *args, **kwargs) as socket:
        stream = Stream(socket)
        reader = asyncio.create_task(stream.read())
        try:
            await stream.wait_for("hello")
            yield stream
        finally:
            await socket.close()
            await reader


async def refused(url: str, credential: str | None, place: str, **kwargs: Any) -> int:
    """Be turned away: by a status, or by a close code before anything was said."""
    socket: ClientConnection
    try:
        async with knock(url, credential, place, **kwargs) as socket, asyncio.timeout(DEADLINE_S):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    except InvalidStatus as answer:
        return answer.response.status_code
    assert closed.value.rcvd is not None
    return int(closed.value.rcvd.code)


# --- what a role may do


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_so_much(
    backend: Client, session: dict[str, Any], role: str, place: str
) -> None:
    """On the stream and over HTTP, wherever its token stands."""
    token = await mint(backend, session, role)
    async with admitted(session["stream_url"], token, place) as stream:
        await stream.send({"type": "interrupt", "id": "interrupt"})
        await stream.send({"type": "playback.pause", "id": "pause"})
        await stream.send({"type": "playback.resume", "id": "resume"})
        await stream.send({"type": "utterance.start", "id": "start"})
        await stream.send(SPEECH[:4800])
        await stream.send({"type": "ping", "id": "ping"})
        await stream.wait_for("pong")
        hello = stream.all("hello")[0]
        forbidden = [each.get("ref") for each in stream.all("error", code="role_forbidden")]
        told = {each["type"] for each in stream.messages}

    assert role == hello["role"]
    assert {
        "observe": ["interrupt", "pause", "resume", "start", None],
        "control": ["start", None],
        "produce": [],
    }[role] == forbidden
    assert (role == "produce") == ("audio.ack" in told)
    assert (role != "observe") == ("playback.paused" in told)

    bearer = {"Authorization": f"Bearer {token}"}
    path = f"/sessions/{session['id']}"
    respond = {"event_type": "conversation.respond", "properties": {"text": "hello"}}
    answers = [
        (await backend.http.request(method, path + rest, json=body, headers=bearer)).status_code
        for method, rest, body in (
            ("GET", "", None),
            ("POST", "/interrupt", {}),
            ("POST", "/messages", respond),
            ("POST", "/tokens", {"role": role}),
            ("DELETE", "", None),
        )
    ]
    may_control = role != "observe"
    assert [
        200,
        200 if may_control else 403,
        202 if may_control else 403,
        403,
        403,
    ] == answers


async def test_tokens_of_a_create_and_its_replay(backend: Client) -> None:
    """Every answer has fresh ones, and all of them let in."""
    answers = [
        (await backend.http.post("/sessions", headers={"Idempotency-Key": "twice"})).json()
        for _ in range(2)
    ]
    for answer in answers:
        for role in ROLES:
            url = answers[0]["stream_url"]
            async with admitted(url, answer["tokens"][role], "query") as stream:
                assert role == stream.all("hello")[0]["role"]
    listed = await backend.http.get("/sessions")

    assert answers[0]["id"] == answers[1]["id"]
    assert "tokens" not in listed.text


async def test_several_beside_one_producer(backend: Client, session: dict[str, Any]) -> None:
    """An observer and two controllers hear all; a lost one comes back as what it was."""
    url = session["stream_url"]
    observe, control = [await mint(backend, session, role) for role in ("observe", "control")]
    async with (
        admitted(url, KEY, "header") as producer,
        admitted(url, KEY, "header", "?role=control") as other,
        admitted(url, control, "subprotocol") as controller,
        admitted(url, observe, "query") as observer,
    ):
        await producer.send(SPEECH)
        await observer.wait_for("utterance.started")
        observer.socket.transport.abort()
        await controller.send({"type": "interrupt", "id": "i"})
        for each in (producer, other, controller):
            await each.wait_for("interrupt.accepted", id="i")
        await observer.close_code()
        hello, seq = observer.all("hello")[0], observer.messages[-1]["seq"]
        again = f"?resume={hello['resume_token']}&seq={seq}"
        async with admitted(url, None, "query", again) as back:
            await back.wait_for("interrupt.accepted", id="i")
            await back.send({"type": "interrupt"})
            await back.wait_for("error", code="role_forbidden")

            assert (True, "observe") == tuple(back.all("hello")[0][x] for x in ("resumed", "role"))
        assert 401 == await refused(url, None, "query", query=again)


# --- who is not let in


@pytest.mark.parametrize("place", PLACES)
async def test_refusals(backend: Client, session: dict[str, Any], place: str) -> None:
    """By a status before the upgrade; a browser, which cannot read one, by the close code."""
    url = session["stream_url"]
    other = await backend.create_session()
    over = await backend.create_session()
    await backend.end(over["id"])
    unknown = url.replace(session["id"], "sess_unknown")
    good = [await mint(backend, session, "control") for _ in range(3)]
    short = await mint(backend, session, "observe", ttl_s=1)
    spent = await mint(backend, session, "observe")
    async with admitted(url, spent, place):
        pass
    cut = good[0].rpartition(".")[0]
    found = {
        "wrong": await refused(url, "wrong", place),
        "tampered": await refused(url, f"{cut}.{64 * 'A'}", place),
        "spent": await refused(url, spent, place),
        "other session": await refused(other["stream_url"], good[0], place),
        "too high": await refused(url, good[0], place, query="?role=produce"),
        "format": await refused(url, good[0], place, query="?encoding=mp3"),
        "unknown": await refused(unknown, other["tokens"]["observe"], place),
        "over": await refused(over["stream_url"], over["tokens"]["produce"], place),
        "origin": await refused(url, good[0], place, origin="https://evil.example"),
    }
    async with admitted(url, good[0], place, origin="https://app.example"):
        pass
    async with admitted(url, good[1], place, origin=str(backend.http.base_url).rstrip("/")):
        pass

    async def expired() -> bool:
        answer = await backend.http.get(f"/sessions/{session['id']}", headers=_bearer(short))
        return answer.status_code == 401

    await until("the token has expired", expired)
    found["expired"] = await refused(url, short, place)

    by_status = {
        "wrong": 401,
        "tampered": 401,
        "spent": 401,
        "other session": 403,
        "too high": 403,
        "format": 400,
        "unknown": 403,
        "over": 409,
        "origin": 403,
        "expired": 401,
    }
    close_codes = {400: 4415, 401: 4401, 403: 4403, 409: 4410}
    is_browser = place == "subprotocol"
    assert {
        what: close_codes[status] if is_browser else status for what, status in by_status.items()
    } == found


async def test_an_api_key(backend: Client, session: dict[str, Any]) -> None:
    """It lets in from a header or a subprotocol, never from the query; nobody without one."""
    url = session["stream_url"]
    unknown = url.replace(session["id"], "sess_unknown")
    for place in ("header", "subprotocol"):
        async with admitted(url, KEY, place) as stream:
            assert "produce" == stream.all("hello")[0]["role"]

    assert [401, 401, 404, 4404] == [
        await refused(url, KEY, "query"),
        await refused(url, None, "header"),
        await refused(unknown, KEY, "header"),
        await refused(unknown, KEY, "subprotocol"),
    ]


async def test_only_health_is_open(service: Service) -> None:
    """Everything else asks for a key, also what is not there."""
    paths = ("/", "/docs", "/openapi.json", "/metrics", "/sessions", "/sandbox/faults", "/nowhere")
    async with service.client() as anybody, service.client(KEY) as backend:
        asked = {path: (await anybody.http.get(path)).status_code for path in paths}
        health = [(await anybody.http.get(path)).status_code for path in ("/healthz", "/readyz")]
        known = [(await backend.http.get(path)).status_code for path in paths]

    assert dict.fromkeys(paths, 401) == asked
    assert [200, 200] == health
    assert [200, 200, 200, 200, 200, 200, 404] == known


# --- secrets, restarts and the end


async def test_no_secret_is_told(service: Service, backend: Client) -> None:
    """Neither the logs, at their most talkative, nor the metrics or events hold a credential."""
    created = await backend.create_session(wait=True)
    url = created["stream_url"]
    secrets = [KEY, *created["tokens"].values()]
    told = ""
    for place, role in zip(PLACES, ROLES, strict=True):
        async with admitted(url, created["tokens"][role], place) as stream:
            resume = stream.all("hello")[0]["resume_token"]
            stream.messages[0].pop("resume_token")
            secrets.append(resume)
            told += str(stream.messages)
        await refused(url, created["tokens"][role], place)
        await refused(url, None, "query", query=f"?resume={resume}x")
    for credential in secrets:
        for call in (f"/sessions?token={credential}", f"/sessions/{created['id']}"):
            await backend.http.get(call, headers=_bearer(credential))
    password = httpx.BasicAuth("me", KEY)
    page = await backend.http.get("/", auth=password)
    metrics = (await backend.http.get("/metrics")).text
    log = service.log

    assert 200 == page.status_code
    assert 'stream?[redacted]" [accepted]' in log
    for secret in secrets:
        assert secret not in log
        assert secret.rpartition(".")[2] not in log + metrics + told


async def test_tokens_outlive_the_process(tmp_path: Path) -> None:
    """A token of before is still one of ours: its session is what has gone."""
    environment = {"BRIDGE_API_KEYS": KEY, "BRIDGE_DATA_DIR": str(tmp_path / "data")}
    with Service(tmp_path, **environment) as service:
        async with service.client(KEY) as backend:
            before = await backend.create_session()
    with Service(tmp_path, **environment) as service:
        async with service.client(before["tokens"]["observe"]) as observer:
            answer = await observer.http.get(f"/sessions/{before['id']}")
    journal = (tmp_path / "data" / "journal.db").stat()

    assert (404, "session_not_found") == (answer.status_code, answer.json()["code"])
    assert 0o600 == journal.st_mode & 0o777


async def test_a_second_sigterm_still_tells_the_end(tmp_path: Path) -> None:
    """While a service drains it takes no streams; hurried, it cuts, tells and closes; exit 0."""
    with Service(tmp_path, BRIDGE_API_KEYS=KEY, BRIDGE_DRAIN_S="120") as service:
        async with service.client(KEY) as backend:
            await backend.faults(replica_join_ms=0)
            session = await backend.create_session(wait=True)
            url, tokens = session["stream_url"], session["tokens"]
            async with (
                admitted(url, tokens["produce"], "header") as producer,
                admitted(url, tokens["observe"], "subprotocol") as observer,
            ):
                await producer.send(SPEECH)
                await producer.wait_for("utterance.started")
                service.send_signal(signal.SIGTERM)
                await producer.wait_for("server.draining")
                late = [
                    await refused(url, tokens["control"], place)
                    for place in ("header", "subprotocol")
                ]
                code = await service.stop()
                closed = [await each.close_code() for each in (producer, observer)]

    assert 0 == code, service.log
    assert [503, 4503] == late
    assert [4503, 4503] == closed
    for stream in (producer, observer):
        assert ["utterance.done", "session.ended"] == [
            each["type"] for each in stream.messages if each["type"] != "tavus.event"
        ][-2:]
        assert "drained" == stream.messages[-1]["reason"]


def _bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}
