"""Whatever kills the service, no conversation runs on, and nobody else's is ended."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import until
from tests.support.sandbox_process import SandboxProcess
from tests.support.service import Client, Service, clean_environment

KEY = {"x-api-key": "any"}
"""What the sandbox takes for a Tavus key."""

OURS = re.compile(r" \[bridge/(sess_[0-9a-f]{16}(?:\.\d+)?)\]$")

RENEWED = {"renew": True, "conversation": {"properties": {"max_call_duration": 1}}}
"""A session that asks for its next conversation after half a second."""

USERS = 3
"""Who use the service at once while it is killed."""

LONGEST_S = 0.8
"""From a start to a kill: a session is created, becomes ready and has ended in less."""


class Tavus:
    """The sandbox as the owner of its account sees it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.foreign: set[str] = set()
        """Ids of conversations that no service may end."""

    async def active(self) -> dict[str, str]:
        """The names of all conversations that cost money, by their ids."""
        query = {"status": "active", "limit": "1000"}
        answer = await self._http.get("/v2/conversations", params=query)
        return {row["conversation_id"]: row["conversation_name"] for row in answer.json()["data"]}

    async def ours(self) -> dict[str, str]:
        """Those of the service; everything that is not foreign."""
        active = await self.active()
        return {key: name for key, name in active.items() if key not in self.foreign}

    async def put_foreign(self, name: str) -> None:
        """Make one that belongs to somebody else."""
        body = {
            "replica_id": "r4067604db72",
            "persona_id": "pipecat0",
            "conversation_name": name,
            "properties": {"participant_absent_timeout": 3600},
        }
        self.foreign.add((await self._http.post("/v2/conversations", json=body)).json()[_ID])

    async def put_look_alikes(self) -> None:
        """Make what only looks like those that the service has now."""
        for name in (await self.ours()).values():
            found = OURS.search(name)
            assert found is not None, name
            await self.put_foreign(f"Avatar Bridge [bridge2/{found[1]}]")
            await self.put_foreign(f"Avatar Bridge [bridge/{found[1]}] (copy)")

    async def faults(self, **faults: Any) -> None:
        """Set the faults of the conversations to come."""
        answer = await self._http.put("/faults", json=faults)

        assert 200 == answer.status_code, answer.text


_ID = "conversation_id"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A Tavus that outlives the service."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
async def tavus(sandbox: SandboxProcess) -> AsyncIterator[Tavus]:
    """Its owner; nothing runs there but what others have."""
    async with httpx.AsyncClient(
        base_url=f"{sandbox.base_url}/sandbox", headers=KEY, trust_env=False, timeout=30
    ) as http:
        tavus = Tavus(http)
        tavus.foreign |= (await tavus.active()).keys()
        await tavus.faults(replica_join_ms=50)
        yield tavus


async def use(client: Client, dice: random.Random) -> None:
    """Create sessions and end most of them, until the service is gone."""
    with contextlib.suppress(httpx.TransportError):
        while True:
            wait = {"wait": "ready"} if dice.random() < 0.5 else {}
            headers = {"Idempotency-Key": f"{dice.random()}"} if dice.random() < 0.5 else {}
            body = RENEWED if dice.random() < 0.5 else {}
            answer = await client.http.post("/sessions", params=wait, headers=headers, json=body)

            assert answer.status_code in {201, 504}, answer.text  # 504: the answer was lost
            if answer.status_code == 201 and dice.random() < 0.8:
                await asyncio.sleep(dice.uniform(0, 0.1))
                await client.http.delete(f"/sessions/{answer.json()['id']}")


@pytest.mark.parametrize(
    ("kills", "seed"),
    [
        (20, 1),
        pytest.param(200, 2, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
async def test_killed_at_any_moment(
    tavus: Tavus, sandbox: SandboxProcess, tmp_path: Path, kills: int, seed: int
) -> None:
    """After the next start none of its conversations is alive, and all others are.

    It is killed while it creates, while it ends, and while it clears up after the kill before.
    Creates are slow, some lose their answer, and the first attempt to end each one fails.
    """
    dice = random.Random(seed)
    for number in range(3):
        await tavus.put_foreign(f"Avatar Bridge [bridge/sess_{number:016x}]")
        await tavus.put_foreign(f"Avatar Bridge [bridge2/sess_{number:016x}]")
    await tavus.faults(replica_join_ms=50, create_slow_ms=60, end_failures=1)
    left = 0
    for _ in range(kills):
        with Service(tmp_path, **sandbox.environment) as service:
            if dice.random() < 0.3:
                await until("all have ended", lambda: _none_is_alive(tavus))
            async with service.client() as client:
                users = [asyncio.create_task(use(client, dice)) for _ in range(USERS)]
                moment = dice.uniform(0, LONGEST_S)
                await asyncio.sleep(moment / 2)
                if dice.random() < 0.3:
                    lost = {"replica_join_ms": 50, "create_reply_lost": True}
                    await tavus.faults(
                        replica_join_ms=50, create_slow_ms=60, end_failures=1, next=lost
                    )
                await asyncio.sleep(moment / 2)
                await service.stop(signal.SIGKILL)
                await asyncio.gather(*users)
        left += len(await tavus.ours())
        await tavus.faults(next=None)  # a lost answer that nobody asked for is not for us
        await tavus.put_look_alikes()
    with Service(tmp_path, **sandbox.environment) as service:
        await until("all have ended", lambda: _none_is_alive(tavus))

        assert "Traceback" not in service.log
    assert left > kills, "the kills left too little to be a test"
    assert tavus.foreign <= (await tavus.active()).keys()


async def test_lost_answer(tavus: Tavus, sandbox: SandboxProcess, tmp_path: Path) -> None:
    """A create whose answer was lost is found and ended while the service runs on."""
    with Service(tmp_path, **sandbox.environment) as service:
        async with service.client() as client:
            await tavus.faults(next={"create_reply_lost": True})
            answer = await client.http.post("/sessions", headers={"Idempotency-Key": "k"})
            await until("it has ended", lambda: _none_is_alive(tavus))
            again = await client.http.post("/sessions", headers={"Idempotency-Key": "k"})

            assert [(504, "tavus_timeout")] * 2 == [
                (each.status_code, each.json()["code"]) for each in (answer, again)
            ]
            await until("it is counted", lambda: _is_counted(client))


async def test_keys_survive(tavus: Tavus, sandbox: SandboxProcess, tmp_path: Path) -> None:
    """After a kill a repeat with the same key gets the session as it was, and starts nothing."""
    headers, body = {"Idempotency-Key": "k"}, {"metadata": {"customer": "42"}}
    with Service(tmp_path, **sandbox.environment) as service:
        async with service.client() as client:
            first = await client.http.post("/sessions", headers=headers, json=body)
        await service.stop(signal.SIGKILL)
    with Service(tmp_path, **sandbox.environment) as service:
        async with service.client() as client:
            await until("it has ended", lambda: _none_is_alive(tavus))
            again = await client.http.post("/sessions", headers=headers, json=body)
            other = await client.http.post("/sessions", headers=headers, json={})
            ours = await tavus.ours()

    before, after = first.json(), again.json()
    assert (201, 201) == (first.status_code, again.status_code)
    assert "true" == again.headers["Idempotency-Replayed"]
    assert (409, "idempotency_conflict") == (other.status_code, other.json()["code"])
    same = ("id", "conversation_id", "conversation_url", "metadata", "created_at", "expires_at")
    assert [before[name] for name in same] == [after[name] for name in same]
    assert ("failed", "internal") == (after["status"], after["end_reason"])
    assert {} == ours


async def test_folder_is_one_service_s(tmp_path: Path) -> None:
    """A second service on the same folder says why it does not start, and touches nothing."""
    with Service(tmp_path) as service:
        second = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "app", "serve", "--port", "0"],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        async with service.client() as client:
            session = await client.create_session(wait=True)

    assert (1, "") == (second.returncode, second.stdout)
    (line,) = second.stderr.splitlines()
    assert f"BRIDGE_DATA_DIR data is in use by another process (pid {service.pid})" in line
    assert "ready" == session["status"]


async def test_callbacks(tavus: Tavus, sandbox: SandboxProcess, tmp_path: Path) -> None:
    """Tavus tells the service of its own ends, at an address that no log shows."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Service(
        tmp_path,
        BRIDGE_PORT=str(port),
        BRIDGE_PUBLIC_URL=f"http://127.0.0.1:{port}",
        BRIDGE_API_KEYS="alice:key-a",
        BRIDGE_LOG_LEVEL="debug",
        **sandbox.environment,
    ) as service:
        async with service.client("key-a") as client:
            await tavus.faults(next={"replica_join_ms": 50, "killed_after_ms": 500})
            session = await client.create_session(wait=True)
            async with client.connect(session) as stream:
                assert 4410 == await stream.close_code()
            row = await client.http.get(
                f"/sandbox/v2/conversations/{session['conversation_id']}", headers=KEY
            )
            await until(
                "the callbacks are in", lambda: service.log.count("POST /webhooks/tavus/") >= 4
            )
            wrong = await client.http.post("/webhooks/tavus/sess_1.wrong", json={})
        log = service.log

    (ended,) = stream.all("session.ended")
    secret = row.json()["callback_url"].rpartition("/webhooks/tavus/")[2]
    assert ("tavus_shutdown", "max_call_duration reached") == (ended["reason"], ended["detail"])
    assert 404 == wrong.status_code
    assert secret.startswith(session["id"] + ".")
    assert secret not in log
    assert '"POST /webhooks/tavus/[redacted] HTTP/1.1" 200' in log


async def _none_is_alive(tavus: Tavus) -> bool:
    return not await tavus.ours()


async def _is_counted(client: Client) -> bool:
    metrics = (await client.http.get("/metrics")).text
    return 'avatar_bridge_conversations_recovered_total{why="lost"} 1.0' in metrics
