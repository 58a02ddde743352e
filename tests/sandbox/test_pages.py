from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.sandbox import running_sandbox

BOTH_LINKS = pytest.mark.parametrize("way", ["link", "media"])


@pytest.fixture
async def tavus() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox that listens."""
    async with running_sandbox() as client:
        yield client


async def create(tavus: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A conversation that outlives the last person in its room."""
    body |= {"replica_id": "r1", "properties": {"participant_left_timeout": 60}}
    shown: dict[str, Any] = (await tavus.post("/sandbox/v2/conversations", json=body)).json()
    return shown


def link(conversation: dict[str, Any], way: str, query: str = "") -> connect:
    """A way into a conversation's room."""
    url = conversation["conversation_url"].replace("http", "ws", 1)
    return connect(f"{url}/{way}?{query}", proxy=None)


async def refusal(conversation: dict[str, Any], way: str, query: str = "") -> int:
    """The status with which the door stays shut."""
    with pytest.raises(InvalidStatus) as refused:
        await link(conversation, way, query)
    return refused.value.response.status_code


@BOTH_LINKS
async def test_a_private_room_needs_its_token(tavus: httpx.AsyncClient, way: str) -> None:
    """Refused before the upgrade; Daily's ``t`` works as well."""
    conversation = await create(tavus, require_auth=True)
    token = conversation["meeting_token"]

    assert 401 == await refusal(conversation, way, "name=me")
    assert 403 == await refusal(conversation, way, "token=wrong")
    for name in ("token", "t"):
        async with link(conversation, way, f"{name}={token}") as connection:
            await connection.ping()


@BOTH_LINKS
async def test_an_expired_token_is_refused(tavus: httpx.AsyncClient, way: str) -> None:
    """Even the right one."""
    await tavus.put("/sandbox/faults", json={"next": {"token_expired": True}})
    conversation = await create(tavus, require_auth=True)

    assert 403 == await refusal(conversation, way, f"token={conversation['meeting_token']}")


@BOTH_LINKS
async def test_unknown_and_ended_rooms_are_refused(tavus: httpx.AsyncClient, way: str) -> None:
    """As if they were not there."""
    conversation = await create(tavus)
    unknown = {"conversation_url": f"{conversation['conversation_url']}x"}
    await tavus.post(f"/sandbox/v2/conversations/{conversation['conversation_id']}/end")

    assert 404 == await refusal(unknown, way)
    assert 404 == await refusal(conversation, way)


async def test_a_full_room_is_refused(tavus: httpx.AsyncClient) -> None:
    """To people; who only watches takes no seat."""
    await tavus.put("/sandbox/faults", json={"replica_join_ms": 0})
    conversation = await create(tavus, max_participants=2)
    async with link(conversation, "link") as connection:
        await connection.recv()

        assert 403 == await refusal(conversation, "link", "name=other")
        async with link(conversation, "media") as viewer:
            await viewer.ping()


@pytest.mark.parametrize("path", ["", "/heard.wav", "/log"])
async def test_an_unknown_room_is_404(tavus: httpx.AsyncClient, path: str) -> None:
    """In all its views."""
    assert 404 == (await tavus.get(f"/sandbox/rooms/c0{path}")).status_code


async def test_faults_are_put_and_shown(tavus: httpx.AsyncClient) -> None:
    """A mistake is answered with 422 and its name."""
    put = await tavus.put("/sandbox/faults", json={"preset": "hostile"})
    shown = (await tavus.get("/sandbox/faults")).json()
    wrong = await tavus.put("/sandbox/faults", json={"no_such_fault": 1})
    junk = [await tavus.put("/sandbox/faults", content=body) for body in (b"{", b"[]")]

    assert put.json() == shown
    assert "cut" == shown["new_id"]
    assert 422 == wrong.status_code
    assert "no_such_fault" in wrong.json()["error"]
    assert [422, 422] == [answer.status_code for answer in junk]
