"""The sending half of a stream: messages first, frames while none waits, then the close.

A message goes where it comes up, while the connection takes it at once. Others wait for a task,
which chooses nothing before the connection can take it: what was sent must have left this process.
So a frame is the newest at the moment it goes out, and a message waits for no more than one frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, cast

from fastapi import WebSocket, WebSocketDisconnect

from app.runtime.bus import Subscription
from app.runtime.clock import NS_PER_S, Clock, Handle

SEND_NS = 10 * NS_PER_S
"""A peer that takes nothing for this long is dropped; the contract's number."""

OUTLET = "avatar_bridge.outlet"
"""In a WebSocket scope's ``extensions``: the connection's ``Outlet``."""


class Outlet(Protocol):
    """What a server knows about the way out of a connection, and ASGI does not tell."""

    def waiting(self) -> int:
        """Bytes sent that are still in this process."""
        ...

    async def drained(self) -> None:
        """Return when none are, or when the connection is lost."""
        ...

    def send_now(self, text: str) -> bool:
        """Send a message, unless something waits to be sent or the connection is ending."""
        ...

    def abort(self) -> None:
        """Drop the connection without waiting for what its peer does not read."""
        ...


class Unknown:
    """The ``Outlet`` of a server that has none."""

    def waiting(self) -> int:
        """Say none."""
        return 0

    async def drained(self) -> None:
        """Believe it."""

    def send_now(self, text: str) -> bool:  # noqa: ARG002  # nobody knows
        """Leave it to the server."""
        return False

    def abort(self) -> None:
        """Leave it to the server."""


class Writer:
    """Sends to one client."""

    def __init__(self, socket: WebSocket, clock: Clock) -> None:
        """Send through an accepted ``socket``."""
        self._socket = socket
        self._clock = clock
        extensions = socket.scope.get("extensions") or {}
        self._outlet = cast("Outlet", extensions.get(OUTLET) or Unknown())

    async def run(self, subscription: Subscription) -> None:
        """Send until all is said, then close; a peer that takes nothing is dropped."""
        subscription.send_now = partial(self._send_now, subscription)
        try:
            async with self._patience() as patience:
                drained = partial(self._drained, patience)
                while (item := await subscription.take(drained)) is not None:
                    with patience:
                        if isinstance(item, str):
                            await self._socket.send_text(item)
                        else:
                            await self._socket.send_bytes(item)
        except TimeoutError:
            self._outlet.abort()
        except WebSocketDisconnect:  # the reader is told, too
            pass
        else:
            await self.close(subscription.close_code or 1000)

    def _send_now(self, subscription: Subscription, text: str) -> bool:
        """Send a message where it comes up; what of it does not go at once is waited for."""
        is_sent = self._outlet.send_now(text)
        if is_sent and self._outlet.waiting():
            subscription.wake()
        return is_sent

    async def _drained(self, patience: _Patience) -> None:
        if self._outlet.waiting():
            with patience:
                await self._outlet.drained()

    async def close(self, code: int) -> None:
        """Close with ``code``, or drop who does not even take that."""
        try:
            async with self._patience() as patience:
                with patience:
                    await self._socket.close(code)
        except TimeoutError:
            self._outlet.abort()
        except (WebSocketDisconnect, RuntimeError):  # starlette's word for one closed already
            pass

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[_Patience]:
        """Raise TimeoutError in what takes too long under the ``_Patience`` that is given."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            patience = _Patience(self._clock, self._outlet, lambda: limit.reschedule(loop.time()))
            try:
                yield patience
            finally:
                patience.end()


class _Patience:
    """Calls ``lose`` when, while it is entered, the peer has taken nothing for ``SEND_NS``.

    One that takes a large frame slowly is no such peer. Nearly every message goes at once, so the
    alarm is not set for each: one that rings early looks what it should have waited for.
    """

    def __init__(self, clock: Clock, outlet: Outlet, lose: Callable[[], None]) -> None:
        self._clock = clock
        self._outlet = outlet
        self._lose = lose
        self._since: int | None = None
        """When something was begun, or seen to move; None while nothing is waited for."""
        self._left = 0
        self._alarm: Handle | None = None

    def __enter__(self) -> None:
        self._since = self._clock.now()
        self._left = self._outlet.waiting()
        if self._alarm is None:
            self._alarm = self._clock.call_at(self._since + SEND_NS, self._look)

    def __exit__(self, *_: object) -> None:
        self._since = None

    def end(self) -> None:
        """Never call again."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _look(self) -> None:
        self._alarm = None
        if self._since is None:
            return
        now = self._clock.now()
        if now >= self._since + SEND_NS:
            before, self._left = self._left, self._outlet.waiting()
            if self._left >= before:
                self._lose()
                return
            self._since = now
        self._alarm = self._clock.call_at(self._since + SEND_NS, self._look)
