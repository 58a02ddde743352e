"""Picture and sound of a sandbox room: a link of its own beside the one for messages.

It is made when something is wanted for the first time, and made again when it is lost. The sandbox
renders only what we ask for; what we cannot read in time it drops, as Daily would.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.core.media import RawPicture, Sound, Wants
from app.core.media_clock import MediaClock
from app.runtime.clock import NS_PER_S, Clock, wall_us
from app.runtime.encoders import Encoders
from app.runtime.room import ReportMedia
from app.runtime.tasks import Tasks

CONNECT_TIMEOUT_S = 5.0

CLOSE_TIMEOUT_S = 2.0
"""Longest wait for the closing handshake; then the connection is dropped."""

RETRY_NS = NS_PER_S
"""Between two attempts: a room whose media cannot be had may still be spoken in."""

MAX_BYTES = 4 * 1024 * 1024
"""Largest message: 1920x1080 as I420 is 3.1 MB."""

MAX_WAITING = 4
"""Messages that wait for our attention; the others wait at the sandbox, which drops old ones."""

HEADER = struct.Struct("!BBHHHIQ")
PICTURE, SOUND, PERSON = 1, 2, 3
"""Kinds of messages."""


class SandboxMedia:
    """What one sandbox room gives to those who watch."""

    def __init__(
        self, url: str, show: ReportMedia, encoders: Encoders, clock: Clock, tasks: Tasks
    ) -> None:
        """Want nothing. ``url`` is the media link's, credentials included."""
        self._url = url
        self._show = show
        self._encoder = encoders.encoder(show)
        self._clock = clock
        self._tasks = tasks
        self._wants = Wants()
        self._changed = asyncio.Event()
        self._linking: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, wants: Wants) -> None:
        """Fetch this from now on; nothing after ``close``."""
        if self._closed:
            return
        self._wants = wants
        self._encoder.watch(wants.pictures)
        self._changed.set()
        if wants and self._linking is None:
            self._linking = self._tasks.spawn("media-link", self._link())

    def close(self) -> None:
        """Let go of the link; nothing is shown any more."""
        self.watch(Wants())
        self._closed = True
        self._encoder.close()
        if self._linking is not None:
            self._linking.cancel()

    async def _link(self) -> None:
        """Hold the link until cancelled."""
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                async with connect(
                    self._url,
                    compression=None,
                    max_size=MAX_BYTES,
                    max_queue=MAX_WAITING,
                    open_timeout=CONNECT_TIMEOUT_S,
                    close_timeout=CLOSE_TIMEOUT_S,
                    proxy=None,
                ) as connection:
                    await self._follow(connection)
            await self._clock.sleep_until(self._clock.now() + RETRY_NS)

    async def _follow(self, connection: ClientConnection) -> None:
        """Read until the link ends."""
        asking = self._tasks.spawn("media-wishes", self._ask(connection))
        media_clock = MediaClock()
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    self._take(message, media_clock)
        finally:
            asking.cancel()

    async def _ask(self, connection: ClientConnection) -> None:
        """Say what is wanted, now and whenever it changes."""
        with suppress(WebSocketException):  # the reader sees the end of the link
            while True:
                self._changed.clear()
                wants = self._wants
                operation = {
                    "op": "watch",
                    "video": bool(wants.pictures),
                    "audio": wants.sound,
                    "people": wants.people,
                }
                await connection.send(msgspec.json.encode(operation).decode())
                await self._changed.wait()

    def _take(self, message: bytes, media_clock: MediaClock) -> None:
        """Take one message; what cannot be understood is left out."""
        if len(message) < HEADER.size:
            return
        kind, length, width, height, _, rate, captured_us = HEADER.unpack_from(message)
        captured_us = media_clock.map(captured_us, wall_us(self._clock))
        start = HEADER.size + length
        payload = memoryview(message)[start:]
        if kind == PICTURE:
            self._encoder.take(RawPicture(width, height, payload, captured_us))
        elif kind == SOUND and self._wants.sound:
            self._show(Sound(bytes(payload), rate, captured_us))
        elif kind == PERSON and self._wants.people:
            name = message[HEADER.size : start].decode(errors="replace")
            self._show(Sound(bytes(payload), rate, captured_us, name))
