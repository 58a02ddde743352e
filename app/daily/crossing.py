"""The one way from the SDK's threads to the event loop: bounded, and closed for good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")

LIMIT = 1000
"""Events that may wait for the loop; a room says a few a second."""


class Crossing:
    """One room's. What comes after ``close`` is dropped, and what is too much."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = LIMIT) -> None:
        """Lead to ``loop``; at most ``limit`` calls wait there."""
        self._loop = loop
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        self.dropped = 0
        """Calls that were too much."""

    def post(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, vital: bool = False
    ) -> None:
        """Call ``callback`` on the loop, from any thread.

        A ``vital`` call is never too much: whoever makes one has bounded how many there can be.
        """
        with self._lock:
            if self._closed:
                return
            if self._waiting >= self._limit and not vital:
                self.dropped += 1
                return
            self._waiting += 1
            try:
                self._loop.call_soon_threadsafe(self._arrive, callback, *args)
            except RuntimeError:  # the loop is closed: nobody will listen again
                self._closed = True

    def close(self) -> None:
        """Let nothing across any more, what waits included; on the loop."""
        with self._lock:
            self._closed = True

    def _arrive(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        with self._lock:
            self._waiting -= 1
            closed = self._closed
        if not closed:
            callback(*args)
