"""One callback at the earliest of many moments."""

from __future__ import annotations

from collections.abc import Callable

from app.runtime.clock import Handle

Callback = Callable[[], None]

CallAt = Callable[[int, Callback], Handle]
"""``Clock.call_at``, or what stands before it."""


class Alarm:
    """Rings once at the moment that was set last."""

    def __init__(self, call_at: CallAt, ring: Callable[[], None]) -> None:
        """Make one that is not set."""
        self._call_at = call_at
        self._ring = ring
        self._handle: Handle | None = None
        self._timer_at = 0
        self.at: int | None = None
        """When it rings, in ns; None: it is not set."""

    def set(self, at: int | None) -> None:
        """Ring at ``at``, or never.

        A timer for an earlier moment stays and is set anew when it ends: mostly a moment is put off
        many times before it comes.
        """
        if at is None:
            self.stop()
            return
        self.at = at
        if self._handle is not None:
            if self._timer_at <= at:
                return
            self._handle.cancel()
        self._timer_at = at
        self._handle = self._call_at(at, self._fire)

    def stop(self) -> None:
        """Do not ring."""
        self.at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        at = self.at
        if at is not None and at > self._timer_at:
            self.set(at)
            return
        self.at = None
        self._ring()
