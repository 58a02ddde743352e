"""Who may send audio: one producer at a time, with its count of messages and its resume token."""

from __future__ import annotations

import hmac


class Producer:
    """A session's producer slot. Connections are numbers; times are ns."""

    def __init__(self, window: int) -> None:
        """Make an empty slot; ``window``: how long a lost producer's utterance stays open."""
        self._window = window
        self._token: str | None = None
        self._lost_at: int | None = None
        self.connection: int | None = None
        self.received = 0
        """Messages of this producer stream handled so far."""

    def take(self, connection: int, token: str) -> int | None:
        """Give the slot to a new stream; returns the connection that held it before."""
        self.received = 0
        return self._hold(connection, token)

    def knows(self, token: str) -> bool:
        """Whether this is the token of the last ``hello``."""
        return self._token is not None and hmac.compare_digest(self._token.encode(), token.encode())

    def resume(self, connection: int, token: str) -> int | None:
        """Give the slot to a connection that goes on with the stream, as ``take`` otherwise."""
        return self._hold(connection, token)

    def lose(self, connection: int, now: int, *, clean: bool) -> bool:
        """A connection is gone; True when its utterance must be closed at once.

        A connection that does not hold the slot changes nothing.
        """
        if connection != self.connection:
            return False
        self.connection = None
        self._lost_at = None if clean else now
        return clean

    def expire(self, now: int) -> bool:
        """True, once, when the producer was lost and did not come back in time."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return False
        self._lost_at = None
        return True

    def next_deadline(self) -> int | None:
        """When ``expire`` becomes true, in ns."""
        return None if self._lost_at is None else self._lost_at + self._window

    def _hold(self, connection: int, token: str) -> int | None:
        before, self.connection = self.connection, connection
        self._token = token
        self._lost_at = None
        return before
