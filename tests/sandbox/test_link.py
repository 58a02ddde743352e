from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.sandbox.link import MAX_WAITING, LinkOutbox
from tests.support.sandbox import echo_message, kinds, running_sandbox

V2 = "/sandbox/v2"
PCM = bytes(range(1, 241)) * 8
"""40 ms."""


@pytest.fixture
async def tavus() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox that listens."""
    async with running_sandbox() as client:
        yield client


async def create(tavus: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A conversation whose replica is there at once."""
    await tavus.put("/sandbox/faults", json={"replica_join_ms": 0})
    answer = await tavus.post(f"{V2}/conversations", json={"replica_id": "r1", **body})
    shown: dict[str, Any] = answer.json()
    return shown


def link(conversation: dict[str, Any], query: str = "name=me") -> connect:
    """The way into a conversation's room."""
    url = conversation["conversation_url"].replace("http", "ws")
    return connect(f"{url}/link?{query}", proxy=None)


async def next_op(connection: ClientConnection, op: str) -> dict[str, Any]:
    """The next operation of this kind; others on the way are dropped."""
    async for text in connection:
        operation: dict[str, Any] = json.loads(text)
        if operation["op"] == op:
            return operation
    raise AssertionError(f"the link ended without {op}")


async def next_event(connection: ClientConnection, event_type: str) -> dict[str, Any]:
    """The next app message of this type."""
    while True:
        message: dict[str, Any] = (await next_op(connection, "message"))["message"]
        if message["event_type"] == event_type:
            return message


async def test_echo_speaks(tavus: httpx.AsyncClient) -> None:
    """A sentence through the whole sandbox: said, told, recorded, logged."""
    conversation = await create(tavus)
    async with link(conversation) as connection:
        there = (await next_op(connection, "joined"))["participants"]
        # Too short to play before its done: no pause of the machine between the two is heard.
        for number in range(2):
            text = echo_message(PCM, done=number == 1)
            await connection.send(
                json.dumps({"op": "message", "id": number, "message": text, "epoch": 1})
            )
            assert number == (await next_op(connection, "sent"))["id"]
        stopped = await next_event(connection, "conversation.stopped_speaking")
        room = f"/sandbox/rooms/{conversation['conversation_id']}"
        wav = await tavus.get(f"{room}/heard.wav")
        log = (await tavus.get(f"{room}/log")).json()

    assert ["tavus-replica-r1"] == [card["user_id"] for card in there]
    assert 0.08 == stopped["properties"]["duration"]
    assert "audio/wav" == wav.headers["content-type"]
    assert PCM * 2 == wav.content[44:]
    assert [960] * 2 == [entry["samples"] for entry in kinds(log, "audio")]


async def test_the_track_speaks(tavus: httpx.AsyncClient) -> None:
    """Frames are consumed one by one and heard whole."""
    conversation = await create(tavus, persona_id="pipecat-stream")
    async with link(conversation) as connection:
        await next_op(connection, "joined")
        for _ in range(6):
            await connection.send(struct.pack("!IH", 0, 0) + PCM[:960])
        consumed = [(await next_op(connection, "consumed"))["samples"] for _ in range(6)]
        await next_event(connection, "conversation.stopped_speaking")
        url = f"/sandbox/rooms/{conversation['conversation_id']}/heard.wav"
        wav = (await tavus.get(url)).content

    assert [480] * 6 == consumed
    assert PCM[:960] * 6 == wav[44:]


async def test_clear_answers(tavus: httpx.AsyncClient) -> None:
    """With the samples begun since joining."""
    conversation = await create(tavus)
    async with link(conversation) as connection:
        await connection.send('{"op":"clear","epoch":1}')
        cleared = await next_op(connection, "cleared")

    assert {"op": "cleared", "epoch": 1, "samples": 0} == cleared


@pytest.mark.parametrize("bad", ["{", '{"op":"fly"}', '{"op":"clear"}', b"\x00", bytes(7)])
async def test_a_bad_operation_ends_the_link(tavus: httpx.AsyncClient, bad: str | bytes) -> None:
    """With a close frame that says it was bad."""
    conversation = await create(tavus)
    async with link(conversation) as connection:
        await connection.send(bad)
        await connection.wait_closed()

    assert 1008 == connection.close_code


async def test_leaving_is_clean(tavus: httpx.AsyncClient) -> None:
    """The room says goodbye with 1000."""
    conversation = await create(tavus, properties={"participant_left_timeout": 60})
    async with link(conversation) as connection:
        await connection.send('{"op":"leave"}')
        await connection.wait_closed()

    assert 1000 == connection.close_code


async def test_a_room_that_ends_tells_everybody(tavus: httpx.AsyncClient) -> None:
    """Then it closes, and cannot be entered again."""
    conversation = await create(tavus)
    async with link(conversation) as connection:
        await next_op(connection, "joined")
        await tavus.post(f"{V2}/conversations/{conversation['conversation_id']}/end")
        shutdown = await next_event(connection, "system.shutdown")
        ended = await next_op(connection, "ended")
        with pytest.raises(ConnectionClosed):
            await connection.recv()

    assert "end_conversation_endpoint_hit" == shutdown["properties"]["shutdown_reason"]
    assert {"op": "ended", "reason": "end_conversation_endpoint_hit"} == ended
    with pytest.raises(InvalidStatus):
        await link(conversation)


class ClosedSocket:
    """Stands for a WebSocket; notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.code = 0

    async def send_text(self, text: str) -> None:
        """Note it."""
        self.sent.append(text)

    async def close(self, code: int) -> None:
        """Note it."""
        self.code = code


async def test_an_outbox_does_not_grow_without_bound() -> None:
    """A client that reads nothing is cut off."""
    outbox = LinkOutbox()
    socket = ClosedSocket()

    for _ in range(MAX_WAITING + 2):
        outbox.post({"op": "consumed"})
    await outbox.drain(socket)

    assert [] == socket.sent
    assert 1013 == socket.code
