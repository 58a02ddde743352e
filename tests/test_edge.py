from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from app.api.inlet import offered
from app.api.writer import OUTLET, Outlet
from app.edge import MAX_MESSAGE_BYTES, edge_server, listen
from tests.support.edge import serving, settings_with
from tests.support.processes import until

SETTINGS = settings_with()

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
"""How a client begins that is written by hand."""


def websocket_app(handler: Callable[[WebSocket], Awaitable[None]]) -> Starlette:
    """Make an application whose every WebSocket is accepted and given to ``handler``."""

    async def endpoint(ws: WebSocket) -> None:
        await ws.accept()
        await handler(ws)

    return Starlette(routes=[WebSocketRoute("/", endpoint)])


class Ends:
    """Reads each WebSocket to its end and keeps the close codes it was told."""

    def __init__(self) -> None:
        self.codes: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, ws: WebSocket) -> None:
        try:
            while True:
                await ws.receive_text()
        except WebSocketDisconnect as end:
            await self.codes.put(end.code)


async def test_lost_connection_is_told_as_1006() -> None:
    """A connection that breaks without a close frame is no clean close."""
    async with serving(websocket_app(ends := Ends()), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None)
        client.transport.abort()

        assert 1006 == await ends.codes.get()


@pytest.mark.parametrize("code", [1000, 1001, 4999])
async def test_close_frame_keeps_its_code(code: int) -> None:
    """A clean close arrives with the client's own code."""
    async with serving(websocket_app(ends := Ends()), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None)
        await client.close(code)

        assert code == await ends.codes.get()


async def test_close_frame_without_code_is_told_as_1005() -> None:
    """An empty close frame is a clean close, and stays apart from a lost connection."""
    async with serving(websocket_app(ends := Ends()), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None)
        client.protocol.send_close()
        client.transport.writelines(client.protocol.data_to_send())

        assert 1005 == await ends.codes.get()
        await client.wait_closed()


class Both:
    """Takes some messages where they arrive and reads the others; keeps all in their order."""

    def __init__(self) -> None:
        self.got: list[bytes | str] = []
        self.taken = 0
        self.promises = 0
        self.is_promised = False
        """Another message is to be offered before anything else happens."""
        self.over = asyncio.Event()

    def take(self, data: bytes, more: bool) -> bool:  # as ``Take`` says
        self.promises += more
        self.is_promised = more
        if data.startswith(b"no"):
            self.is_promised = False
            return False
        self.taken += 1
        self.got.append(data)
        return True

    def has(self, count: int) -> bool:
        return len(self.got) == count

    async def __call__(self, ws: WebSocket) -> None:
        with offered(ws.scope, self.take):
            while (message := await ws.receive())["type"] == "websocket.receive":
                assert not self.is_promised
                data = message.get("bytes")
                self.got.append(message["text"] if data is None else data)
                await asyncio.sleep(0)
        self.over.set()


def some_message(chance: random.Random) -> tuple[bytes | str, bytes]:
    """What is said, and the frames it is said in."""
    payload = chance.randbytes(chance.choice([0, 1, 3, 640, 3000]))
    match chance.randrange(8):
        case 0:
            return payload.hex(), Frame(Opcode.TEXT, payload.hex().encode()).serialize(mask=True)
        case 1:
            payload = b"no" + payload
        case 2:
            parts = (
                Frame(Opcode.BINARY, b"in", fin=False).serialize(mask=True),
                Frame(Opcode.CONT, payload).serialize(mask=True),
            )
            return b"in" + payload, b"".join(parts)
    return payload, Frame(Opcode.BINARY, payload).serialize(mask=True)


@pytest.mark.parametrize("seed", range(5))
async def test_two_ways_in_keep_one_order(seed: int) -> None:
    """However the bytes are cut, every message comes once, in its place, by either way."""
    chance = random.Random(seed)  # nobody is to be kept from guessing
    both = Both()
    sent: list[bytes | str] = []
    async with serving(websocket_app(both), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None)
        for _ in range(40):
            said, frames = zip(*(some_message(chance) for _ in range(10)), strict=True)
            sent += said
            stream = b"".join(frames)
            while stream:
                cut = chance.choice([1, 2, 7, 100, 648, 5000, 50_000])
                client.transport.write(stream[:cut])
                stream = stream[cut:]
                await asyncio.sleep(0)
            await until("all has come", partial(both.has, len(sent)))
        await client.close()
        await both.over.wait()

    assert sent == both.got
    assert 10 < both.taken < 300
    assert both.promises


async def test_packet_waits_for_the_message_before_it() -> None:
    """Nothing is taken while the application has still to do with a message that it has read."""
    both, asked, done = Both(), asyncio.Event(), asyncio.Event()

    async def ponder(ws: WebSocket) -> None:
        with offered(ws.scope, both.take):
            text = await ws.receive_text()
            asked.set()
            await done.wait()
            both.got.append(text)
            await both(ws)

    async with serving(websocket_app(ponder), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None)
        await client.send("text")
        await asked.wait()
        await client.send(b"packet")
        await (await client.ping())  # its pong: the server has read so far
        done.set()
        await until("all has come", partial(both.has, 2))
        await client.close()
        await both.over.wait()

    assert ["text", b"packet"] == both.got


async def test_rest_of_a_message_is_no_packet() -> None:
    """What follows a header that came by itself belongs to it, even if it begins as a packet."""
    both, text = Both(), b"a text of more than a packet"
    mask = bytes([text[0] ^ 0x82, text[1] ^ 0x80, 0, 0])
    header = bytes([0x81, 0x80 | len(text)]) + mask
    payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    async with serving(websocket_app(both), SETTINGS) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(Frame(Opcode.PING, b"").serialize(mask=True) + header)
        await reader.readexactly(2)  # its pong: the server has read so far
        writer.write(payload + Frame(Opcode.BINARY, b"in").serialize(mask=True))
        await until("all has come", partial(both.has, 2))
        writer.close()
        await both.over.wait()

    assert [text.decode(), b"in"] == both.got


async def test_peer_that_never_reads_can_be_dropped() -> None:
    """The application can end a connection that is stuck in a full buffer."""
    stuck, dropped = asyncio.Event(), asyncio.Event()

    async def flood(ws: WebSocket) -> None:
        try:
            while True:
                async with asyncio.timeout(0.2):
                    await ws.send_bytes(bytes(1 << 20))
        except TimeoutError:
            stuck.set()
        outlet = ws.scope["extensions"][OUTLET]
        assert outlet.waiting() > 0
        outlet.abort()
        await outlet.drained()
        with pytest.raises(WebSocketDisconnect):
            await ws.send_bytes(b"gone")
        dropped.set()

    async with serving(websocket_app(flood), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None, max_queue=1)
        await stuck.wait()
        await dropped.wait()
        client.transport.abort()
        await client.wait_closed()


async def test_drained_waits_for_the_reader() -> None:
    """Drained means that nothing waits in this process any more: only a reader brings it about."""
    sent, stuck, left = 0, asyncio.Event(), -1

    async def push(ws: WebSocket) -> None:
        nonlocal left, sent
        outlet: Outlet = ws.scope["extensions"][OUTLET]
        try:
            while True:
                sent += 1
                await ws.send_bytes(bytes(1 << 20))
                async with asyncio.timeout(0.2):
                    await outlet.drained()
        except TimeoutError:
            stuck.set()
        await outlet.drained()
        left = outlet.waiting()
        await ws.close()

    async with serving(websocket_app(push), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None, max_queue=1)
        await stuck.wait()
        got = [len(message) async for message in client]

    assert [1 << 20] * sent == got
    assert 0 == left


async def test_message_goes_at_once_while_nothing_waits() -> None:
    """A message sent now stands before what is sent later; one that must wait is left alone."""
    tries: list[bool] = []

    async def push(ws: WebSocket) -> None:
        outlet: Outlet = ws.scope["extensions"][OUTLET]
        tries.append(outlet.send_now("first"))
        await ws.send_text("second")
        while not outlet.waiting():
            await ws.send_bytes(bytes(1 << 20))
        tries.append(outlet.send_now("too early"))
        await outlet.drained()
        tries.append(outlet.send_now("last"))
        await ws.close()
        tries.append(outlet.send_now("too late"))

    async with serving(websocket_app(push), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None, max_queue=1)
        got = [message async for message in client]

    assert [True, False, True, False] == tries
    assert ["first", "second", "last"] == [text for text in got if isinstance(text, str)]
    assert "last" == got[-1]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x82\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8) + b"\0\0\0\0", 1009),
        (b"\x83\x80\0\0\0\0", 1002),
    ],
    ids=["no UTF-8", "too big", "unknown opcode"],
)
async def test_what_a_peer_does_wrong_is_no_error_of_ours(
    frame: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection closed over the application's head is gone for it, also while it sends."""
    gone = asyncio.Event()

    async def talk(ws: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await ws.send_text("news")
                await asyncio.sleep(0)
        gone.set()

    async with serving(websocket_app(talk), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None)
        client.transport.write(frame)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.recv()
        await gone.wait()

    assert code == client.close_code
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_refused_upgrade_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Who is refused reads why, and the log has nothing to complain about."""

    async def refuse(ws: WebSocket) -> None:
        await ws.send_denial_response(PlainTextResponse("no", 404))

    app = Starlette(routes=[WebSocketRoute("/", refuse)])
    async with serving(app, SETTINGS) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}", proxy=None)

    assert (404, b"no") == (refused.value.response.status_code, refused.value.response.body)
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_peer_without_pong_is_dropped() -> None:
    """A peer that answers no ping is told off the line, although it does not read either."""
    async with serving(websocket_app(ends := Ends()), SETTINGS, ping_s=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)

        assert 1006 == await ends.codes.get()
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_message_over_the_limit_closes_with_1009() -> None:
    """The longest message passes, one byte more is too big."""

    async def measure(ws: WebSocket) -> None:
        async for message in ws.iter_bytes():
            await ws.send_text(str(len(message)))

    async with serving(websocket_app(measure), SETTINGS) as port:
        client = await connect(f"ws://127.0.0.1:{port}", proxy=None, compression="deflate")
        await client.send(bytes(MAX_MESSAGE_BYTES))
        assert str(MAX_MESSAGE_BYTES) == await client.recv()
        assert [] == client.protocol.extensions

        await client.send(bytes(MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()

    assert closed.value.rcvd is not None
    assert 1009 == closed.value.rcvd.code


async def test_answers_do_not_name_the_server() -> None:
    """No header tells which server and version this is."""
    async with serving(_addresses(), SETTINGS) as port, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/")

    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("trusted", "seen"), [("127.0.0.1", "https 203.0.113.9"), ("192.0.2.1", "http 127.0.0.1")]
)
async def test_only_trusted_proxies_are_believed(trusted: str, seen: str) -> None:
    """Forwarded addresses count when they come from a proxy that the settings name."""
    settings = settings_with(trusted_proxies=trusted)
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    async with serving(_addresses(), settings) as port, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/", headers=headers)

    assert seen == answer.text


def test_idle_connection_outlives_its_users_patience() -> None:
    """Who reuses a connection must not meet its end: proxies keep theirs for 60 s."""
    assert 60 < edge_server(_nothing, settings_with()).config.timeout_keep_alive


async def _nothing(*_: object) -> None:
    """Be an application."""


def test_listening_socket_gives_up_on_silent_peers() -> None:
    """Connections inherit the kernel's limit for what a peer does not acknowledge."""
    with listen("127.0.0.1", 0) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                limit = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert 20_000 == limit


def test_taken_port_is_an_error() -> None:
    """Two listeners cannot share a port."""
    with listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use") as error:
        listen("127.0.0.1", first.getsockname()[1])

    assert errno.EADDRINUSE == error.value.errno


def test_ipv6_host_is_understood() -> None:
    """A host with colons is an IPv6 address."""
    try:
        listener = listen("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert socket.AF_INET6 == listener.family


def _addresses() -> Starlette:
    async def show(request: Request) -> PlainTextResponse:
        assert request.client is not None
        return PlainTextResponse(f"{request.url.scheme} {request.client.host}")

    return Starlette(routes=[Route("/", show)])
