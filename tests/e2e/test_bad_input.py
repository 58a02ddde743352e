"""Whatever is wrong has one code and one status, and what need not break goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from app.core.pcm import AudioFormat, Encoding
from tests.support.audio import wav
from tests.support.processes import together
from tests.support.service import Client, Service, Stream

API_KEY = "api-key-that-nobody-may-read"
WRONG_KEY = "wrong-key-that-nobody-may-read"
TAVUS_KEY = "tavus-key-that-nobody-may-read"

BUFFER_MS, HIGH_MS, LOW_MS = 3000, 2000, 500
QUEUED = 4
TAVUS_TIMEOUT_S = 3
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
PROTOCOL = "avatar-bridge.v1"

SHORT = bytes(960)
"""20 ms of the default format."""

Message = dict[str, Any] | str | bytes


@pytest.fixture(scope="module")
def secrets() -> set[str]:
    """Every credential that a test has used, or was given."""
    return {API_KEY, WRONG_KEY, TAVUS_KEY}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, secrets: set[str]) -> Iterator[Service]:
    """Start a service with keys and small limits; its log must be free of credentials."""
    with Service(
        tmp_path_factory.mktemp("bad"),
        BRIDGE_API_KEYS=f"ci:{API_KEY}",
        BRIDGE_BUFFER_MS=str(BUFFER_MS),
        BRIDGE_HIGH_MS=str(HIGH_MS),
        BRIDGE_LOW_MS=str(LOW_MS),
        BRIDGE_LOG_LEVEL="debug",
        BRIDGE_QUEUED_UTTERANCES=str(QUEUED),
        BRIDGE_ROOM="sandbox",
        BRIDGE_SANDBOX_API_KEY=TAVUS_KEY,
        BRIDGE_TAVUS_TIMEOUT_S=str(TAVUS_TIMEOUT_S),
        TAVUS_API_KEY=TAVUS_KEY,
    ) as service:
        yield service

    assert "listening on" in service.log
    assert set() == {secret for secret in secrets if secret in service.log}


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    """Be a backend with the right key."""
    async with service.client(API_KEY) as client:
        await client.faults(replica_join_ms=0)
        yield client


# --- the stream -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """A message that is answered with an error, after others that are not."""

    code: str
    message: Message
    before: Sequence[Message] = ()
    done: dict[str, Any] = field(default_factory=dict)
    """What becomes of the utterance it concerns."""
    query: str = ""
    ready: bool = True


def start(utterance_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """Open an utterance; ``fields`` are its format's."""
    message: dict[str, Any] = {"type": "utterance.start"}
    if utterance_id is not None:
        message["utterance_id"] = utterance_id
    return message | ({"format": fields} if fields else {})


END = {"type": "utterance.end"}
MISMATCH = {"status": "failed", "code": "format_mismatch", "sent_ms": 0}
WIDE = AudioFormat(Encoding.S16LE, 48_000, 2)

NOT_OURS = ("", "x", "[]", '"text"', "null", "{}", '{"type":5}', '{"type":null}', 9_999 * "[")

WRONG: tuple[Wrong, ...] = (
    *(Wrong("bad_message", text) for text in NOT_OURS),
    Wrong("unknown_type", {"type": "utterance.begin"}),
    Wrong("unknown_type", {"type": "hello"}),
    *(Wrong("bad_message", start(wrong)) for wrong in ("", "a b", "ü", "a\n", 65 * "a")),
    *(
        Wrong("unsupported_format", start(**wrong))
        for wrong in (
            {"encoding": "mp3"},
            {"encoding": "PCM_S16LE"},
            {"sample_rate": 7_999},
            {"sample_rate": 192_001},
            {"channels": 0},
            {"channels": 3},
        )
    ),
    *(
        Wrong("bad_message", start(**wrong))
        for wrong in ({"encoding": 1}, {"sample_rate": "16000"}, {"sample_rate": 1.5})
    ),
    Wrong("bad_message", {**start(), "epoch": -1}),
    Wrong("bad_message", {**start(), "id": 129 * "x"}),
    Wrong("utterance_id_in_use", start("a"), before=(start("a"), END)),
    Wrong("utterance_mismatch", {**END, "utterance_id": "b"}, before=(start("a"), SHORT)),
    Wrong("bad_base64", {"type": "audio.append", "audio": "AAA"}),
    Wrong("bad_base64", {"type": "audio.append", "audio": "A-_A"}),
    Wrong("bad_message", {"type": "audio.append"}),
    Wrong("bad_message", {"type": "audio.append", "audio": 7}),
    Wrong("bad_message", {"type": "mark"}),
    Wrong("bad_message", {"type": "mark", "name": ""}),
    Wrong("bad_message", {"type": "mark", "name": 129 * "x"}),
    Wrong("bad_message", {"type": "ping", "ts": []}),
    Wrong("bad_message", {"type": "interrupt", "utterance_id": "?"}),
    Wrong("bad_message", {"type": "tavus.send"}),
    Wrong("invalid_request", {"type": "tavus.send", "event_type": "conversation.interrupt"}),
    Wrong(
        "invalid_request",
        {
            "type": "tavus.send",
            "event_type": "conversation.echo",
            "properties": {"modality": "audio", "audio": "AAAA"},
        },
    ),
    Wrong(
        "too_large",
        {
            "type": "tavus.send",
            "event_type": "conversation.respond",
            "properties": {"text": 4096 * "x"},
        },
    ),
    Wrong(
        "session_not_ready",
        {"type": "tavus.send", "event_type": "conversation.respond"},
        ready=False,
    ),
    Wrong(
        "partial_sample",
        END,
        before=(start(), SHORT + b"\x01"),
        done={"status": "played", "received_ms": 20, "played_ms": 20},
    ),
    Wrong(
        "format_mismatch",
        wav(WIDE, SHORT),
        before=(start(encoding="pcm_s16le", sample_rate=24_000),),
        done=MISMATCH,
    ),
    *(
        Wrong("format_mismatch", magic + bytes(4096), before=(start(),), done=MISMATCH)
        for magic in (b"OggS", b"fLaC", b"ID3\x04")
    ),
    Wrong("format_mismatch", bytes(4096), before=(start(encoding="wav"),), done=MISMATCH),
    Wrong("format_mismatch", bytes(4096), query="?encoding=wav", done=MISMATCH),
    Wrong(
        "buffer_overflow",
        bytes((BUFFER_MS + 1000) * 48),
        before=(start("a"), bytes(500 * 48)),
        done={"status": "failed", "code": "buffer_overflow", "received_ms": 500, "played_ms": 500},
    ),
    Wrong(
        "too_many_utterances",
        start(),
        before=(start("held"), bytes(960), *((QUEUED - 1) * (start(),))),
        ready=False,
    ),
    Wrong(
        "too_many_marks",
        {"type": "mark", "name": "one more"},
        before=(start(), *(1000 * ({"type": "mark", "name": "m"},))),
        ready=False,
    ),
)


async def test_every_wrong_message(client: Client) -> None:
    """It is answered with its code, and the same connection goes on to be heard."""

    async def check(wrong: Wrong) -> None:
        session = await client.create_session(wait=wrong.ready)
        async with client.connect(session, wrong.query) as stream:
            for message in wrong.before:
                await send(stream, message)
            named = isinstance(wrong.message, dict) and "id" not in wrong.message
            await send(stream, wrong.message, "ref-1" if named else None)
            error = await stream.wait_for("error")
            if wrong.code == "buffer_overflow":
                await stream.wait_for("flow.resume")
            if wrong.code == "too_many_marks":
                # A thousand events at once would be more than a connection takes.
                await stream.send({"type": "ping"})
                await stream.wait_for("pong")
            else:
                await still_speaks(stream, wrong)

        assert wrong.code == error["code"], wrong
        assert named == (error.get("ref") == "ref-1"), wrong
        assert "seq" not in error
        assert 1 == len(stream.all("error"))
        if wrong.done:
            first = stream.all("utterance.done")[0]
            assert wrong.done.items() <= first.items(), wrong

    await together(*(check(wrong) for wrong in WRONG if wrong.ready))
    # Long enough for a busy machine: these are about what waits for the replica.
    await client.faults(replica_join_ms=3000)
    await together(*(check(wrong) for wrong in WRONG if not wrong.ready))


async def send(stream: Stream, message: Message, message_id: str | None = None) -> None:
    """Send any message, JSON or not, with an id if one is given."""
    if isinstance(message, str):
        await stream.socket.send(message)
    elif isinstance(message, dict) and message_id is not None:
        await stream.send({**message, "id": message_id})
    else:
        await stream.send(message)


async def still_speaks(stream: Stream, wrong: Wrong) -> None:
    """Say something more on the same connection."""
    await stream.wait_for("session.ready")
    if wrong.code == "too_many_utterances":
        await stream.send({"type": "interrupt"})
    await stream.send({"type": "utterance.start", "utterance_id": "after", "format": {}})
    await stream.send(SHORT)
    await stream.send({"type": "utterance.end", "utterance_id": "after"})
    done = await stream.wait_for("utterance.done", utterance_id="after")

    assert ("played", 20) == (done["status"], done["played_ms"]), wrong


async def test_what_a_refused_start_does(client: Client) -> None:
    """It closes the open utterance, and audio up to the next good start is discarded."""
    session = await client.create_session(wait=True)
    async with client.connect(session) as stream:
        await stream.send(start("a"))
        await stream.send(SHORT)
        await stream.send(start("b", encoding="mp3"))
        await stream.send(SHORT)
        await stream.send(start("c"))
        await stream.send(SHORT)
        await stream.send(END)
        await stream.wait_for("utterance.done", utterance_id="c", status="played", received_ms=20)

    (discarded,) = stream.all("audio.discarded")
    assert ("refused", 20) == (discarded["reason"], discarded["ms"])
    assert ["a", "c"] == [done["utterance_id"] for done in stream.all("utterance.done")]


async def test_twenty_five_wrong_messages(client: Client) -> None:
    """One too many closes the connection, and nothing but it."""
    session = await client.create_session(wait=True)
    async with client.connect(session) as stream:
        for _ in range(25):
            await stream.send({"type": "nonsense"})
        assert 4400 == await stream.close_code()
    assert 25 == len(stream.all("error", code="unknown_type"))

    async with client.connect(session) as stream:
        await say_something(stream)


async def test_a_message_too_large(client: Client) -> None:
    """The largest message is taken; one byte more closes with 1009, and nothing but it."""
    session = await client.create_session(wait=True)
    async with client.connect(session, "?encoding=pcm_f32le&sample_rate=192000") as stream:
        await stream.send(bytes(MAX_MESSAGE_BYTES))
        await stream.wait_for("audio.ack", accepted_bytes=MAX_MESSAGE_BYTES)
        with suppress(ConnectionClosed):  # it says so before all is sent
            await stream.send(bytes(MAX_MESSAGE_BYTES + 1))
        assert 1009 == await stream.close_code()

    async with client.connect(session) as stream:
        await stream.send({"type": "interrupt"})
        await say_something(stream)


async def say_something(stream: Stream) -> None:
    """Be heard."""
    await stream.send(start("something"))
    await stream.send(SHORT)
    await stream.send(END)
    await stream.wait_for("utterance.done", utterance_id="something", status="played")


# --- before the upgrade -----------------------------------------------------------------------


async def refused(
    url: str,
    *,
    key: str | None = API_KEY,
    subprotocols: Sequence[str] = (),
    headers: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Try to open a stream; its HTTP status and the code, or its close code and ``""``."""
    sent = {} if key is None else {"Authorization": f"Bearer {key}"}
    socket = connect(
        url,
        additional_headers=sent | (headers or {}),
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        proxy=None,
    )
    try:
        opened = await socket
    except InvalidStatus as error:
        answer = error.response
    else:
        await opened.wait_closed()
        assert PROTOCOL == opened.subprotocol
        return opened.close_code or 0, ""
    body = json.loads(answer.body or b"{}")

    assert "application/problem+json" == answer.headers["content-type"]
    assert answer.status_code == body["status"]
    return body["status"], body["code"]


async def ended_session(client: Client) -> dict[str, Any]:
    """A session that is over."""
    session = await client.create_session()
    await client.end(session["id"])
    return session


async def test_refusals_before_the_upgrade(client: Client) -> None:
    """A client that can read an HTTP answer gets one, with the problem in it."""
    url = (await client.create_session())["stream_url"]
    over = (await ended_session(client))["stream_url"]
    unknown = url.replace("/sess_", "/sess_0")
    by_token = f"{url}?token={API_KEY}"

    assert (401, "unauthorized") == await refused(url, key=None)
    assert (401, "unauthorized") == await refused(url, key=WRONG_KEY)
    assert (401, "unauthorized") == await refused(unknown, key=WRONG_KEY)
    assert (401, "unauthorized") == await refused(f"{url}?resume={WRONG_KEY}", key=None)
    assert (401, "unauthorized") == await refused(by_token, key=None)
    assert (404, "session_not_found") == await refused(unknown)
    assert (409, "session_over") == await refused(over)
    for wrong in ("encoding=mp3", "sample_rate=1", "sample_rate=x", "channels=3"):
        assert (400, "unsupported_format") == await refused(f"{url}?{wrong}")
    for wrong in ("seq=-1", "seq=x", "progress_ms=0.5"):
        assert (400, "bad_message") == await refused(f"{url}?{wrong}")
    assert (400, "bad_message") == await refused(url, subprotocols=["other.v1"])


async def test_refusals_that_a_browser_can_read(client: Client) -> None:
    """A browser sees nothing but close codes, so it gets one that says the same."""
    url = (await client.create_session())["stream_url"]
    over = (await ended_session(client))["stream_url"]

    async def closed(url: str, key: str = API_KEY) -> int:
        code, _ = await refused(url, key=None, subprotocols=[PROTOCOL, f"bearer.{key}"])
        return code

    assert 4401 == await closed(url, WRONG_KEY)
    assert 4404 == await closed(url.replace("/sess_", "/sess_0"))
    assert 4410 == await closed(over)
    assert 4415 == await closed(f"{url}?encoding=mp3")
    assert 4400 == await closed(f"{url}?seq=x")
    assert (400, "bad_message") == await refused(url, key=None, subprotocols=[f"bearer.{API_KEY}"])


async def test_a_browser_is_let_in(client: Client, service: Service, secrets: set[str]) -> None:
    """With its credential as a second subprotocol; the first is the one selected."""
    session = await client.create_session()
    async with (
        service.client() as browser,
        browser.connect(session, subprotocols=[PROTOCOL, f"bearer.{API_KEY}"]) as stream,
    ):
        hello = await stream.wait_for("hello")
        secrets.add(hello["resume_token"])
        assert PROTOCOL == stream.socket.subprotocol
        stream.socket.transport.abort()
    # The resume token authenticates by itself, and works once.
    address = f"?resume={hello['resume_token']}"
    async with service.client() as browser, browser.connect(session, address) as stream:
        again = await stream.wait_for("hello")
        secrets.add(again["resume_token"])

    assert again["resumed"]
    assert (401, "unauthorized") == await refused(session["stream_url"] + address, key=None)


# --- HTTP -------------------------------------------------------------------------------------

REFUSED_BODIES: tuple[tuple[int, str, str], ...] = (
    (400, "malformed_json", "{"),
    (400, "malformed_json", "\x00"),
    (422, "invalid_request", "[]"),
    (422, "invalid_request", '{"lead_ms":10001}'),
    (422, "invalid_request", '{"lead_ms":"1500"}'),
    (422, "invalid_request", '{"audio_path":"pipe"}'),
    (422, "invalid_request", '{"replica_id":""}'),
    (422, "invalid_request", '{"replica_id":"r1","face_id":"r1"}'),
    (422, "invalid_request", '{"ready_timeout_s":0}'),
    (422, "invalid_request", '{"idle_timeout_s":NaN}'),
    (422, "invalid_request", '{"metadata":{"a":1}}'),
    (422, "invalid_request", json.dumps({"metadata": {f"{n}": "" for n in range(17)}})),
    (422, "invalid_request", json.dumps({"metadata": {"a": 513 * "x"}})),
    (422, "invalid_request", '{"conversation":{"properties":[]}}'),
    (413, "too_large", json.dumps({"conversation": {"x": 2**20 * "x"}})),
)


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and code of a problem."""
    assert "application/problem+json" == answer.headers["content-type"], answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "detail", "retryable"} <= body.keys()
    return answer.status_code, body["code"]


async def test_creates_that_are_refused(client: Client) -> None:
    """Each wrong body has its status and code, and makes no conversation."""
    before = await conversations(client)
    for status, code, body in REFUSED_BODIES:
        answer = await client.http.post("/sessions", content=body)
        assert (status, code) == problem(answer), body[:80]
    answer = await client.http.post("/sessions", params={"wait": "forever"})
    assert (422, "invalid_request") == problem(answer)
    answer = await client.http.post("/sessions", headers={"Idempotency-Key": 256 * "k"})
    assert (422, "invalid_request") == problem(answer)

    assert before == await conversations(client)


async def conversations(client: Client) -> int:
    """How many conversations there ever were."""
    answer = await client.http.get("/sandbox/v2/conversations", headers={"x-api-key": TAVUS_KEY})
    count: int = answer.json()["total_count"]
    return count


async def test_calls_that_are_refused(client: Client) -> None:
    """Routes, methods, states and sizes."""
    await client.faults(replica_joins="never")
    starting = f"/sessions/{(await client.create_session())['id']}"
    await client.faults(replica_join_ms=0)
    ready = f"/sessions/{(await client.create_session(wait=True))['id']}"
    over = f"/sessions/{(await ended_session(client))['id']}"
    respond = {"event_type": "conversation.respond", "properties": {"text": "Hello"}}
    echo = {"event_type": "conversation.echo", "properties": {"modality": "audio", "audio": ""}}
    large = {"event_type": "conversation.respond", "properties": {"text": 4096 * "x"}}
    cases: tuple[tuple[int, str, str, str, Any], ...] = (
        (404, "not_found", "GET", "/nothing", None),
        (405, "method_not_allowed", "PUT", "/sessions", None),
        (405, "method_not_allowed", "POST", ready, None),
        (404, "session_not_found", "GET", "/sessions/sess_0", None),
        (404, "session_not_found", "DELETE", "/sessions/sess_0", None),
        (404, "session_not_found", "POST", "/sessions/sess_0/interrupt", None),
        (422, "invalid_request", "GET", "/sessions?limit=0", None),
        (422, "invalid_request", "GET", "/sessions?limit=101", None),
        (422, "invalid_request", "GET", "/sessions?status=gone", None),
        (422, "invalid_request", "GET", "/sessions?cursor=junk", None),
        (422, "invalid_request", "POST", f"{ready}/interrupt", {"reason": 5}),
        (409, "session_over", "POST", f"{over}/interrupt", None),
        (409, "session_over", "POST", f"{over}/messages", respond),
        (409, "session_not_ready", "POST", f"{starting}/messages", respond),
        (422, "invalid_request", "POST", f"{ready}/messages", {}),
        (422, "invalid_request", "POST", f"{ready}/messages", echo),
        (
            *(422, "invalid_request", "POST", f"{ready}/messages"),
            {"event_type": "conversation.interrupt"},
        ),
        (413, "too_large", "POST", f"{ready}/messages", large),
    )
    for status, code, method, path, body in cases:
        answer = await client.http.request(method, path, json=body)
        assert (status, code) == problem(answer), path
    assert 202 == (await client.http.post(f"{ready}/messages", json=respond)).status_code


async def test_every_route_wants_a_key(service: Service, client: Client) -> None:
    """All but the two health questions; a wrong key is as good as none."""
    session = await client.create_session()
    path = f"/sessions/{session['id']}"
    for key in (None, WRONG_KEY):
        async with service.client(key) as stranger:
            for method, where in (
                ("GET", "/"),
                ("GET", "/docs"),
                ("GET", "/openapi.json"),
                ("GET", "/metrics"),
                ("GET", "/sessions"),
                ("POST", "/sessions"),
                ("GET", path),
                ("DELETE", path),
                ("POST", f"{path}/interrupt"),
                ("POST", f"{path}/messages"),
                ("GET", "/sandbox/faults"),
                ("GET", f"/sandbox/rooms/{session['conversation_id']}/log"),
                ("GET", "/nothing"),
            ):
                answer = await stranger.http.request(method, where)
                assert (401, "unauthorized") == problem(answer), where
                assert "Bearer" == answer.headers["www-authenticate"]
            for where in ("/healthz", "/readyz"):
                assert 200 == (await stranger.http.get(where)).status_code
            tavus = await stranger.http.get(
                "/sandbox/v2/conversations", headers={"x-api-key": WRONG_KEY}
            )
            assert (401, {"message": "Invalid access token"}) == (tavus.status_code, tavus.json())
    assert "failed" != (await client.session(session["id"]))["status"]


async def test_idempotency_keys(client: Client) -> None:
    """The same body gets the same session, another body a conflict."""
    key = {"Idempotency-Key": "order-66"}
    first = await client.http.post(
        "/sessions", content='{"lead_ms":100,"metadata":{"a":"b"}}', headers=key
    )
    again = await client.http.post(
        "/sessions", content='{ "metadata": {"a": "b"}, "lead_ms": 100 }', headers=key
    )
    other = await client.http.post("/sessions", json={"lead_ms": 200}, headers=key)

    assert (201, 201) == (first.status_code, again.status_code), again.text
    assert first.json()["id"] == again.json()["id"]
    assert "true" == again.headers["idempotency-replayed"]
    assert (409, "idempotency_conflict") == problem(other)


# --- Tavus ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "status", "code", "retryable"),
    [
        (400, 429, "tavus_concurrency_limit", True),
        (401, 502, "tavus_unauthorized", False),
        (402, 402, "tavus_out_of_credits", False),
        (403, 502, "tavus_forbidden", False),
        (404, 400, "tavus_rejected", False),
        (429, 429, "tavus_rate_limited", True),
        (500, 502, "tavus_unavailable", True),
        (503, 502, "tavus_unavailable", True),
    ],
)
async def test_tavus_refuses_a_create(
    client: Client, upstream: int, status: int, code: str, retryable: bool
) -> None:
    """Each answer of Tavus has its own code; the next create works."""
    await client.faults(next={"create_status": upstream})
    refusal = await client.http.post("/sessions", headers={"Idempotency-Key": f"key-{upstream}"})

    assert (status, code) == problem(refusal)
    assert retryable == refusal.json()["retryable"]
    # The key is free again: Tavus cannot have accepted.
    again = await client.http.post("/sessions", headers={"Idempotency-Key": f"key-{upstream}"})
    assert 201 == again.status_code
    assert "idempotency-replayed" not in again.headers


@pytest.mark.parametrize(
    "fault", [{"create_reply_lost": True}, {"create_slow_ms": 1000 * TAVUS_TIMEOUT_S + 500}]
)
async def test_a_create_whose_answer_is_lost(client: Client, fault: dict[str, Any]) -> None:
    """The outcome is unknown, so it is never repeated: it could be billed twice."""
    before = await conversations(client)
    await client.faults(next=fault)
    key = {"Idempotency-Key": f"lost {fault}"}
    lost = await client.http.post("/sessions", headers=key)
    again = await client.http.post("/sessions", headers=key)

    assert (504, "tavus_timeout") == problem(lost) == problem(again)
    assert not lost.json()["retryable"]
    assert before + 1 >= await conversations(client)
    await client.create_session(wait=True)


async def test_tavus_words_reach_the_caller(client: Client) -> None:
    """An unknown replica is told in Tavus's own words."""
    await client.faults(next={"known_replicas": []})
    answer = await client.http.post("/sessions", json={"replica_id": "r-unknown"})

    assert (400, "tavus_rejected") == problem(answer)
    assert "Invalid replica_uuid" in answer.json()["detail"]


async def test_private_rooms(client: Client, secrets: set[str]) -> None:
    """A meeting token opens its room, and one that has expired is told as a failed room."""
    private = {"conversation": {"require_auth": True}}
    session = await client.create_session(wait=True, **private)
    secrets.add(session["meeting_token"])
    await client.faults(next={"token_expired": True})
    answer = await client.http.post("/sessions", params={"wait": "ready"}, json=private)

    assert (502, "room_failed") == problem(answer)
    listed = (await client.http.get("/sessions", params={"limit": 1})).json()["data"][0]
    secrets.add(listed["meeting_token"])
    assert "failed" == listed["status"]


async def test_test_mode(client: Client) -> None:
    """It costs nothing, takes no slot, and is over at once."""
    session = await client.create_session(conversation={"test_mode": True})

    assert ("ended", "tavus_shutdown") == (session["status"], session["end_reason"])


# --- without keys -----------------------------------------------------------------------------


@asynccontextmanager
async def open_to_this_machine(folder: Path) -> AsyncIterator[tuple[Service, Client]]:
    """Start a service as ``make run`` does, with room for one session."""
    with Service(folder, BRIDGE_MAX_SESSIONS="1") as service:
        async with service.client() as client:
            await client.faults(replica_join_ms=0)
            yield service, client


async def test_only_this_machine(tmp_path: Path) -> None:
    """Without keys a foreign ``Host`` or ``Origin`` is refused, for pages and streams alike."""
    async with open_to_this_machine(tmp_path) as (_, client):
        session = await client.create_session(wait=True)
        answer = await client.http.post("/sessions")
        assert (429, "too_many_sessions") == problem(answer)
        assert answer.json()["retryable"]

        url = session["stream_url"]
        foreign: tuple[dict[str, str], ...] = (
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.evil.example"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        )
        for headers in foreign:
            assert (403, "forbidden") == problem(
                await client.http.get("/sessions", headers=headers)
            )
        for headers in foreign[2:]:
            assert (403, "forbidden") == await refused(url, key=None, headers=headers)
        for headers in ({"Host": "localhost:1"}, {"Origin": "http://localhost:3000"}):
            assert 200 == (await client.http.get("/sessions", headers=headers)).status_code

        async with client.connect(session) as stream:
            await say_something(stream)
        await client.end(session["id"])
        again = await asyncio.wait_for(client.create_session(wait=True), 30)
        assert "ready" == again["status"]
