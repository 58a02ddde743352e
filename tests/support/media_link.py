"""A sandbox's media link, hand-written: keeps what it is asked for and says what a test wants."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

HEADER = struct.Struct("!BBHHHIQ")


class FakeMediaLink:
    """The server's end. It sends nothing by itself."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        """The address of every connection that was made."""
        self.asked: list[dict[str, Any]] = []
        self._connection: ServerConnection | None = None
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeMediaLink]:
        """Listen on a loopback port."""
        async with serve(self._serve, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}/sandbox/rooms/c1/media?name=bridge"
            yield self

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the client does."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(condition)

    async def send(
        self,
        kind: int,
        payload: bytes,
        *,
        captured_us: int,
        size: tuple[int, int] = (0, 0),
        rate: int = 0,
        who: str = "",
    ) -> None:
        """Send one message in the form of the link."""
        name = who.encode()
        header = HEADER.pack(kind, len(name), *size, 0, rate, captured_us)
        await self.send_raw(header + name + payload)

    async def send_raw(self, message: bytes | str) -> None:
        """Send whatever."""
        assert self._connection is not None
        await self._connection.send(message)

    async def hang_up(self) -> None:
        """Close the connection."""
        assert self._connection is not None
        await self._connection.close()

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self._connection = connection
        try:
            async for text in connection:
                async with self._news:
                    self.asked.append(json.loads(text))
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        async with self._news:
            self.asked.append({"op": "gone"})
            self._news.notify_all()
