"""What a session says, to everybody who listens: events, never media.

Every message is encoded once. Messages about the session are numbered and kept in a ring, so that a
connection that was lost can be told what it missed, all of it or nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque

from app.core import wire_out as out
from app.runtime.clock import Clock

RING = 1000
"""How many of the session's last messages can be replayed."""

MAX_WAITING = 1000
"""A connection that lets more messages than this wait is dropped."""

MAX_WAITING_PROGRESS = 100
"""Progress is left out for a connection with more messages than this waiting."""


class Subscription:
    """One connection's messages, in order, and how it is to be closed."""

    def __init__(self, clock: Clock) -> None:
        """Make one that nothing is said to yet."""
        self._clock = clock
        self._waiting: deque[str] = deque()
        self._wake = asyncio.Event()
        self.close_code: int | None = None
        """Set once nothing more will be said."""

    def tell(self, message: out.ServerMessage) -> None:
        """Say something to this connection alone."""
        if isinstance(message, out.PlaybackProgress) and len(self._waiting) > MAX_WAITING_PROGRESS:
            return
        self.put(out.encode(message, ts_ms=self._clock.wall_ms()))

    def put(self, text: str) -> None:
        """Add an encoded message; too many waiting close the connection with 4508."""
        if self.close_code is not None:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.clear()
            self.close(4508)
            return
        self._waiting.append(text)
        self._wake.set()

    def close(self, code: int) -> None:
        """Say nothing more; ``take`` still hands out what waits."""
        if self.close_code is None:
            self.close_code = code
            self._wake.set()

    async def take(self) -> list[str]:
        """Wait for messages and take them all; empty once closed and drained."""
        while not self._waiting and self.close_code is None:
            self._wake.clear()
            await self._wake.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class Bus:
    """One session's messages."""

    def __init__(self, clock: Clock) -> None:
        """Make one that nobody listens to."""
        self._clock = clock
        self._listeners: set[Subscription] = set()
        self._ring: deque[tuple[int, str]] = deque(maxlen=RING)
        self._closed: int | None = None
        self.seq = 0
        """The number of the last message."""

    def subscribe(self) -> Subscription:
        """Listen from now on."""
        subscription = Subscription(self._clock)
        self._listeners.add(subscription)
        if self._closed is not None:
            subscription.close(self._closed)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening; the second time does nothing."""
        self._listeners.discard(subscription)

    def missed(self, seq: int) -> list[str] | None:
        """The messages after number ``seq``; None when they are not all held."""
        if seq > self.seq or (self.seq > seq and (not self._ring or self._ring[0][0] > seq + 1)):
            return None
        return [text for number, text in self._ring if number > seq]

    def publish(self, message: out.SessionMessage) -> None:
        """Say something about the session to everybody. Nothing is said after ``close``."""
        if self._closed is not None:
            return
        self.seq += 1
        text = out.encode(message, ts_ms=self._clock.wall_ms(), seq=self.seq)
        self._ring.append((self.seq, text))
        for listener in tuple(self._listeners):
            listener.put(text)

    def close(self, code: int) -> None:
        """Close every connection with ``code`` once it has been told everything."""
        if self._closed is None:
            self._closed = code
            for listener in tuple(self._listeners):
                listener.close(code)
