from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import simplejpeg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Data

from app.sandbox.face import Expression, Face
from app.sandbox.media import Piece, Sight
from app.sandbox.media_link import HEADER, MediaOutbox, Watch
from app.sandbox.portrait import Portrait
from tests.support.face import read_count
from tests.support.sandbox import PCM, echo_message, running_sandbox

MS = 1_000_000
FACE = Face(640, 360)
PIXELS = 640 * 360


@pytest.fixture
async def tavus() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox that listens."""
    async with running_sandbox() as client:
        yield client


async def create(tavus: httpx.AsyncClient, **faults: Any) -> str:
    """The address of a room whose replica is there at once."""
    faults = {"replica_join_ms": 0, "strict_bytes": False, **faults}
    await tavus.put("/sandbox/faults", json=faults)
    answer = await tavus.post("/sandbox/v2/conversations", json={"replica_id": "r1"})
    url: str = answer.json()["conversation_url"]
    return url.replace("http", "ws", 1)


def media(room: str) -> connect:
    """A viewer's link."""
    return connect(f"{room}/media", proxy=None)


def parse(message: Data) -> tuple[Any, ...]:
    """Kind, width, height, codec, rate, capture time, participant id and payload."""
    assert isinstance(message, bytes)
    kind, length, *fields = HEADER.unpack_from(message)
    rest = message[HEADER.size :]
    return (kind, *fields, rest[:length].decode(), rest[length:])


async def receive(viewer: ClientConnection, kind: int) -> tuple[Any, ...]:
    """The next message of a kind, without the kind."""
    while True:
        found, *rest = parse(await viewer.recv())
        if found == kind:
            return tuple(rest)


def count(planes: bytes) -> int | None:
    """The count of played samples in a small I420 picture."""
    return read_count(np.frombuffer(planes, np.uint8)[:PIXELS].reshape(360, 640))


async def test_pictures_and_sound_come_on_one_clock(tavus: httpx.AsyncClient) -> None:
    """The time of day, and each picture at the end of a piece of sound."""
    before = time.time_ns() // 1000
    async with media(await create(tavus)) as viewer:
        await viewer.send('{"op":"watch","video":true,"audio":true}')
        width, height, codec, rate, seen, who, planes = await receive(viewer, 1)
        _, _, _, heard_rate, heard, _, pcm = await receive(viewer, 2)
    after = time.time_ns() // 1000

    assert (640, 360, 0, 0, "") == (width, height, codec, rate, who)
    assert 0 == count(planes)
    assert PIXELS * 3 // 2 == len(planes)
    assert (24_000, bytes(960)) == (heard_rate, pcm)
    assert 0 == (seen - heard) % 20_000
    assert before <= seen <= after


@pytest.mark.parametrize(("size", "pixels"), [("640x360", (640, 360)), ("1280x720", (1280, 720))])
async def test_pictures_come_as_jpeg_when_asked(
    tavus: httpx.AsyncClient, size: str, pixels: tuple[int, int]
) -> None:
    """In the size of the room's pictures."""
    async with media(await create(tavus, picture=size)) as viewer:
        await viewer.send('{"op":"watch","video":true,"codec":"jpeg"}')
        width, height, codec, *_, image = await receive(viewer, 1)
    grey = simplejpeg.decode_jpeg(image, colorspace="GRAY")[..., 0]

    assert (*pixels, 1) == (width, height, codec)
    assert pixels == grey.shape[::-1]
    assert 0 == read_count(grey)


async def test_what_the_replica_says_is_heard_and_counted(tavus: httpx.AsyncClient) -> None:
    """And a picture after it shows how much it was."""
    room = await create(tavus)
    async with media(room) as viewer, connect(f"{room}/link?name=me", proxy=None) as link:
        await viewer.send('{"op":"watch","video":true,"audio":true}')
        await receive(viewer, 2)
        text = echo_message(PCM * 2, done=True)
        await link.send(json.dumps({"op": "message", "id": 1, "message": text, "epoch": 0}))
        heard = b""
        async for message in viewer:
            kind, *_, payload = parse(message)
            if kind == 2:
                heard += payload
            elif count(payload) == len(PCM):
                break

    # A machine that stands still for half a second loses some of it, as a slow viewer does.
    assert heard.strip(b"\0") in PCM * 2
    assert any(heard)


async def test_a_persons_microphone_is_heard(tavus: httpx.AsyncClient) -> None:
    """With who it is, at the rate it has; what is no audio ends that person's link."""
    room = await create(tavus)
    async with media(room) as viewer, connect(f"{room}/link?name=me", proxy=None) as link:
        await viewer.send('{"op":"watch","audio":true,"people":true}')
        await receive(viewer, 2)
        me = json.loads(await link.recv())["id"]
        await link.send('{"op":"microphone","sample_rate":48000}')
        await link.send(bytes(1920))
        *_, rate, _, who, pcm = await receive(viewer, 3)
        await link.send(bytes(9602))
        await link.wait_closed()

    assert (48_000, me, bytes(1920)) == (rate, who, pcm)
    assert 1008 == link.close_code


@pytest.mark.parametrize("bad", ["{", '{"op":"fly"}', '{"op":"watch","codec":"gif"}', b"\x00"])
async def test_a_bad_wish_ends_the_link(tavus: httpx.AsyncClient, bad: str | bytes) -> None:
    """With a close frame that says it was bad."""
    async with media(await create(tavus)) as viewer:
        await viewer.send(bad)
        await viewer.wait_closed()

    assert 1008 == viewer.close_code


async def test_a_room_that_ends_closes_the_link(tavus: httpx.AsyncClient) -> None:
    """With 1000, also of who wants nothing."""
    room = await create(tavus)
    async with media(room) as viewer, media(room) as idle:
        await viewer.send('{"op":"watch","video":true,"audio":true}')
        await receive(viewer, 1)
        await tavus.post(f"/sandbox/v2/conversations/{room.rsplit('/', 1)[1]}/end")
        await asyncio.gather(viewer.wait_closed(), idle.wait_closed())

    assert (1000, 1000) == (viewer.close_code, idle.close_code)


class SlowSocket:
    """Stands for a WebSocket whose peer reads nothing until it is let go."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.code = 0
        self.flows = asyncio.Event()

    async def send_bytes(self, data: bytes) -> None:
        """Wait, then note it."""
        await self.flows.wait()
        self.sent.append(data)

    async def close(self, code: int) -> None:
        """Note it."""
        self.code = code


async def sent(outbox: MediaOutbox) -> list[tuple[int, int]]:
    """Kind and capture time, ms, of all that waits in an outbox that is then closed."""
    socket = SlowSocket()
    socket.flows.set()
    outbox.close()
    await outbox.drain(socket, Portrait(FACE), 0)
    headers = [HEADER.unpack_from(data) for data in socket.sent]

    assert 1000 == socket.code
    return [(header[0], header[-1] // 1000) for header in headers]


async def test_a_slow_reader_gets_the_newest_picture_and_half_a_second_of_sound() -> None:
    """Nothing else is kept for it."""
    outbox = MediaOutbox()

    outbox.want(Watch(video=True, audio=True))
    for number in range(100):
        outbox.hear(Piece(number * 20 * MS, bytes(960)))
        outbox.see(Sight(number * 20 * MS, Expression()))
    waiting = await sent(outbox)

    assert [(2, at) for at in range(1480, 2000, 20)] + [(1, 1980)] == waiting


async def test_what_is_no_longer_wanted_is_not_sent() -> None:
    """Also when it waits already."""
    outbox = MediaOutbox()

    outbox.want(Watch(video=True, audio=True, people=True))
    outbox.see(Sight(0, Expression()))
    outbox.hear(Piece(20 * MS, bytes(960)))
    outbox.hear(Piece(40 * MS, bytes(960), 24_000, "person"))
    outbox.want(Watch(people=True))

    assert [(3, 40)] == await sent(outbox)


async def test_sound_passes_a_picture_that_waits() -> None:
    """A picture is made when it is sent, not before."""
    outbox, socket = MediaOutbox(), SlowSocket()

    outbox.want(Watch(video=True, audio=True))
    outbox.see(Sight(40 * MS, Expression(played=1)))
    draining = asyncio.create_task(outbox.drain(socket, Portrait(FACE), 0))
    await asyncio.sleep(0)
    for number in range(2, 5):
        outbox.see(Sight(number * 40 * MS, Expression(played=number)))
        outbox.hear(Piece(number * 40 * MS, bytes(960)))
    outbox.close()
    socket.flows.set()
    await draining

    assert [1, 2, 2, 2, 1] == [data[0] for data in socket.sent]
    assert [1, 4] == [count(data[HEADER.size :]) for data in socket.sent if data[0] == 1]
