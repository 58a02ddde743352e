"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app.runtime.clock import Handle


@dataclass(order=True)
class FakeTimer:
    """One callback of a ``FakeClock``."""

    at: int
    number: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Forget the callback, and all that it holds."""
        self.cancelled = True
        self.callback = _nothing


def _nothing() -> None:
    """What a cancelled timer would call."""


class FakeClock:
    """Implements ``app.runtime.clock.Clock``; monotonic time and the wall move together."""

    def __init__(self, now: int = 1_000_000_000) -> None:
        """Start at ``now`` monotonic nanoseconds, noon of the first day of 2026."""
        self._start = now
        self._now = now
        self._timers: list[FakeTimer] = []
        self._made = 0

    def now(self) -> int:
        """Monotonic nanoseconds."""
        return self._now

    def wall(self) -> datetime:
        """Date and time, aware, UTC."""
        passed = timedelta(microseconds=(self._now - self._start) // 1000)
        return datetime(2026, 1, 1, 12, tzinfo=UTC) + passed

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return int(self.wall().timestamp() * 1000)

    async def sleep_until(self, at: int) -> None:
        """Return once a test has moved the time to ``at``."""
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_at(at, lambda: None if woken.done() else woken.set_result(None))
        try:
            await (woken if at > self._now else asyncio.sleep(0))
        finally:
            timer.cancel()

    def call_at(self, at: int, callback: Callable[[], None]) -> Handle:
        """Call ``callback`` when a test moves the time to ``at``; if past, on the next move."""
        self._made += 1
        timer = FakeTimer(at, self._made, callback)
        insort(self._timers, timer)
        return timer

    @property
    def waiting(self) -> int:
        """How many timers and sleepers wait."""
        return sum(not timer.cancelled for timer in self._timers)

    async def until_waited_for(self) -> None:
        """Return once somebody waits for time, after what may be real work in other processes."""
        while not self.waiting:  # noqa: ASYNC110  # nobody tells when they begin to wait
            await asyncio.sleep(0.001)

    def advance(self, ns: int) -> None:
        """Move the time, calling what falls due on the way, in order, each at its own moment.

        Sleepers are woken but run only when the test awaits; see ``run``.
        """
        end = self._now + ns
        while self._next_due(end) is not None:
            self._step(end)
        self._now = end

    async def run(self, ns: int) -> None:
        """Move the time as ``advance`` does, and let all tasks settle at every moment."""
        end = self._now + ns
        await settle()
        while self._next_due(end) is not None:
            self._step(end)
            await settle()
        self._now = end
        await settle()

    def _next_due(self, end: int) -> FakeTimer | None:
        while self._timers and self._timers[0].cancelled:
            self._timers.pop(0)
        return self._timers[0] if self._timers and self._timers[0].at <= end else None

    def _step(self, end: int) -> None:
        """Go to the next due moment and call all that is due then."""
        timer = self._next_due(end)
        if timer is None:
            return
        self._now = max(self._now, timer.at)
        while (timer := self._next_due(self._now)) is not None:
            self._timers.remove(timer)
            timer.callback()


async def settle() -> None:
    """Let all tasks run until each waits for time, a socket or a thread."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    # Only the loop itself knows when it is idle; asyncio's own tells by this queue.
    while loop._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110  # idleness has no Event
        await asyncio.sleep(0)
