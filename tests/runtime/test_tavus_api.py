"""The client of Tavus: what it sends, and what it makes of every kind of answer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app import errors
from app.core.events import ConversationCreated
from app.core.spec import NamedId
from app.runtime.tavus_api import TavusApi
from tests.support.tavus import BASE_URL, KEY, FakeTavus


def api(tavus: FakeTavus, *, key: str = KEY, timeout_s: float = 5.0) -> TavusApi:
    """Make a client of the fake."""
    return TavusApi(tavus.client(), BASE_URL, key, timeout_s)


async def test_a_conversation_lives_from_create_to_end() -> None:
    """Create, get and end speak the documented requests and read their answers."""
    tavus = FakeTavus()
    client = api(tavus)
    created = await client.create({"replica_id": "r1", "require_auth": True})
    running = await client.get(created.conversation_id)
    await client.end(created.conversation_id)
    ended = await client.get(created.conversation_id)

    assert (
        ConversationCreated(
            "c000001", "https://tavus.daily.co/c000001", meeting_token="token-of-c000001"
        )
        == created
    )
    assert not running.over
    assert ended.over
    assert [
        ("POST", "/v2/conversations", {"replica_id": "r1", "require_auth": True}),
        ("GET", "/v2/conversations/c000001", None),
        ("POST", "/v2/conversations/c000001/end", None),
        ("GET", "/v2/conversations/c000001", None),
    ] == tavus.requests


async def test_ending_what_is_over_is_no_mistake() -> None:
    """A second end (400) and an unknown id (404) both mean that nothing costs money any more."""
    tavus = FakeTavus()
    client = api(tavus)
    created = await client.create({})
    await client.end(created.conversation_id)
    await client.end(created.conversation_id)
    await client.end("c-unknown")

    assert [] == tavus.active()


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("", status_code=500),
        PlainTextResponse("", status_code=429),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("down"),
    ],
)
async def test_an_end_that_may_not_have_worked_raises(answer: Response | Exception) -> None:
    """The caller has to know that the conversation may still run."""
    tavus = FakeTavus()
    client = api(tavus)
    created = await client.create({})
    tavus.next_answers.append(answer)

    with pytest.raises(errors.TavusError):
        await client.end(created.conversation_id)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (JSONResponse({"message": "Invalid replica_uuid"}, 400), errors.TavusRejected),
        (PlainTextResponse("<html>", 502), errors.TavusUnavailable),
        (httpx.ConnectError("refused"), errors.TavusUnreachable),
        (httpx.ConnectTimeout("slow"), errors.TavusUnreachable),
        (httpx.PoolTimeout("full"), errors.TavusUnreachable),
        (httpx.ReadTimeout("slow"), errors.TavusTimeout),
        (httpx.WriteError("lost"), errors.TavusTimeout),
        (httpx.RemoteProtocolError("lost"), errors.TavusTimeout),
        (PlainTextResponse("no json"), errors.TavusTimeout),
        (JSONResponse({"conversation_id": "c1"}), errors.TavusTimeout),
    ],
)
async def test_a_create_says_whether_a_conversation_may_exist(
    answer: Response | Exception, expected: type[errors.BridgeError]
) -> None:
    """What may have been accepted is ``TavusTimeout``; and no create is ever sent twice."""
    tavus = FakeTavus(next_answers=deque([answer]))
    client = api(tavus)

    with pytest.raises(errors.TavusError) as caught:
        await client.create({})
    assert expected is type(caught.value)
    assert [("POST", "/v2/conversations", {})] == tavus.requests


async def test_no_call_takes_longer_than_allowed() -> None:
    """A Tavus that never answers is given up."""
    tavus = FakeTavus(hold=asyncio.Event())

    with pytest.raises(errors.TavusTimeout):
        await api(tavus, timeout_s=0.01).create({})


async def test_the_key_is_sent_and_never_told() -> None:
    """A key that Tavus repeats in its answer does not reach our caller."""
    tavus = FakeTavus()
    tavus.next_answers.append(JSONResponse({"message": f"bad key {KEY}"}, 401))

    with pytest.raises(errors.TavusUnauthorized) as told:
        await api(tavus).create({})
    with pytest.raises(errors.TavusUnauthorized):
        await api(tavus, key="wrong").create({})
    assert "Tavus (401): bad key [key]" == told.value.detail


@pytest.mark.parametrize(
    ("header", "expected"),
    [("3", 3000), ("Sun, 22 Nov 2026 08:00:00 GMT", None), ("-1", None), ("9" * 50, None)],
)
async def test_retry_after_is_read(header: str, expected: int | None) -> None:
    """Seconds are understood, everything else is left alone."""
    tavus = FakeTavus()
    tavus.next_answers.append(Response(status_code=429, headers={"Retry-After": header}))

    with pytest.raises(errors.TavusRateLimited) as caught:
        await api(tavus).create({})
    assert expected == caught.value.retry_after_ms


@pytest.mark.parametrize("word", ["persona", "pal"])
async def test_a_persona_is_read(word: Literal["persona", "pal"]) -> None:
    """It comes as Tavus writes it under either name; an answer that is none is Tavus's failure."""
    tavus = FakeTavus()
    named = NamedId("persona_id" if word == "persona" else "pal_id", "pipecat0")
    persona = await api(tavus).persona(named)
    tavus.next_answers.append(JSONResponse([]))

    assert {f"{word}_name": "pipecat0", "pipeline_mode": "echo"} == persona
    assert ("GET", f"/v2/{word}s/pipecat0", None) == tavus.requests[0]
    with pytest.raises(errors.TavusUnavailable):
        await api(tavus).persona(named)


async def test_a_replica_is_read() -> None:
    """A replica comes as Tavus writes it; one that does not exist is rejected."""
    tavus = FakeTavus()
    replica = await api(tavus).replica(NamedId("replica_id", "r1"))
    face = await api(tavus).replica(NamedId("face_id", "r1"))

    assert ("r1", "Anna") == (replica["replica_id"], replica["replica_name"])
    assert ("r1", "Anna") == (face["face_id"], face["face_name"])
    with pytest.raises(errors.TavusRejected):
        await api(tavus).replica(NamedId("face_id", "nobody"))


async def test_a_persona_is_made() -> None:
    """It is made in the words of the body; one whose id does not come back may exist."""
    tavus = FakeTavus()
    persona = await api(tavus).create_persona({"persona_name": "E", "pipeline_mode": "echo"})
    pal = await api(tavus).create_persona({"pal_name": "E", "pipeline_mode": "echo"})
    tavus.next_answers.append(JSONResponse({"pal_id": 5}))

    assert (NamedId("persona_id", "p000001"), NamedId("pal_id", "p000002")) == (persona, pal)
    assert [
        ("POST", "/v2/personas", {"persona_name": "E", "pipeline_mode": "echo"}),
        ("POST", "/v2/pals", {"pal_name": "E", "pipeline_mode": "echo"}),
    ] == tavus.requests
    with pytest.raises(errors.TavusTimeout):
        await api(tavus).create_persona({"pal_name": "E"})


async def test_any_request_can_be_asked() -> None:
    """Status and text come as they are, whatever they mean."""
    tavus = FakeTavus()
    created = await api(tavus).ask("POST", "/conversations", {"test_mode": True})
    tavus.next_answers.append(PlainTextResponse("slow down", 429))
    refused = await api(tavus).ask("GET", "/conversations")
    tavus.next_answers.append(httpx.ConnectError("down"))

    assert 200 == created[0]
    assert "c000001" in created[1]
    assert (429, "slow down") == refused
    with pytest.raises(errors.TavusUnavailable):
        await api(tavus).ask("GET", "/conversations")


async def test_a_ping_asks_without_making_anything() -> None:
    """A ping is one reading request that needs the right key."""
    tavus = FakeTavus()
    await api(tavus).ping()

    assert [("GET", "/v2/conversations?limit=1", None)] == tavus.requests
    with pytest.raises(errors.TavusUnauthorized):
        await api(tavus, key="wrong").ping()


async def test_conversations_are_listed_page_by_page() -> None:
    """A list shows those of one status, ten a page; an answer that is none is Tavus's failure."""
    tavus = FakeTavus()
    client = api(tavus)
    for number in range(11):
        tavus.put(f"n{number}")
    tavus.put("over", status="ended")
    first, second = (
        await client.list(status="active", page=1),
        await client.list(status="active", page=2),
    )
    tavus.next_answers.append(JSONResponse([]))

    assert (10, 11) == (first.length, first.total)
    assert ["n10"] == [row.name for row in second.rows]
    assert ("GET", "/v2/conversations?limit=10&page=1&status=active", None) == tavus.requests[0]
    with pytest.raises(errors.TavusUnavailable):
        await client.list(status="active", page=1)


async def test_every_call_is_reported_with_its_outcome() -> None:
    """Calls are counted by name and by ``ok`` or the error's code."""
    seen: list[tuple[str, str]] = []
    tavus = FakeTavus()
    client = TavusApi(tavus.client(), BASE_URL, KEY, 5.0, report=lambda *call: seen.append(call))
    created = await client.create({})
    tavus.next_answers.append(PlainTextResponse("", status_code=503))
    with pytest.raises(errors.TavusUnavailable):
        await client.end(created.conversation_id)
    await client.end(created.conversation_id)

    assert [("create", "ok"), ("end", "tavus_unavailable"), ("end", "ok")] == seen
