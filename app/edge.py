"""The edge: uvicorn with our own manners towards sockets, signals and silent peers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.protocol import Protocol, State
from websockets.streams import StreamReader

from app.api.inlet import INLET, Take
from app.api.packets import may_begin_packet, read_packet
from app.api.writer import OUTLET
from app.settings import Settings

MAX_MESSAGE_BYTES = 2_097_152
"""The longest WebSocket message taken; a longer one closes with 1009."""

PING_S = 20.0
"""Between two WebSocket pings, and the longest wait for a pong."""

_UNSENT_BYTES = 65_536
"""What the kernel takes of one connection before the network does: with more, the newest picture
would wait behind older ones there."""

_UNACKED_MS = 20_000
"""How long the kernel keeps a connection whose peer takes nothing; the same as for a pong."""

_SHUTDOWN_S = 2
"""For open connections once the sessions have ended; what is left then never reads."""

_KEEP_ALIVE_S = 75
"""How long an idle HTTP connection stays open: longer than its user keeps it (httpx: 5 s, nginx:
60 s), who would else send a request into its end. uvicorn's own number is 5."""

_BACKLOG = 2048
"""Connections the kernel may hold for us; uvicorn's own number."""

log = logging.getLogger(__name__)


class EdgeWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, plus a quick way in, a way to end it, and the truth about its end."""

    take: Take | None = None
    """Who gets packets where they arrive."""

    _held = b""
    """The first part of a packet."""

    _is_between = False
    """The parser has nothing of a message, nor of any frame."""

    _is_awaited = False
    """The application has done what it had to do for the message before, and asks for another."""

    def data_received(self, data: bytes) -> None:
        """Bring packets to who takes them, unless something waits before them; parse the rest."""
        if self._held:
            data, self._held = self._held + data, b""
        is_idle = self._is_between and self._is_awaited and self.queue.empty()
        if is_idle and self.take is not None and not self.close_sent:
            data = self._take_packets(data, self.take)
        if data:
            super().data_received(data)
            self._is_between = _is_between_messages(self.conn)

    def _take_packets(self, data: bytes, take: Take) -> bytes:
        """Bring packets to ``take`` until it wants no more; returns the rest."""
        at = 0
        packet = read_packet(data, at)
        while packet is not None:
            payload, end = packet
            packet = read_packet(data, end) if end < len(data) else None
            if not take(payload, packet is not None):
                return data[at:]
            at = end
        rest = data[at:]
        if rest and may_begin_packet(rest):
            self._held = rest
            return b""
        return rest

    async def receive(self) -> ASGIReceiveEvent:
        """Give the next message that nobody took where it arrived."""
        self._is_awaited = True
        try:
            return await super().receive()
        finally:
            self._is_awaited = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell a lost connection as 1006; uvicorn says 1005, as if a close frame had come."""
        if self.conn.close_rcvd is None:
            self.handshake_complete = False  # uvicorn takes the code from this, then sets it
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Drop a peer that sent no pong; uvicorn waits until it has read all that was sent."""
        super().keepalive_timeout()
        self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; text that is no UTF-8 ends the connection.

        That is the peer's mistake, and no error of ours as uvicorn logs it.
        """
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def send(self, message: ASGISendEvent) -> None:
        """Send. Raises OSError, as for a lost connection, for one that was closed over its head.

        An upgrade that is refused is answered, and no error as uvicorn has it.
        """
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Hand the application the quick way in, and the way out: how full it is, how to end it."""
        # Writing counts as paused while anything is left that the kernel did not take.
        self.transport.set_write_buffer_limits(high=0)
        ways = {INLET: self, OUTLET: _Outlet(self)}
        self.scope["extensions"].update(ways)  # type: ignore[arg-type]
        await super().run_asgi()


def _is_between_messages(conn: Protocol) -> bool:
    """Whether the parser waits for the first byte of a message.

    Its buffer does not say so: a header that came by itself is out of it already. Only between two
    frames the parser asks whether there is an end.
    """
    waits_in: Any = conn.parser
    while waits_in.gi_yieldfrom is not None:
        waits_in = waits_in.gi_yieldfrom
    return conn.current_size is None and waits_in.gi_code is StreamReader.at_eof.__code__


class _Outlet:
    """One connection's ``Outlet``."""

    def __init__(self, socket: EdgeWebSocket) -> None:
        self._socket = socket
        self._transport = socket.transport

    def waiting(self) -> int:
        return self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        writable = self._socket.writable
        while not writable.is_set():  # nor may it have been filled again since it was told so
            await writable.wait()

    def send_now(self, text: str) -> bool:
        socket, conn = self._socket, self._socket.conn
        if not socket.writable.is_set() or socket.close_sent or socket.disconnected:
            return False
        if conn.state is not State.OPEN:
            return False
        conn.send_text(text.encode())
        self._transport.write(b"".join(conn.data_to_send()))
        return True

    def abort(self) -> None:
        self._transport.abort()


class EdgeServer(uvicorn.Server):
    """uvicorn's server without its signal handlers, which close all sockets before we can drain.

    ``started`` is true between start-up and shutdown; set ``should_exit`` to end ``serve``.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say where to find us. Raises SystemExit when the application cannot."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)


def edge_server(app: ASGIApp, settings: Settings) -> EdgeServer:
    """Make the server for ``app``; run it with ``serve(sockets=[listen(...)])``."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws=EdgeWebSocket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=settings.log_level == "debug",
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
        backlog=_BACKLOG,
    )
    return EdgeServer(config)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes a free one. Raises OSError when it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only; accepted connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKED_MS)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux and macOS
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    listener.setblocking(False)
    return listener
