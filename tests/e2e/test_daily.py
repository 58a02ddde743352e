"""The whole service with Daily rooms: its own workers, a fake SDK in them, the sandbox behind it.

What a replica heard is compared sample by sample: the speech is a ramp, so a gap, a repetition or
a wrong order shows.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.daily.audio import DEPTH
from app.runtime.room_remote import MESSAGES_AHEAD
from tests.support.daily_cloud import FakeCloud
from tests.support.daily_tavus import DailyTavus
from tests.support.processes import children, together, until
from tests.support.sandbox_process import SandboxProcess
from tests.support.service import DEADLINE_S, Client, Service, Stream

KNOWN_WITHIN = 5
"""Frames: a busy machine may take 100 ms to tell us that we were put out."""

PATHS = pytest.mark.parametrize("path", ["echo", "track"])


@dataclass
class Daily:
    """The service, and what stands behind it."""

    service: Service
    sandbox: SandboxProcess
    cloud: FakeCloud

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[tuple[Client, Client]]:
        """Be a backend, and somebody who can ask the sandbox."""
        http = httpx.AsyncClient(
            base_url=self.sandbox.base_url, timeout=DEADLINE_S, trust_env=False
        )
        async with http, self.service.client() as client:
            sandbox = Client(http)
            await sandbox.faults(replica_join_ms=50)
            yield client, sandbox

    def workers(self) -> list[int]:
        """The processes that hold the rooms, oldest first."""
        return sorted(children(self.service.pid))


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daily]:
    """Start everything; at its end no rule of the SDK was broken."""
    folders = [tmp_path_factory.mktemp(name) for name in ("sandbox", "cloud", "service")]
    with SandboxProcess(folders[0]) as sandbox, DailyTavus(sandbox.base_url) as tavus:
        cloud = FakeCloud(folders[1], sandbox=f"{sandbox.base_url}/sandbox")
        environment = tavus.environment | cloud.environment | {"BRIDGE_ROOMS_PER_WORKER": "2"}
        with Service(folders[2], **environment) as service:
            yield Daily(service, sandbox, cloud)

        assert [] == cloud.log("fatal")


@pytest.fixture(autouse=True)
def _no_faults(daily: Daily) -> None:
    daily.cloud.faults()


def ramp(seconds: float) -> NDArray[np.int16]:
    """Speech of which every sample tells its place."""
    return np.asarray(np.arange(round(seconds * 24_000)) % 20_000 + 1, dtype="<i2")


def speech(heard: NDArray[np.int16]) -> NDArray[np.int16]:
    """What was heard, without silence."""
    return np.extract(heard, heard)


async def session_of(client: Client, path: str) -> dict[str, Any]:
    """Make a session that is ready."""
    return await client.create_session(wait=True, persona_id="p1", replica_id="r1", audio_path=path)


async def say(stream: Stream, samples: NDArray[np.int16], utterance_id: str = "a") -> None:
    """Send an utterance."""
    await stream.send({"type": "utterance.start", "utterance_id": utterance_id})
    await stream.send(samples.tobytes())
    await stream.send({"type": "utterance.end"})


@PATHS
async def test_the_replica_hears_every_sample(daily: Daily, path: str) -> None:
    """Both audio paths, to the true end of the utterance."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)
        async with client.connect(session) as stream:
            await say(stream, ramp(1))
            done = await stream.wait_for("utterance.done")
        heard = await sandbox.heard(session["conversation_id"])
        await client.end(session["id"])

    assert ("played", 1000, 1000, "replica") == (
        done["status"],
        done["sent_ms"],
        done["played_ms"],
        done["source"],
    )
    assert np.array_equal(ramp(1), speech(heard))


@PATHS
async def test_an_interrupt_stops_the_replica(daily: Daily, path: str) -> None:
    """What is told after it agrees with what was heard, and the next utterance is whole."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)
        async with client.connect(session) as stream:
            await say(stream, ramp(3))
            await stream.wait_for("utterance.started")
            await stream.send({"type": "interrupt"})
            accepted = await stream.wait_for("interrupt.accepted")
            cut = await stream.wait_for("utterance.done", status="interrupted")
            await say(stream, ramp(0.5), "b")
            done = await stream.wait_for("utterance.done", utterance_id="b")
        heard = speech(await sandbox.heard(session["conversation_id"]))
        await client.end(session["id"])

    assert (1, True) == (accepted["epoch"], accepted["interrupted"])
    assert cut["played_ms"] <= cut["sent_ms"] < 3000
    assert ("played", 500) == (done["status"], done["played_ms"])
    assert np.array_equal(ramp(0.5), heard[-12_000:])
    assert len(heard) <= cut["sent_ms"] * 24 + 40 * 24 + 12_000


async def speak_through(
    client: Client, sandbox: Client, session: dict[str, Any], seconds: float
) -> tuple[dict[str, Any], list[str], NDArray[np.int16]]:
    """Speak; returns how it ended, what was told of the replica, and what was heard."""
    async with client.connect(session) as stream:
        await say(stream, ramp(seconds))
        done = await stream.wait_for("utterance.done")
        told = [message["type"] for message in stream.messages]
    heard = await sandbox.heard(session["conversation_id"])
    return done, [type_ for type_ in told if type_ in {"replica.left", "replica.joined"}], heard


@PATHS
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_dead_worker_takes_nothing_with_it(
    daily: Daily, path: str, blow: signal.Signals
) -> None:
    """Killed or frozen in mid-speech: its sessions come back and go on with the next sample.

    Sessions in the other worker notice nothing.
    """
    await until("no worker of a test before", lambda: not daily.workers())
    async with daily.clients() as (client, sandbox):
        sessions = [await session_of(client, path) for _ in range(4)]
        struck, spared = daily.workers()

        async def strike() -> None:
            await asyncio.sleep(1)
            os.kill(struck, blow)

        striking = asyncio.create_task(strike())
        results = await together(
            *(speak_through(client, sandbox, session, 4) for session in sessions)
        )
        await striking
        for session in sessions:
            await client.end(session["id"])

    assert struck not in daily.workers()
    for number, (done, told, heard) in enumerate(results):
        away = ["replica.left", "replica.joined"] if number < 2 else []
        assert (number, away) == (number, told)
        assert ("played", 4000) == (done["status"], done["sent_ms"])
        # What the dead worker had not answered for may have been heard: it comes again.
        most = (480 if path == "track" else 4 * 960) if number < 2 else 0
        assert 0 <= len(speech(heard)) - len(ramp(4)) <= most
        assert most or np.array_equal(ramp(4), speech(heard))
    assert spared in daily.workers() or not daily.workers()


@PATHS
async def test_being_put_out_is_no_end(daily: Daily, path: str) -> None:
    """The room is joined again; no sample is said twice, and only what was under way may be lost.

    That is a gap of whole pieces: messages that nobody confirmed, or frames that the device played
    to nobody, of which it had begun two when we were put out and the others before we knew.
    """
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)

        async def eject() -> None:
            await asyncio.sleep(0.5)
            daily.cloud.steer("eject", room=session["conversation_id"])

        ejecting = asyncio.create_task(eject())
        done, told, heard = await speak_through(client, sandbox, session, 2)
        await ejecting
        await client.end(session["id"])

    assert ["replica.left", "replica.joined"] == told
    assert "played" == done["status"]
    piece, most = (960, MESSAGES_AHEAD) if path == "echo" else (480, DEPTH + KNOWN_WITHIN)
    assert_one_gap(speech(heard), ramp(2), {count * piece for count in range(most + 1)})


def assert_one_gap(
    heard: NDArray[np.int16], said: NDArray[np.int16], lengths: Collection[int]
) -> None:
    """One stretch is missing, of one of these lengths, 0 for none; nothing comes twice."""
    assert len(said) - len(heard) in lengths
    there = said[: len(heard)]
    before = len(heard) if np.array_equal(there, heard) else int(np.argmin(there == heard))
    assert np.array_equal(said[len(said) - len(heard) + before :], heard[before:])


async def test_messages_wait_while_the_signalling_is_interrupted(daily: Daily) -> None:
    """Nothing is lost."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "echo")
        room = session["conversation_id"]

        async def interrupt() -> None:
            await asyncio.sleep(0.3)
            daily.cloud.steer("signalling", room=room, connected=False)
            await asyncio.sleep(1)
            daily.cloud.steer("signalling", room=room, connected=True)

        interrupting = asyncio.create_task(interrupt())
        done, told, heard = await speak_through(client, sandbox, session, 3)
        await interrupting
        await client.end(session["id"])

    assert ([], "played", 3000) == (told, done["status"], done["sent_ms"])
    assert np.array_equal(ramp(3), speech(heard))


async def test_a_refused_message_is_sent_again(daily: Daily) -> None:
    """In its place: nothing was handed over in between. One that is too large comes in halves."""
    fates = [*[None] * 60, "no", *[None] * 5, "the message is too large"]
    daily.cloud.faults(messages={"conversation.echo": fates})
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "echo")
        done, _, heard = await speak_through(client, sandbox, session, 4)
        await client.end(session["id"])

    assert ("played", 4000) == (done["status"], done["sent_ms"])
    assert np.array_equal(ramp(4), speech(heard))


async def test_an_unanswered_message_is_not_sent_again(daily: Daily) -> None:
    """Nobody knows whether it arrived: it is left out of what counts as sent."""
    daily.cloud.faults(messages={"conversation.echo": [*[None] * 60, "never"]})
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "echo")
        done, _, heard = await speak_through(client, sandbox, session, 8)
        await client.end(session["id"])

    assert ("played", 8000, 7960) == (done["status"], done["received_ms"], done["sent_ms"])
    assert 7960 * 24 == len(speech(heard))


async def test_a_service_that_is_killed_leaves_no_worker(daily: Daily, tmp_path: Path) -> None:
    """The workers see that their link has ended, leave their rooms and go."""
    environment = daily.service.environment
    async with daily.clients() as (_, _):
        with Service(tmp_path, **environment) as service:
            async with service.client() as client:
                session = await session_of(client, "track")
            (worker,) = children(service.pid)
            service.send_signal(signal.SIGKILL)
            await until("the worker is gone", lambda: not Path(f"/proc/{worker}").exists())

    left = daily.cloud.log("left", room=session["conversation_id"])
    assert 1 == len(left)
