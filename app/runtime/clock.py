"""The one source of time: monotonic nanoseconds, the wall clock, and waiting for a moment."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

NS_PER_S = 1_000_000_000


class Handle(Protocol):
    """A callback that waits for its moment."""

    def cancel(self) -> None:
        """Forget the callback; nothing happens when it ran already."""
        ...


class Clock(Protocol):
    """Time as the runtime sees it; tests hand in one that they move by hand."""

    def now(self) -> int:
        """Monotonic nanoseconds; only differences mean anything."""
        ...

    def wall(self) -> datetime:
        """Date and time, aware, UTC."""
        ...

    def wall_ms(self) -> int:
        """Unix milliseconds, rounded down."""
        ...

    async def sleep_until(self, at: int) -> None:
        """Return when ``now()`` is ``at`` or later, never before; always lets others run."""
        ...

    def call_at(self, at: int, callback: Callable[[], None]) -> Handle:
        """Call ``callback`` on the event loop when ``now()`` is ``at`` or later, never before."""
        ...


def wall_us(clock: Clock) -> int:
    """Unix microseconds."""
    return round(clock.wall().timestamp() * 1_000_000)


@asynccontextmanager
async def deadline(clock: Clock, at: int) -> AsyncIterator[None]:
    """Raise TimeoutError in what has not ended when ``clock`` says ``at``."""
    if at <= clock.now():  # no alarm beside it: a timeout that expires cannot be moved any more
        async with asyncio.timeout(0):
            yield
        return
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        alarm = clock.call_at(at, lambda: limit.reschedule(loop.time()))
        try:
            yield
        finally:
            alarm.cancel()


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.monotonic_ns)
    """Monotonic nanoseconds, on the timeline of the event loop's own clock; asked all the time."""

    def wall(self) -> datetime:
        """Date and time, aware, UTC."""
        return datetime.now(UTC)

    def wall_ms(self) -> int:
        """Unix milliseconds, rounded down."""
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at: int) -> None:
        """Return when ``now()`` is ``at`` or later."""
        await asyncio.sleep(_seconds(at - time.monotonic_ns()))
        while time.monotonic_ns() < at:  # noqa: ASYNC110  # time passing has no Event
            await asyncio.sleep(_seconds(at - time.monotonic_ns()))

    def call_at(self, at: int, callback: Callable[[], None]) -> Handle:
        """Call ``callback`` on the running event loop when ``now()`` is ``at`` or later."""
        return _Timer(asyncio.get_running_loop(), at, callback)


class _Timer:
    """A callback on the loop that goes back to sleep when the loop wakes it early.

    asyncio fires timers up to its clock resolution early and uvloop works in milliseconds, rounded,
    so one ``loop.call_later`` can come before its time.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, at: int, callback: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._at = at
        self._callback = callback
        self._handle = self._arm()

    def cancel(self) -> None:
        self._handle.cancel()

    def _arm(self) -> asyncio.Handle:
        return self._loop.call_later(_seconds(self._at - time.monotonic_ns()), self._fire)

    def _fire(self) -> None:
        if time.monotonic_ns() < self._at:
            self._handle = self._arm()
        else:
            self._callback()


def _seconds(ns: int) -> float:
    """``ns`` as seconds for the loop, in whole milliseconds, rounded up, at least 0.

    uvloop rounds to the nearest millisecond: rounding up here makes early wake-ups rare.
    """
    return max(0, math.ceil(ns / 1_000_000)) / 1000
