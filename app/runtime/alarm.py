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
        self.at: int | None = None
        """When it rings, in ns; None: it is not set."""

    def set(self, at: int | None) -> None:
        """Ring at ``at``, or never."""
        if at == self.at:
            return
        self.stop()
        if at is not None:
            self.at = at
            self._handle = self._call_at(at, self._fire)

    def stop(self) -> None:
        """Do not ring."""
        self.at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = self.at = None
        self._ring()
