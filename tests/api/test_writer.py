"""How frames and messages share one connection, and who is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.types import Message

from app.core.frame_header import SKIPPED, FrameHeader
from app.core.media import Picture, PictureChoice, PictureCodec, Sound
from app.runtime.clock import wall_us
from tests.support.clock import settle
from tests.support.streams import RawSocket, new_session, opened, served
from tests.support.world import MS, S, World

CHOICE = PictureChoice(PictureCodec.JPEG, 25, 640)
SUBSCRIBE = (
    '{"type":"frames.subscribe","video":{"codec":"jpeg","max_fps":25,"max_width":640},"audio":{}}'
)


@pytest.fixture
async def world() -> World:
    """Return a world of one process."""
    return World()


@pytest.fixture
async def app(world: World) -> AsyncIterator[FastAPI]:
    """Run the application in it."""
    async with served(world) as running:
        yield running


class Watching:
    """A socket whose client watches, and the room it watches."""

    def __init__(self, world: World, socket: RawSocket, serving: asyncio.Task[None]) -> None:
        self.world = world
        self.socket = socket
        self.serving = serving

    @classmethod
    async def begin(cls, world: World, app: FastAPI) -> Watching:
        """Connect and subscribe."""
        runner = await new_session(app)
        socket = RawSocket(app, runner.session_id)
        watching = cls(world, socket, asyncio.create_task(socket.run()))
        socket.client_sends(SUBSCRIBE)
        await settle()
        return watching

    async def see(self, *, picture: bytes = b"jpeg") -> None:
        """Let 40 ms pass, with a picture and two pieces of sound."""
        now = wall_us(self.world.clock)
        self.world.room.show(Picture(CHOICE, 64, 48, picture, now))
        for part in range(2):
            self.world.room.show(Sound(bytes(960), 24_000, now + part * 20_000))
        await self.world.clock.run(40 * MS)


async def test_frames_are_binary_messages(app: FastAPI, world: World) -> None:
    """A client gets the header and the payload as one message."""
    runner = await new_session(app)
    async with opened(app, runner.session_id) as stream:
        await stream.socket.send_text(SUBSCRIBE)
        await stream.until("frames.subscribed")
        world.room.show(Picture(CHOICE, 64, 48, b"jpeg", 77))
        frame = await stream.socket.receive_bytes()

    assert b"jpeg" == frame[28:]
    assert 77 == FrameHeader.unpack(frame).captured_us


async def test_messages_go_before_frames(app: FastAPI, world: World) -> None:
    """What waited while the connection was full comes in this order, whichever was first."""
    watching = await Watching.begin(world, app)
    socket = watching.socket
    socket.writable.clear()
    await watching.see()
    for _ in range(3):
        await watching.see()
        world.room.say("noise")
    before = len(socket.outbox)
    socket.writable.set()
    await settle()
    kinds = ["text" if "text" in message else "frame" for message in socket.outbox[before:]]
    socket.end(1000)
    await watching.serving

    assert ["text", "text", "text", *["frame"] * 9] == kinds


async def test_slow_reader_gets_the_newest_picture(app: FastAPI, world: World) -> None:
    """Who takes one message now and then gets pictures of that moment; the gaps are flagged."""
    watching = await Watching.begin(world, app)
    socket = watching.socket
    taken_at = []

    def stop(message: Message) -> None:
        if "bytes" in message and message["bytes"][1] == 1:
            socket.writable.clear()
            taken_at.append((wall_us(world.clock), FrameHeader.unpack(message["bytes"])))

    socket.on_send = stop
    for number in range(50):
        await watching.see()
        if number % 10 == 9:
            socket.writable.set()
            await settle()
    socket.end(1000)
    await watching.serving

    assert [0, *[SKIPPED] * 5] == [header.flags for _, header in taken_at]
    assert {True} == {now - header.captured_us <= 80_000 for now, header in taken_at}


async def test_message_does_not_overtake_one_that_waited(app: FastAPI, world: World) -> None:
    """What comes up when the connection takes messages again is behind what waited for that."""
    watching = await Watching.begin(world, app)
    socket = watching.socket
    socket.writable.clear()
    world.room.say("first")
    await settle()
    socket.writable.set()
    world.room.say("second")
    await settle()
    socket.end(1000)
    await watching.serving
    said = [told["event"]["event_type"] for told in socket.texts if told["type"] == "tavus.event"]

    assert ["first", "second"] == said[-2:]


async def test_message_sent_at_once_is_waited_for_too(app: FastAPI, world: World) -> None:
    """A peer that does not take the last message is dropped 10 s later, though none follows."""
    watching = await Watching.begin(world, app)
    socket = watching.socket
    socket.on_send = lambda _message: socket.writable.clear()
    world.room.say("noise")
    await world.clock.run(9 * S)
    alive = not socket.aborted
    await world.clock.run(2 * S)
    aborted = socket.aborted
    socket.end(1006)
    await watching.serving

    assert alive
    assert aborted


async def test_large_frame_on_a_slow_line_is_no_reason_to_be_dropped(
    app: FastAPI, world: World
) -> None:
    """As long as something of it goes, the peer lives; when nothing goes for 10 s it does not."""
    watching = await Watching.begin(world, app)
    socket = watching.socket
    socket.on_send = lambda message: socket.writable.clear() if "bytes" in message else None
    socket.left = 1_000_000
    await watching.see()
    for _ in range(6):
        await world.clock.run(9 * S)
        socket.left -= 1000
    alive = not socket.aborted
    await world.clock.run(20 * S)
    await watching.serving

    assert alive
    assert socket.aborted


async def test_who_never_reads_is_dropped_and_cost_little(app: FastAPI, world: World) -> None:
    """10 s after the last byte went it is over; until then no more waits than before."""
    watching = await Watching.begin(world, app)
    socket = watching.socket
    (runner,) = app.state.registry.live()
    (viewer,) = runner.frames._viewers
    socket.writable.clear()
    waiting = []
    for _ in range(249):
        await watching.see(picture=bytes(1000))
        waiting.append(len(viewer.queue))
    alive = not socket.aborted
    await world.clock.run(S)
    await watching.serving

    assert alive
    assert socket.aborted
    assert max(waiting) <= 27
    assert [] == list(runner.frames._viewers)
    assert not world.room.watched[-1]
