"""What a session says, to everybody who listens: events, never media.

Every message is encoded once. Messages about the session are numbered and kept in a ring, so that a
connection that was lost can be told what it missed, all of it or nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from app.core import wire_out as out
from app.runtime.clock import Clock

RING = 800
"""How many of the session's last messages can be replayed: a replay must not fill a connection."""

MAX_WAITING = 1000
"""A connection that lets this many messages wait is dropped; the contract's number."""

BURST_NS = 100_000_000
"""What comes within this time may go beyond that, up to twice as much: an interrupt can tell of a
thousand marks at once, and that is not the reader's fault."""

MAX_WAITING_PROGRESS = 100
"""Progress is left out for a connection with this many messages waiting."""

TOO_SLOW = 4508
"""How a connection is closed that lets too much wait."""


def no_frame() -> None:
    """Have none: nobody asked for any."""


class Subscription:
    """One connection's messages, in order, and how it is to be closed."""

    def __init__(self, clock: Clock) -> None:
        """Make one that nothing is said to yet."""
        self._clock = clock
        self._waiting: deque[str] = deque()
        self._wake = asyncio.Event()
        self._moved_at = 0
        """When something was taken last, or began to wait."""
        self.close_code: int | None = None
        """Set once nothing more will be said."""
        self.media: Callable[[], bytes | None] = no_frame
        """Where to look for a frame when no message waits: media wait elsewhere."""
        self.send_now: Callable[[str], bool] = lambda _text: False
        """Sends a message while none waits before it; False when it has to wait."""

    def tell(self, message: out.ServerMessage) -> None:
        """Say something to this connection alone."""
        if isinstance(message, out.PlaybackProgress) and len(self._waiting) >= MAX_WAITING_PROGRESS:
            return
        self.put(out.encode(message, ts_ms=self._clock.wall_ms()))

    def put(self, text: str) -> None:
        """Add an encoded message; when too many wait, none of them is said any more."""
        if self.close_code is not None:
            return
        if not self._waiting and self.send_now(text):
            return
        now = self._clock.now()
        if not self._waiting:
            self._moved_at = now
        is_burst = now - self._moved_at < BURST_NS
        if len(self._waiting) >= (2 * MAX_WAITING if is_burst else MAX_WAITING):
            self._waiting.clear()
            self.close(TOO_SLOW)
            return
        self._waiting.append(text)
        self._wake.set()

    def close(self, code: int) -> None:
        """Say nothing more; ``take`` still hands out what waits."""
        if self.close_code is None:
            self.close_code = code
            self._wake.set()

    def wake(self) -> None:
        """Look for a frame, and whether the connection is ``drained``."""
        self._wake.set()

    async def take(self, drained: Callable[[], Awaitable[None]]) -> str | bytes | None:
        """Wait for the next message, or for a frame while no message waits.

        Nothing is chosen before ``drained`` returns: then it must go out at once, or what comes up
        meanwhile overtakes it. None once all is said and the connection is to be closed.
        """
        while True:
            await drained()
            self._wake.clear()
            if self._waiting:
                self._moved_at = self._clock.now()
                return self._waiting.popleft()
            if self.close_code is not None:
                return None
            if (frame := self.media()) is not None:
                return frame
            await self._wake.wait()


class Bus:
    """One session's messages."""

    def __init__(self, clock: Clock) -> None:
        """Make one that nobody listens to."""
        self._clock = clock
        self._listeners: dict[Subscription, None] = {}
        self._ring: deque[str] = deque(maxlen=RING)
        self._closed: int | None = None
        self.seq = 0
        """The number of the last message."""

    def subscribe(self) -> Subscription:
        """Listen from now on; to a closed bus there is nothing to hear."""
        subscription = Subscription(self._clock)
        if self._closed is not None:
            subscription.close(self._closed)
        else:
            self._listeners[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening; the second time does nothing."""
        self._listeners.pop(subscription, None)

    def missed(self, seq: int) -> list[str] | None:
        """The messages after number ``seq``; None when they are not all held."""
        count = self.seq - seq
        if not 0 <= count <= len(self._ring):
            return None
        return list(self._ring)[len(self._ring) - count :]

    def publish(self, message: out.SessionMessage) -> None:
        """Say something about the session to everybody. Nothing is said after ``close``.

        Raises what ``encode`` raises; then nothing was said and no number is used up.
        """
        if self._closed is not None:
            return
        text = out.encode(message, ts_ms=self._clock.wall_ms(), seq=self.seq + 1)
        self.seq += 1
        self._ring.append(text)
        for listener in self._listeners:
            listener.put(text)

    def close(self, code: int) -> None:
        """Close every connection with ``code`` once it has been told everything."""
        if self._closed is None:
            self._closed = code
            for listener in self._listeners:
                listener.close(code)
            self._listeners.clear()
            self._ring.clear()
