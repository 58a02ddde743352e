from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.sandbox.app import create_sandbox
from tests.support.sandbox import running_sandbox

V2 = "/sandbox/v2"


@pytest.fixture
async def tavus() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox, with a key."""
    transport = httpx.ASGITransport(create_sandbox())
    headers = {"x-api-key": "key"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://host:81", headers=headers
    ) as client:
        yield client


async def create(tavus: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A conversation that must be made."""
    answer = await tavus.post(f"{V2}/conversations", json={"replica_id": "r1", **body})
    assert 200 == answer.status_code, answer.text
    conversation: dict[str, Any] = answer.json()
    return conversation


@pytest.mark.parametrize(
    ("configured", "headers", "status"),
    [
        (None, {}, 401),
        (None, {"x-api-key": ""}, 401),
        (None, {"x-api-key": "anything"}, 200),
        ("right", {"x-api-key": "wrong"}, 401),
        ("right", {"x-api-key": "right"}, 200),
    ],
)
async def test_a_key_is_needed(
    configured: str | None, headers: dict[str, str], status: int
) -> None:
    """Any non-empty one, or the configured one."""
    transport = httpx.ASGITransport(create_sandbox(api_key=configured))
    async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
        answer = await client.get(f"{V2}/conversations", headers=headers)

    assert status == answer.status_code
    assert status == 200 or answer.json() == {"message": "Invalid access token"}


async def test_a_conversation_is_created_with_200(tavus: httpx.AsyncClient) -> None:
    """The reply has Tavus's fields, and its address is the one the client came to."""
    shown = await create(tavus, conversation_name="mine")

    assert f"http://host:81/sandbox/rooms/{shown['conversation_id']}" == shown["conversation_url"]
    assert "mine" == shown["conversation_name"]
    assert "active" == shown["status"]
    assert not shown["callback_url"]
    assert "meeting_token" not in shown
    assert ("r1", "pipecat0") == (shown["replica_id"], shown["persona_id"])


@pytest.mark.parametrize(
    ("body", "pair"),
    [
        ({"replica_id": "r1", "persona_id": "p1"}, {"replica_id": "r1", "persona_id": "p1"}),
        ({"face_id": "r1", "pal_id": "p1"}, {"face_id": "r1", "pal_id": "p1"}),
        ({"pal_id": "pb87e71797da"}, {"face_id": "r4067604db72", "pal_id": "pb87e71797da"}),
        ({"persona_id": "p1"}, {"replica_id": "r4067604db72", "persona_id": "p1"}),
    ],
)
async def test_both_pairs_of_words_are_understood(
    tavus: httpx.AsyncClient, body: dict[str, str], pair: dict[str, str]
) -> None:
    """The reply uses the client's words; a PAL without a face has the stock one."""
    answer = await tavus.post(f"{V2}/conversations", json=body)
    shown = answer.json()

    assert pair == {name: shown[name] for name in pair}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, {"error": "replica_id or persona_id is required"}),
        ({"replica_id": "p1"}, {"message": "Invalid replica_uuid"}),
        ({"face_id": "p1"}, {"message": "Invalid face_uuid"}),
        ({"replica_id": 7}, {"message": "Invalid replica_uuid"}),
        ({"persona_id": "r1"}, {"message": "Invalid persona_uuid"}),
        ({"pal_id": "r1"}, {"message": "Invalid pal_uuid"}),
        ({"replica_id": "r1", "properties": 7}, {"error": "properties must be an object"}),
        ({"replica_id": "r1", "callback_url": 7}, {"error": "callback_url must be a string"}),
        (
            {"replica_id": "r1", "max_participants": 1},
            {"error": "max_participants must be an integer of at least 2"},
        ),
        (
            {"replica_id": "r1", "properties": {"max_call_duration": "1"}},
            {"error": "max_call_duration must be a number of seconds"},
        ),
        ([], {"error": "The request body must be an object"}),
    ],
)
async def test_a_wrong_create_is_400(
    tavus: httpx.AsyncClient, body: Any, error: dict[str, str]
) -> None:
    """In Tavus's words where they are known."""
    answer = await tavus.post(f"{V2}/conversations", json=body)

    assert (400, error) == (answer.status_code, answer.json())


async def test_a_body_that_is_no_json_is_400(tavus: httpx.AsyncClient) -> None:
    """It says so."""
    answer = await tavus.post(f"{V2}/conversations", content=b"{")

    assert 400 == answer.status_code


async def test_a_private_room_has_a_token(tavus: httpx.AsyncClient) -> None:
    """In the reply to the create and nowhere else."""
    shown = await create(tavus, require_auth=True)
    again = (await tavus.get(f"{V2}/conversations/{shown['conversation_id']}")).json()

    assert shown["meeting_token"]
    assert "meeting_token" not in again


async def test_a_test_takes_no_slot(tavus: httpx.AsyncClient) -> None:
    """It is over at once."""
    await tavus.put("/sandbox/faults", json={"max_conversations": 1})
    tested = [await create(tavus, test_mode=True) for _ in range(3)]
    real = await create(tavus)

    assert ["ended"] * 3 == [conversation["status"] for conversation in tested]
    assert "active" == real["status"]


async def test_slots_are_counted(tavus: httpx.AsyncClient) -> None:
    """Beyond the limit it is a 400 with Tavus's text, until one has ended."""
    await tavus.put("/sandbox/faults", json={"max_conversations": 1})
    first = await create(tavus)
    refused = await tavus.post(f"{V2}/conversations", json={"replica_id": "r1"})
    await tavus.post(f"{V2}/conversations/{first['conversation_id']}/end")

    assert 400 == refused.status_code
    assert {"message": "User has reached maximum concurrent conversations"} == refused.json()
    assert "active" == (await create(tavus))["status"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"message":"User has reached maximum concurrent conversations"}'),
        (401, '{"message":"Invalid access token"}'),
        (402, '{"message":"The user is out of conversational credits"}'),
        (403, '{"message":"Your plan does not include this feature"}'),
        (404, '{"error":"Not found"}'),
        (429, '{"message":"Too many requests"}'),
        (500, "upstream failure"),
        (503, "upstream failure"),
    ],
)
async def test_a_create_fails_on_request(tavus: httpx.AsyncClient, status: int, body: str) -> None:
    """Once, with the status that was asked for; from 500 on it is not even JSON."""
    await tavus.put("/sandbox/faults", json={"next": {"create_status": status}})
    answer = await tavus.post(f"{V2}/conversations", json={"replica_id": "r1"})

    assert (status, body) == (answer.status_code, answer.text)
    assert "active" == (await create(tavus))["status"]


async def test_a_lost_reply_leaves_a_conversation_behind() -> None:
    """The client learns nothing, and a slot is taken all the same."""
    async with running_sandbox() as client:
        await client.put("/sandbox/faults", json={"next": {"create_reply_lost": True}})
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{V2}/conversations", json={"replica_id": "r1"})
        listed = (await client.get(f"{V2}/conversations?status=active")).json()

    assert 1 == listed["total_count"]


async def test_known_ids_can_be_limited(tavus: httpx.AsyncClient) -> None:
    """Stock ids are always known."""
    await tavus.put("/sandbox/faults", json={"known_replicas": ["r1"], "known_personas": []})
    answers = [
        await tavus.post(f"{V2}/conversations", json=body)
        for body in (
            {"replica_id": "r1"},
            {"replica_id": "r4067604db72"},
            {"replica_id": "r2"},
            {"replica_id": "r1", "persona_id": "p1"},
            {"replica_id": "r1", "persona_id": "pipecat-stream"},
        )
    ]
    persona = await tavus.get(f"{V2}/personas/p1")
    face = await tavus.get(f"{V2}/faces/r2")

    assert [200, 200, 400, 400, 200] == [answer.status_code for answer in answers]
    assert (404, 404) == (persona.status_code, face.status_code)


async def test_ending_works_once(tavus: httpx.AsyncClient) -> None:
    """200 with an empty body, then 400; the record tells why it ended."""
    conversation_id = (await create(tavus))["conversation_id"]
    first = await tavus.post(f"{V2}/conversations/{conversation_id}/end")
    second = await tavus.post(f"{V2}/conversations/{conversation_id}/end")
    unknown = await tavus.post(f"{V2}/conversations/c0/end")
    shown = (await tavus.get(f"{V2}/conversations/{conversation_id}?verbose=true")).json()

    assert (200, b"") == (first.status_code, first.content)
    assert (400, 400) == (second.status_code, unknown.status_code)
    assert ("ended", "end_conversation_endpoint_hit") == (shown["status"], shown["shutdown_reason"])
    assert ["system.shutdown", "application.transcription_ready"] == [
        event["event_type"] for event in shown["events"]
    ]


async def test_ending_can_fail_first(tavus: httpx.AsyncClient) -> None:
    """As often as the faults say."""
    await tavus.put("/sandbox/faults", json={"end_failures": 2})
    conversation_id = (await create(tavus))["conversation_id"]
    answers = [await tavus.post(f"{V2}/conversations/{conversation_id}/end") for _ in range(3)]

    assert [500, 500, 200] == [answer.status_code for answer in answers]


async def test_a_deleted_conversation_is_unknown(tavus: httpx.AsyncClient) -> None:
    """It is ended and forgotten."""
    conversation_id = (await create(tavus))["conversation_id"]
    url = f"{V2}/conversations/{conversation_id}"
    answers = [
        await tavus.delete(f"{url}?hard=true"),
        await tavus.get(url),
        await tavus.delete(url),
    ]

    assert [204, 404, 404] == [answer.status_code for answer in answers]
    assert 404 == (await tavus.get(f"/sandbox/rooms/{conversation_id}")).status_code


async def test_conversations_are_listed_by_page(tavus: httpx.AsyncClient) -> None:
    """Newest first, in Tavus's envelope, filtered by status and ids."""
    made = [await create(tavus, conversation_name=str(number)) for number in range(3)]
    await create(tavus, replica_id="r2", persona_id="p2")
    await tavus.post(f"{V2}/conversations/{made[0]['conversation_id']}/end")

    async def names(query: str) -> list[str]:
        rows = (await tavus.get(f"{V2}/conversations?{query}")).json()["data"]
        return [row["conversation_name"] for row in rows]

    assert ["0"] == await names("status=ended")
    assert ["2", "1", "0"] == await names("replica_id=r1")
    assert ["0"] == await names("replica_id=r1&limit=2&page=2")
    assert 1 == len(await names("pal_id=p2"))
    assert 400 == (await tavus.get(f"{V2}/conversations?limit=x")).status_code
    assert 400 == (await tavus.get(f"{V2}/conversations?limit=0")).status_code
    assert 400 == (await tavus.get(f"{V2}/conversations?page=-1")).status_code


async def test_stock_personas_are_echo_personas(tavus: httpx.AsyncClient) -> None:
    """The one of Pipecat's custom track listens to its microphone."""
    echo = (await tavus.get(f"{V2}/personas/pipecat0")).json()
    stream = (await tavus.get(f"{V2}/personas/pipecat-stream")).json()
    stock = (await tavus.get(f"{V2}/pals/pb87e71797da")).json()

    assert "echo" == echo["pipeline_mode"] == stream["pipeline_mode"]
    assert "enabled" == stream["layers"]["transport"]["input_settings"]["microphone"]
    assert echo["persona_name"]
    assert "r4067604db72" == stock["default_face_id"]


@pytest.mark.parametrize(("word", "face"), [("persona", "replica"), ("pal", "face")])
async def test_a_persona_is_made_read_patched_and_used(
    tavus: httpx.AsyncClient, word: str, face: str
) -> None:
    """Under both names."""
    body = {f"{word}_name": "Mine", "pipeline_mode": "echo", f"default_{face}_id": "r9"}
    made = (await tavus.post(f"{V2}/{word}s", json=body)).json()
    url = f"{V2}/{word}s/{made[f'{word}_id']}"
    patch = [
        {"op": "replace", "path": f"/{word}_name", "value": "Yours"},
        {"op": "add", "path": "/layers/transport/transport_type", "value": "livekit"},
    ]
    patched = await tavus.patch(url, json=patch)
    conversation = await create(tavus, replica_id=None, **{f"{word}_id": made[f"{word}_id"]})
    listed = (await tavus.get(f"{V2}/{word}s?{word}_type=user")).json()
    shown = (await tavus.get(url)).json()

    assert 200 == patched.status_code
    assert "Yours" == shown[f"{word}_name"]
    assert "livekit" == shown["layers"]["transport"]["transport_type"]
    assert "r9" == conversation[f"{face}_id"]
    assert [shown] == listed["data"]
    assert 3 == (await tavus.get(f"{V2}/{word}s?{word}_type=system")).json()["total_count"]
    assert 4 == (await tavus.get(f"{V2}/{word}s")).json()["total_count"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("personas", {"pipeline_mode": "telepathy"}),
        ("personas", {"persona_name": "no prompt"}),
        ("pals", {"pipeline_mode": "echo"}),
    ],
)
async def test_a_wrong_persona_is_400(
    tavus: httpx.AsyncClient, path: str, body: dict[str, str]
) -> None:
    """A full one needs a prompt, a PAL needs a face."""
    answer = await tavus.post(f"{V2}/{path}", json=body)

    assert 400 == answer.status_code


@pytest.mark.parametrize(
    "patch",
    [
        {},
        [7],
        [{"op": "move", "path": "/persona_name"}],
        [{"op": "replace", "path": "/nothing", "value": 1}],
        [{"op": "replace", "path": "/persona_name/x", "value": 1}],
    ],
)
async def test_a_wrong_patch_is_400(tavus: httpx.AsyncClient, patch: Any) -> None:
    """And changes nothing."""
    answer = await tavus.patch(f"{V2}/personas/pipecat0", json=patch)

    assert 400 == answer.status_code
    assert 200 == (await tavus.get(f"{V2}/personas/pipecat0")).status_code


async def test_a_patch_can_remove(tavus: httpx.AsyncClient) -> None:
    """A field that is there."""
    patch = [{"op": "remove", "path": "/layers/transport"}]
    shown = (await tavus.patch(f"{V2}/personas/pipecat-stream", json=patch)).json()

    assert {} == shown["layers"]


async def test_an_unknown_persona_is_404(tavus: httpx.AsyncClient) -> None:
    """By the kind of its id."""
    answer = await tavus.get(f"{V2}/personas/r1")

    assert (404, {"message": "Invalid persona_uuid"}) == (answer.status_code, answer.json())


@pytest.mark.parametrize("word", ["replica", "face"])
async def test_faces_are_listed(tavus: httpx.AsyncClient, word: str) -> None:
    """The stock one in the list, any other of the right kind by its id."""
    listed = (await tavus.get(f"{V2}/{word}s")).json()
    mine = (await tavus.get(f"{V2}/{word}s?{word}_type=user")).json()
    one = (await tavus.get(f"{V2}/{word}s/r77")).json()

    assert ["r4067604db72"] == [row[f"{word}_id"] for row in listed["data"]]
    assert [] == mine["data"]
    assert "r77" == one[f"{word}_id"]
    assert 404 == (await tavus.get(f"{V2}/{word}s/p1")).status_code


async def test_pipecats_requests_work() -> None:
    """``TavusApi`` posts two ids, reads two fields, ends without a body and reads the name."""
    async with running_sandbox() as client:
        body = {"replica_id": "r1", "persona_id": "pipecat0"}
        made = (await client.post(f"{V2}/conversations", json=body)).raise_for_status().json()
        persona = (await client.get(f"{V2}/personas/pipecat0")).raise_for_status().json()
        end = await client.post(f"{V2}/conversations/{made['conversation_id']}/end")

    assert made["conversation_url"].endswith(made["conversation_id"])
    assert persona["persona_name"]
    assert 200 == end.status_code


async def test_tavus_clis_requests_work(tavus: httpx.AsyncClient) -> None:
    """It lists from page 0, with an empty filter, and deletes what it made."""
    listed = (await tavus.get(f"{V2}/pals?limit=25&page=0&pal_type=")).json()
    body = {"pal_name": "x", "pipeline_mode": "echo", "default_face_id": "r1"}
    pal_id = (await tavus.post(f"{V2}/pals", json=body)).json()["pal_id"]
    deleted = await tavus.delete(f"{V2}/pals/{pal_id}")
    stock = await tavus.delete(f"{V2}/pals/pipecat0")
    left = (await tavus.get(f"{V2}/pals")).json()

    assert 3 == listed["total_count"] == len(listed["data"])
    assert (204, 204) == (deleted.status_code, stock.status_code)
    assert listed["data"] == left["data"]


async def test_livekits_requests_work(tavus: httpx.AsyncClient) -> None:
    """Its plugin makes a PAL with a LiveKit transport, then a conversation that names a room."""
    body: dict[str, Any] = {
        "pal_name": "lk_pal_1",
        "default_face_id": "r1",
        "pipeline_mode": "echo",
        "layers": {"transport": {"transport_type": "livekit"}},
    }
    pal = (await tavus.post(f"{V2}/pals", json=body)).raise_for_status().json()
    body = {
        "pal_id": pal["pal_id"],
        "face_id": "r1",
        "properties": {"livekit_ws_url": "wss://lk", "livekit_room_token": "secret"},
        "conversation_name": "lk_conversation_1",
    }
    made = (await tavus.post(f"{V2}/conversations", json=body)).raise_for_status().json()

    assert made["conversation_id"]
    assert "secret" not in str(made)
