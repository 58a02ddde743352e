"""A replica that shows no life is told of once; a healthy one never."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app.core.pcm import Encoding
from tests.support.processes import together
from tests.support.service import Client, Service
from tests.support.speech import encode, tone

STALL_S = 2

SPEECH = encode(tone(200, 3000, 16_000), Encoding.S16LE)
"""Longer than a replica may show no life."""

WORD = SPEECH[:6400]
"""200 ms."""

STALLS = re.compile(r'^avatar_bridge_replica_stalls_total{what="speech"} (\S+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service that soon loses its patience with a replica."""
    with Service(tmp_path_factory.mktemp("stalls"), BRIDGE_REPLICA_STALL_S=str(STALL_S)) as service:
        yield service


async def stalls(client: Client) -> float:
    """How many were counted."""
    (count,) = STALLS.findall((await client.http.get("/metrics")).text)
    return float(count)


async def test_a_replica_that_takes_audio_and_never_speaks(client: Client) -> None:
    """It is told and counted once, whatever is sent afterwards; the session goes on."""
    before = await stalls(client)
    await client.faults(replica_join_ms=100, speech_stalls_after_ms=0)
    session = await client.create_session(wait=True)
    async with client.connect(session, "?sample_rate=16000") as stream:
        await stream.send(SPEECH)
        await stream.send({"type": "utterance.end"})
        told = await stream.wait_for("error", code="replica_stalled")
        await stream.send(WORD)
        await stream.send({"type": "utterance.end"})
        done = await stream.wait_for("utterance.done", nth=2)
        shown = await client.session(session["id"])

    assert told["retryable"] is True
    assert "seq" in told
    assert [told] == stream.all("error")
    assert ("played", "clock") == (done["status"], done["source"])
    assert "ready" == shown["status"]
    assert before + 1 == await stalls(client)


async def test_healthy_replicas(client: Client) -> None:
    """Long speech, barge-ins, a word, a pause and a rest, on both paths: nothing to tell."""
    before = await stalls(client)

    async def talk(session: dict[str, Any]) -> None:
        async with client.connect(session, "?sample_rate=16000") as stream:

            async def say(utterance_id: str, pcm: bytes) -> None:
                await stream.send({"type": "utterance.start", "utterance_id": utterance_id})
                await stream.send(pcm)
                await stream.send({"type": "utterance.end"})

            await say("cut", SPEECH)
            await stream.wait_for("utterance.started", utterance_id="cut")
            await client.interrupt(session["id"])
            await say("held", SPEECH)
            await stream.send({"type": "playback.pause"})
            await asyncio.sleep(STALL_S + 0.5)
            await stream.send({"type": "playback.resume"})
            await say("word", WORD)
            await stream.wait_for("utterance.done", utterance_id="word", status="played")

        assert [] == stream.all("error")
        assert 2 <= len(stream.all("replica.started_speaking"))

    sessions = []
    for preset, path in product(("friendly", "hostile"), ("echo", "track")):
        await client.faults(replica_join_ms=100, preset=preset)
        sessions.append(await client.create_session(wait=True, audio_path=path))
    await together(*(talk(session) for session in sessions))

    assert before == await stalls(client)


async def test_a_stalled_replica_is_replaced(tmp_path: Path) -> None:
    """The session goes on in another conversation, where what waited is heard to its end."""
    with Service(
        tmp_path, BRIDGE_REPLICA_STALL_S=str(STALL_S), BRIDGE_REPLACE_STALLED="true"
    ) as service:
        async with service.client() as client:
            await client.faults(replica_join_ms=100, next={"speech_stalls_after_ms": 0})
            session = await client.create_session(wait=True, lead_ms=100)
            async with client.connect(session, "?sample_rate=16000") as stream:
                await stream.send(SPEECH)
                await stream.send({"type": "utterance.end"})
                told = await stream.wait_for("session.renewed")
                done = await stream.wait_for("utterance.done")
            heard = await client.heard(told["conversation_id"])
            shown = await client.session(session["id"])

    assert 1 == len(stream.all("error", code="replica_stalled"))
    assert ("ready", told["conversation_id"]) == (shown["status"], shown["conversation_id"])
    assert session["conversation_id"] != told["conversation_id"]
    assert ("played", "replica") == (done["status"], done["source"])
    assert done["received_ms"] - done["dropped_ms"] == done["played_ms"]
    assert 0 < len(heard) // 24 <= 1000
