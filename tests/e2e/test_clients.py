"""Clients made for Tavus work against the sandbox's REST as they are.

The packages themselves are heavy (tavus-cli alone brings 140 MB), so their requests are written
down here: as recorded from ``TavusApi`` of pipecat-ai 1.14.0, ``TavusAPI`` of livekit-plugins-tavus
1.8.9 and the commands of tavus-cli 0.11.0 when they ran, unmodified, against the sandbox. Each test
asks of an answer what that client reads of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.service import Service

JSON = {"Content-Type": "application/json", "x-api-key": "any"}
"""What Pipecat and LiveKit send with every request, those without a body too."""

KEY = {"x-api-key": "any"}
"""What tavus-cli sends."""


@pytest.fixture
async def tavus(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client whose base is what ``https://tavusapi.com/v2`` is elsewhere."""
    async with httpx.AsyncClient(
        base_url=f"{service.base_url}/sandbox/v2", trust_env=False
    ) as client:
        yield client


def good(answer: httpx.Response) -> Any:
    """The JSON of a success; None for an empty body."""
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def test_pipecat(tavus: httpx.AsyncClient) -> None:
    """It creates, reads the persona's name at every join, and ends."""
    made = good(
        await tavus.post(
            "/conversations",
            headers=JSON,
            json={"replica_id": "r4067604db72", "persona_id": "pipecat0"},
        )
    )
    persona = good(await tavus.get("/personas/pipecat0", headers=JSON))
    ended = await tavus.post(f"/conversations/{made['conversation_id']}/end", headers=JSON)

    assert made["conversation_url"].startswith("http")
    assert "Echo Assistant" == persona["persona_name"]
    assert (200, b"") == (ended.status_code, ended.content)


async def test_livekit(tavus: httpx.AsyncClient) -> None:
    """It uses the stock PAL and face, or makes a PAL of its own; it never ends anything."""
    room = {"livekit_ws_url": "wss://example.livekit.cloud", "livekit_room_token": "token"}
    echo = {"pipeline_mode": "echo", "layers": {"transport": {"transport_type": "livekit"}}}
    stock = good(
        await tavus.post(
            "/conversations",
            headers=JSON,
            json={
                "pal_id": "pb87e71797da",
                "properties": room,
                "face_id": "r4067604db72",
                "conversation_name": "lk_conversation_5434b68de781",
            },
        )
    )
    pal = good(
        await tavus.post(
            "/pals",
            headers=JSON,
            json={"pal_name": "lk_pal_1", "default_face_id": "r4067604db72", **echo},
        )
    )
    own = good(
        await tavus.post(
            "/conversations",
            headers=JSON,
            json={
                "pal_id": pal["pal_id"],
                "properties": room,
                "conversation_name": "lk_conversation_ad0771562393",
            },
        )
    )
    persona = good(
        await tavus.post("/personas", headers=JSON, json={"persona_name": "lk_persona_1", **echo})
    )

    assert stock["conversation_id"] != own["conversation_id"]
    assert ("p", "p") == (pal["pal_id"][0], persona["persona_id"][0])


async def test_livekit_tells_failures_apart(tavus: httpx.AsyncClient) -> None:
    """It tries server errors again and believes a 4xx, whose text it shows."""
    answer = await tavus.post(
        "/conversations",
        headers={**JSON, "x-api-key": ""},
        json={"pal_id": "pb87e71797da", "properties": {}},
    )

    assert (401, {"message": "Invalid access token"}) == (answer.status_code, answer.json())


async def test_tavus_cli(tavus: httpx.AsyncClient) -> None:
    """Its ``doctor``, ``pal``, ``face`` and ``conversation`` commands."""
    for path in ("/pals?limit=1", "/faces?limit=1", "/faces?limit=25"):  # doctor, face list
        assert good(await tavus.get(path, headers=KEY))["data"]
    pals = good(await tavus.get("/pals?limit=25&page=0", headers=KEY))["data"]
    pal = good(await tavus.get("/pals/pipecat0?include_settings=false", headers=KEY))
    made = good(
        await tavus.post(
            "/pals",
            headers=KEY,
            json={"pipeline_mode": "echo", "pal_name": "Mine", "default_face_id": "r4067604db72"},
        )
    )
    own = f"/pals/{made['pal_id']}"
    patch = [{"op": "replace", "path": "/pal_name", "value": "Yours"}]
    patched = good(await tavus.patch(own, headers=KEY, json=patch))
    deleted = await tavus.delete(own, headers=KEY)
    conversation = good(
        await tavus.post(
            "/conversations",
            headers=KEY,
            json={"persona_id": "pipecat0", "replica_id": "r4067604db72"},
        )
    )
    end = f"/conversations/{conversation['conversation_id']}/end"
    ends = [await tavus.post(end, headers=KEY) for _ in range(2)]

    assert {"pal_id", "pal_name", "default_face_id", "updated_at"} <= pals[0].keys()
    assert ("echo", "Yours") == (pal["pipeline_mode"], patched["pal_name"])
    assert 204 == deleted.status_code
    left = good(await tavus.get("/pals", headers=KEY))["data"]
    assert made["pal_id"] not in {row["pal_id"] for row in left}
    assert ([200, 400], b"") == ([answer.status_code for answer in ends], ends[0].content)
