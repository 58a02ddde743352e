"""One callback at the earliest of many moments."""

from __future__ import annotations

from collections.abc import Callable

from app.runtime.clock import Handle

CallAt = Callable[[int, Callable[[], None]], Handle]
"""``Clock.call_at``, or what stands before it."""


class Alarm:
    """Rings once for each ``set``, at its moment or earlier: who hears it looks what is due."""

    def __init__(self, call_at: CallAt, ring: Callable[[], None]) -> None:
        """Make one that is not set."""
        self._call_at = call_at
        self._ring = ring
        self._handle: Handle | None = None
        self._at = 0

    def set(self, at: int | None) -> None:
        """Ring at ``at``, or never.

        One that is set for an earlier moment stays: to ring early is harmless, and to set a timer
        anew for every packet is not cheap.
        """
        if self._handle is not None:
            if at is not None and self._at <= at:
                return
            self.stop()
        if at is not None:
            self._at = at
            self._handle = self._call_at(at, self._fire)

    def stop(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._ring()
