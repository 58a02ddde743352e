"""Every way in which a session, a client, the sandbox or the service itself can end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.core.pcm import AudioFormat, Encoding
from tests.support.hearing import assert_heard
from tests.support.processes import children, descriptors, threads, together, until
from tests.support.sandbox_process import SandboxProcess
from tests.support.service import Client, Service, Stream
from tests.support.speech import encode, expected, speech, tone

FORMAT = AudioFormat(Encoding.S16LE, 16_000, 1)
QUERY = "?sample_rate=16000"
SENTENCE = encode(speech("This is heard to its very end.", 16_000, ms=1000), FORMAT.encoding)
LONG = encode(
    speech("This goes on for a while after the replica has left.", 16_000, ms=3000), FORMAT.encoding
)
MINUTE = encode(tone(200, 60_000, 16_000), FORMAT.encoding)

KEY = {"x-api-key": "any"}
"""What the sandbox takes for a Tavus key."""

RESUME_WINDOW_MS = 600

TASKS = re.compile(r"^avatar_bridge_tasks (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service that does not wait long for lost producers."""
    folder = tmp_path_factory.mktemp("ends")
    with Service(folder, BRIDGE_RESUME_WINDOW_MS=str(RESUME_WINDOW_MS)) as service:
        yield service


async def ends_at_tavus(client: Client, session: dict[str, Any]) -> dict[str, Any]:
    """Wait until the session's conversation is over at Tavus, and return it."""
    path = f"/sandbox/v2/conversations/{session['conversation_id']}"
    row: dict[str, Any] = {}

    async def over() -> bool:
        answer = await client.http.get(path, params={"verbose": "true"}, headers=KEY)
        row.update(answer.json())
        return bool("ended" == row["status"])

    await until("the conversation ends", over)
    return row


async def assert_ended(
    client: Client,
    session: dict[str, Any],
    stream: Stream,
    reason: str,
    *,
    close_code: int = 4410,
    status: str = "ended",
) -> None:
    """The client was told why, last of all; the conversation ended by our call."""
    code = await stream.close_code()
    told = stream.messages[-1]

    assert ("session.ended", reason) == (told["type"], told["reason"]), stream.messages[-5:]
    assert close_code == code
    conversation = await ends_at_tavus(client, session)
    assert "end_conversation_endpoint_hit" == conversation["shutdown_reason"]
    shown = await client.session(session["id"])
    assert (status, reason) == (shown["status"], shown["end_reason"])


async def test_idle(client: Client) -> None:
    """Speech keeps a session alive however long it lasts; silence does not."""
    session = await client.create_session(idle_timeout_s=0.7)
    async with client.connect(session, QUERY) as stream:
        await stream.send(SENTENCE + SENTENCE)
        await stream.send({"type": "utterance.end"})
        await assert_ended(client, session, stream, "idle")

    assert ["played"] == [done["status"] for done in stream.all("utterance.done")]


async def test_keeping_alive(client: Client) -> None:
    """Keepalives and HTTP calls count as activity; pings and looking do not."""
    kept = await client.create_session(wait=True, idle_timeout_s=2)
    called = await client.create_session(wait=True, idle_timeout_s=2)
    pinged = await client.create_session(wait=True, idle_timeout_s=2)
    async with (
        client.connect(kept) as keeper,
        client.connect(called) as caller,
        client.connect(pinged) as pinger,
    ):
        while not pinger.closed:
            await keeper.send({"type": "session.keepalive"})
            await client.interrupt(called["id"])
            with suppress(ConnectionClosed):  # it may end at any moment
                await pinger.send({"type": "ping"})
            await client.session(pinged["id"])
            await asyncio.sleep(0.1)

        assert [] == keeper.all("session.ended")
        assert [] == caller.all("session.ended")
        await assert_ended(client, pinged, pinger, "idle")


async def test_max_duration(client: Client) -> None:
    """Speech does not put off the longest life; what is left of it is told as failed."""
    session = await client.create_session(max_duration_s=1)
    async with client.connect(session, QUERY) as stream:
        await stream.send(MINUTE)
        await assert_ended(client, session, stream, "max_duration")

    (done,) = stream.all("utterance.done")
    assert ("failed", "session_over") == (done["status"], done["code"])


async def test_the_replica_never_comes(client: Client) -> None:
    """Held audio is told as failed, with a typed reason; it costs nothing any longer."""
    await client.faults(replica_joins="never")
    session = await client.create_session(ready_timeout_s=0.5)
    async with client.connect(session, QUERY) as stream:
        await stream.send(SENTENCE)
        await stream.send({"type": "mark", "name": "end"})
        await assert_ended(client, session, stream, "replica_timeout", status="failed")

    assert [] == stream.all("session.ready")
    (done,) = stream.all("utterance.done")
    assert ("failed", "session_over", 0) == (done["status"], done["code"], done["sent_ms"])
    assert ["flushed"] == [mark["outcome"] for mark in stream.all("mark.reached")]
    shown = await client.session(session["id"])
    assert "replica_timeout" == shown["error"]["code"]


async def test_waiting_for_a_replica_that_never_comes(client: Client) -> None:
    """``?wait=ready`` answers 504, and the conversation does not run on."""
    await client.faults(replica_joins="never")
    answer = await client.http.post(
        "/sessions", params={"wait": "ready"}, json={"ready_timeout_s": 0.5}
    )

    assert (504, "replica_timeout") == (answer.status_code, answer.json()["code"])
    listed = (await client.http.get("/sessions", params={"limit": 1})).json()["data"][0]
    assert "failed" == listed["status"]
    await ends_at_tavus(client, listed)


async def test_delete(client: Client) -> None:
    """All that is left is accounted for before the end; then every call says that it is over."""
    session = await client.create_session(wait=True)
    async with client.connect(session, QUERY) as stream:
        for word in ("a", "b"):
            await stream.send({"type": "utterance.start", "utterance_id": word})
            await stream.send(SENTENCE)
            await stream.send({"type": "mark", "name": f"end of {word}"})
        await stream.wait_for("utterance.started", utterance_id="a")
        await client.end(session["id"])
        await assert_ended(client, session, stream, "deleted")

    await client.end(session["id"])
    types = [message["type"] for message in stream.messages]
    assert ["a", "b"] == [done["utterance_id"] for done in stream.all("utterance.done")]
    assert {"failed"} == {done["status"] for done in stream.all("utterance.done")}
    assert ["flushed"] * 2 == [mark["outcome"] for mark in stream.all("mark.reached")]
    assert max(types.index("utterance.done"), types.index("mark.reached")) < len(types) - 1
    answer = await client.http.post(f"/sessions/{session['id']}/interrupt")
    assert (409, "session_over") == (answer.status_code, answer.json()["code"])
    assert 404 == (await client.http.delete("/sessions/sess_unknown")).status_code


async def test_tavus_ends_the_conversation(client: Client) -> None:
    """A conversation that Tavus ends by itself is the session's end."""
    await client.faults(next={"replica_join_ms": 0, "killed_after_ms": 600})
    session = await client.create_session()
    async with client.connect(session) as stream:
        assert 4410 == await stream.close_code()

    (told,) = stream.all("session.ended")
    assert ("tavus_shutdown", "max_call_duration reached") == (told["reason"], told["detail"])
    await ends_at_tavus(client, session)


async def test_the_replica_leaves_and_comes_back(client: Client) -> None:
    """Audio is held while it is away, and goes on with it."""
    await client.faults(
        next={"replica_join_ms": 0, "replica_leave_after_ms": 200, "replica_rejoin_after_ms": 300}
    )
    session = await client.create_session(wait=True)
    async with client.connect(session, QUERY) as stream:
        await stream.send(SENTENCE)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("replica.left")
        await stream.send(SENTENCE)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("replica.joined")
        await stream.wait_for("utterance.done", number=2, status="played")

    heard = await client.heard(session["conversation_id"])
    again = expected(SENTENCE, FORMAT)
    assert len(again) <= len(heard) < 2 * len(again)


async def test_the_replica_leaves_in_mid_speech(client: Client) -> None:
    """What was not handed over when it left is heard when it is back."""
    await client.faults(
        next={"replica_join_ms": 0, "replica_leave_after_ms": 500, "replica_rejoin_after_ms": 300}
    )
    session = await client.create_session(wait=True, lead_ms=0)
    async with client.connect(session, QUERY) as stream:
        await stream.send(LONG)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("utterance.done", status="played")

    heard = await client.heard(session["conversation_id"])
    # Lost are what it held and the 100 ms before it starts again; both are far below a second.
    rest = expected(LONG, FORMAT)[-24_000:]
    assert any(np.array_equal(rest, heard[at : at + 24_000]) for at in range(len(heard)))


# --- producers --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["echo", "track"])
async def test_connect_send_close(client: Client, path: str) -> None:
    """Who closes right after sending is heard to the end."""
    session = await client.create_session(audio_path=path)
    async with client.connect(session, QUERY) as stream:
        await stream.send(SENTENCE)

    await heard_whole(client, session, SENTENCE)


async def test_a_lost_producer(client: Client) -> None:
    """What a lost connection sent is heard whole, its open utterance closes after the window."""
    session = await client.create_session(wait=True)
    async with client.connect(session, QUERY) as stream:
        await stream.send({"type": "utterance.start"})
        await stream.send(SENTENCE)
        await stream.wait_for("audio.ack", accepted_bytes=len(SENTENCE))
        stream.socket.transport.abort()

    await heard_whole(client, session, SENTENCE)


async def test_a_producer_that_comes_back(client: Client) -> None:
    """It goes on in the middle of its utterance, told what it missed and where to go on."""
    session = await client.create_session(wait=True)
    half = len(SENTENCE) // 4 * 2
    async with client.connect(session, QUERY) as stream:
        await stream.send({"type": "utterance.start", "utterance_id": "u"})
        await stream.send(SENTENCE[:half])
        await stream.wait_for("audio.ack", accepted_bytes=half)
        stream.socket.transport.abort()
    seen = max(message["seq"] for message in stream.messages if "seq" in message)
    token = stream.all("hello")[0]["resume_token"]

    async with client.connect(session, f"?resume={token}&seq={seen}") as stream:
        hello = await stream.wait_for("hello")
        await stream.send(SENTENCE[half:])
        await stream.send({"type": "utterance.end", "utterance_id": "u"})
        await stream.wait_for("utterance.done", utterance_id="u", status="played")

    assert (True, 2) == (hello["resumed"], hello["received"])
    assert {"utterance_id": "u", "accepted_bytes": half} == hello["open_utterance"]
    numbers = [message["seq"] for message in stream.messages[1:] if "seq" in message]
    assert list(range(seen + 1, seen + 1 + len(numbers))) == numbers
    await assert_heard(client, session, [expected(SENTENCE, FORMAT)])


async def test_a_newer_producer(client: Client) -> None:
    """It takes over: the older is told so, and its open utterance is heard to its end."""
    session = await client.create_session(wait=True)
    async with client.connect(session, QUERY) as older:
        await older.send({"type": "utterance.start", "utterance_id": "older"})
        await older.send(SENTENCE)
        await older.wait_for("audio.ack", accepted_bytes=len(SENTENCE))
        async with client.connect(session, QUERY) as newer:
            assert 4409 == await older.close_code()
            hello = await newer.wait_for("hello")
            await newer.send(SENTENCE)
            await newer.send({"type": "utterance.end"})
            await newer.wait_for("utterance.done", number=2, status="played")

    assert (False, 0) == (hello["resumed"], hello["received"])
    await assert_heard(client, session, [expected(SENTENCE, FORMAT)] * 2)


async def heard_whole(client: Client, session: dict[str, Any], data: bytes) -> None:
    """Wait until a speech has been played, with nobody there to be told."""
    wanted = expected(data, FORMAT)

    async def over() -> bool:
        log = await client.log(session["conversation_id"])
        played: int = sum(entry["samples"] for entry in log if entry["kind"] == "played")
        return played >= len(wanted)

    await until("the speech is over", over)
    await assert_heard(client, session, [wanted])


# --- processes --------------------------------------------------------------------------------


@asynccontextmanager
async def one_that_never_reads(session: dict[str, Any]) -> AsyncIterator[ClientConnection]:
    """A client that asks and asks, and reads nothing of the answers."""
    socket = await connect(session["stream_url"], max_queue=1, compression=None, proxy=None)
    try:
        ping = '{"type":"ping","ts":"' + 128 * "x" + '"}'
        async with asyncio.timeout(5):
            for _ in range(30_000):
                await socket.send(ping)
        yield socket
    except TimeoutError:
        yield socket  # the service no longer reads it either
    finally:
        socket.transport.abort()
        await socket.wait_closed()


async def test_sigterm_with_speaking_sessions(tmp_path: Path) -> None:
    """All clients are told, all conversations end, and the service exits with 0 within 10 s."""
    with (
        SandboxProcess(tmp_path) as sandbox,
        Service(tmp_path, BRIDGE_DRAIN_S="1", **sandbox.environment) as service,
    ):
        async with service.client() as client:
            await client.faults(replica_join_ms=0)
            sessions = await together(*(client.create_session(wait=True) for _ in range(21)))
            ends = asyncio.Event()
            speaking = [asyncio.Event() for _ in sessions[1:]]

            async def speak(session: dict[str, Any], begun: asyncio.Event) -> Stream:
                async with client.connect(session, QUERY) as stream:
                    await stream.send(MINUTE)
                    await stream.wait_for("utterance.started")
                    begun.set()
                    await ends.wait()
                    await stream.wait_for("server.draining")
                    await stream.close_code()
                return stream

            async with one_that_never_reads(sessions[0]), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(speak(session, begun))
                    for session, begun in zip(sessions[1:], speaking, strict=True)
                ]
                for begun in speaking:
                    await begun.wait()
                ends.set()
                began = time.monotonic()
                code = await service.stop()
                took = time.monotonic() - began

        assert 0 == code, service.log
        # What a person waits for, or an orchestrator before it kills.
        assert took < 10
        for stream in (task.result() for task in tasks):
            told = stream.messages[-1]
            assert ("session.ended", "drained") == (told["type"], told["reason"])
            assert 4503 == stream.socket.close_code
        async with httpx.AsyncClient(base_url=sandbox.base_url, headers=KEY) as tavus:
            rows = (await tavus.get("/sandbox/v2/conversations?limit=100")).json()["data"]
        assert {session["conversation_id"] for session in sessions} == {
            row["conversation_id"] for row in rows if row["status"] == "ended"
        }


async def test_nothing_is_left_of_fifty_sessions(tmp_path: Path) -> None:
    """Tasks, descriptors and threads are as many after fifty sessions as before."""
    with Service(tmp_path, BRIDGE_RESUME_WINDOW_MS="100") as service:

        async def use(count: int) -> None:
            # A client of its own: an open connection is a descriptor of the service.
            async with service.client() as client:
                await client.faults(replica_join_ms=0)
                await together(*(live(client, number) for number in range(count)))

        async def counts() -> tuple[int, int, float]:
            async with service.client() as client:
                # Asks Tavus, which lets go of connections that were not used for 5 s.
                assert 200 == (await client.http.get("/readyz")).status_code
                (tasks,) = TASKS.findall((await client.http.get("/metrics")).text)
            return descriptors(service.pid), threads(service.pid), float(tasks)

        await use(10)  # makes what stays, such as the threads that look up names
        before = await counts()
        await use(50)

        async def let_go() -> bool:
            return all(now <= then for now, then in zip(await counts(), before, strict=True))

        await until(f"all is let go down to {before}", let_go)


async def live(client: Client, number: int) -> None:
    """One session's life; some clients are lost, some interrupt, some hear it to the end."""
    session = await client.create_session(audio_path=("echo", "track")[number % 2])
    async with client.connect(session, QUERY) as stream:
        await stream.send(SENTENCE[:6400])
        await stream.send({"type": "utterance.end"})
        if number % 3 == 1:
            stream.socket.transport.abort()
        elif number % 3 == 2:
            await stream.wait_for("utterance.started")
            await client.interrupt(session["id"])
        else:
            await stream.wait_for("utterance.done")
    await client.end(session["id"])
    await ends_at_tavus(client, session)


async def test_the_sandbox_dies(service: Service, client: Client) -> None:
    """Its sessions end as failed rooms; a new one works as soon as it is back."""
    (child,) = children(service.pid)
    session = await client.create_session(wait=True)
    async with client.connect(session, QUERY) as stream:
        await stream.send(MINUTE)
        await stream.wait_for("utterance.started")
        os.kill(child, signal.SIGKILL)
        assert 4410 == await stream.close_code()

    (told,) = stream.all("session.ended")
    assert "room_failed" == told["reason"]
    shown = await client.session(session["id"])
    assert ("failed", "room_failed") == (shown["status"], shown["error"]["code"])

    async def ready() -> bool:
        return 200 == (await client.http.get("/readyz")).status_code

    await until("the service is ready again", ready)
    again = await client.create_session(wait=True)
    async with client.connect(again, QUERY) as stream:
        await stream.send(SENTENCE)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("utterance.done", status="played")
    await assert_heard(client, again, [expected(SENTENCE, FORMAT)])
