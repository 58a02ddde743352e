"""The service with Daily rooms: its own workers, a fake SDK in them, the sandbox behind it.

What a replica heard is compared sample by sample: the speech is a ramp, so a gap, a repetition or
a wrong order shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.support.daily_cloud import FakeCloud
from tests.support.daily_tavus import DailyTavus
from tests.support.processes import children
from tests.support.sandbox_process import SandboxProcess
from tests.support.service import DEADLINE_S, Client, Service, Stream


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


@contextmanager
def run_daily(folder: Path) -> Iterator[Daily]:
    """Start everything; at its end no rule of the SDK was broken."""
    folders = [folder / name for name in ("sandbox", "cloud", "service")]
    for each in folders:
        each.mkdir()
    with SandboxProcess(folders[0]) as sandbox, DailyTavus(sandbox.base_url) as tavus:
        cloud = FakeCloud(folders[1], sandbox=f"{sandbox.base_url}/sandbox")
        environment = tavus.environment | cloud.environment | {"BRIDGE_ROOMS_PER_WORKER": "2"}
        with Service(folders[2], **environment) as service:
            yield Daily(service, sandbox, cloud)

        assert [] == cloud.log("fatal")


def ramp(seconds: float) -> NDArray[np.int16]:
    """Speech of which every sample tells its place."""
    return np.asarray(np.arange(round(seconds * 24_000)) % 20_000 + 1, dtype="<i2")


def speech(heard: NDArray[np.int16]) -> NDArray[np.int16]:
    """What was heard, without silence."""
    return np.extract(heard, heard)


def assert_one_seam(
    heard: NDArray[np.int16], said: NDArray[np.int16], lengths: Collection[int]
) -> None:
    """At one place so many samples are missing, 0 for none, or come twice, if it is less."""
    missing = len(said) - len(heard)
    assert missing in lengths
    both = min(len(said), len(heard))
    wrong = np.flatnonzero(said[:both] != heard[:both])
    before = int(wrong[0]) if len(wrong) else both
    assert np.array_equal(said[missing + before :], heard[before:])


async def session_of(client: Client, path: str) -> dict[str, Any]:
    """Make a session that is ready."""
    return await client.create_session(wait=True, persona_id="p1", replica_id="r1", audio_path=path)


async def say(stream: Stream, samples: NDArray[np.int16], utterance_id: str = "a") -> None:
    """Send an utterance."""
    await stream.send({"type": "utterance.start", "utterance_id": utterance_id})
    await stream.send(samples.tobytes())
    await stream.send({"type": "utterance.end"})


async def speak_through(
    client: Client,
    sandbox: Client,
    session: dict[str, Any],
    seconds: float,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> tuple[dict[str, Any], list[str], NDArray[np.int16]]:
    """Speak; returns how it ended, what was told of the replica, and what was heard.

    ``meanwhile`` is called when the replica has begun: before the second half is there.
    """
    samples = ramp(seconds)
    async with client.connect(session) as stream:
        if meanwhile is None:
            await say(stream, samples)
        else:
            await stream.send({"type": "utterance.start"})
            await stream.send(samples[: len(samples) // 2].tobytes())
            await stream.wait_for("utterance.started")
            await meanwhile()
            await stream.send(samples[len(samples) // 2 :].tobytes())
            await stream.send({"type": "utterance.end"})
        done = await stream.wait_for("utterance.done")
        told = [message["type"] for message in stream.messages]
    heard = await sandbox.heard(session["conversation_id"])
    return done, [type_ for type_ in told if type_ in {"replica.left", "replica.joined"}], heard
