"""A subject that serves, however it does."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

import uvicorn


class Running(Protocol):
    """A server that accepts connections."""

    port: int

    async def stop(self) -> None:
        """Close every connection and return."""
        ...


class Uvicorn:
    """A uvicorn server that runs as a task."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        """Run ``server`` on ``listener``."""
        self.port: int = listener.getsockname()[1]
        self._server = server
        self._task = asyncio.create_task(server.serve(sockets=[listener]))

    async def started(self) -> None:
        """Return when it serves. Raises what kept it from that."""
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the server has ended before it began")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Close every connection and return."""
        self._server.should_exit = True
        await self._task


def listen() -> socket.socket:
    """Open a listening socket on loopback, at a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setblocking(False)
    return listener
