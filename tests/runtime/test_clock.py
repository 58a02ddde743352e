from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
import uvloop

from app.runtime.clock import Clock, SystemClock, deadline
from tests.support.clock import FakeClock, settle

MS = 1_000_000
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def both_are_clocks(system: SystemClock, fake: FakeClock) -> tuple[Clock, Clock]:
    """Hold both classes against the Protocol; the type checker is the test."""
    return system, fake


@LOOPS
def test_sleep_never_wakes_early(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A sleeper wakes at its moment or later, whatever the loop's own resolution."""

    async def sleep() -> list[int]:
        clock = SystemClock()
        early = []
        for wait in (-MS, 0, 1, MS // 3, MS, 2 * MS + 1):
            at = clock.now() + wait
            await clock.sleep_until(at)
            early.append(min(0, clock.now() - at))
        return early

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert [0] * 6 == runner.run(sleep())


@LOOPS
def test_timer_never_fires_early(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A callback comes at its moment or later, once, and not from inside ``call_at``."""

    async def wait() -> list[int]:
        clock = SystemClock()
        late: list[int] = []
        done = asyncio.Event()
        for wait in (-MS, MS // 3, 2 * MS + 1):
            at = clock.now() + wait
            done.clear()

            def fire(at: int = at) -> None:
                late.append(clock.now() - at)
                done.set()

            clock.call_at(at, fire)
            assert not done.is_set()
            await done.wait()
        return late

    with asyncio.Runner(loop_factory=new_loop) as runner:
        late = runner.run(wait())

    assert 3 == len(late)
    assert 0 <= min(late)


async def test_cancelled_timer_never_fires() -> None:
    """Of two timers for the same moment the cancelled one stays silent."""
    clock, fired, done = SystemClock(), list[str](), asyncio.Event()
    at = clock.now() + MS

    clock.call_at(at, lambda: fired.append("cancelled")).cancel()
    clock.call_at(at + MS, done.set)
    await done.wait()

    assert [] == fired


def test_wall_clocks_agree() -> None:
    """The two wall clocks show the same time, in UTC."""
    clock = SystemClock()

    before, wall, after = clock.wall_ms(), clock.wall(), clock.wall_ms()

    assert timedelta(0) == wall.utcoffset()
    assert before <= wall.timestamp() * 1000 < after + 1


def test_fake_calls_in_order_each_at_its_moment() -> None:
    """Moving the fake's time calls what is due in order of time, then of making."""
    clock, seen = FakeClock(now=0), list[tuple[str, int]]()
    clock.call_at(20, lambda: seen.append(("late", clock.now())))
    clock.call_at(10, lambda: seen.append(("first", clock.now())))
    clock.call_at(10, lambda: seen.append(("second", clock.now())))
    clock.call_at(31, lambda: seen.append(("never", clock.now())))

    clock.advance(30)

    assert [("first", 10), ("second", 10), ("late", 20)] == seen
    assert 30 == clock.now()
    assert 1 == clock.waiting


def test_fake_calls_what_a_callback_arms() -> None:
    """A callback that arms itself again fires as often as fits into the move."""
    clock, seen = FakeClock(now=0), list[int]()

    def again() -> None:
        seen.append(clock.now())
        clock.call_at(clock.now() + 10, again)

    clock.call_at(10, again)
    clock.advance(35)

    assert [10, 20, 30] == seen


async def test_fake_runs_sleepers_at_their_moment() -> None:
    """A loop that sleeps sees every moment it asked for, although the test moves once."""
    clock, seen = FakeClock(now=0), list[int]()

    async def loop() -> None:
        while True:
            await clock.sleep_until(clock.now() + 10)
            seen.append(clock.now())

    task = asyncio.create_task(loop())
    await clock.run(35)
    task.cancel()
    await settle()

    assert [10, 20, 30] == seen
    assert 0 == clock.waiting


def test_fake_wall_moves_along() -> None:
    """The fake's wall clock moves with its monotonic one."""
    clock = FakeClock()
    before = clock.wall_ms()

    clock.advance(1500 * MS)

    assert 1500 == clock.wall_ms() - before


async def test_deadline_ends_what_takes_too_long() -> None:
    """At its moment, and not before, a deadline raises TimeoutError in what it holds."""
    clock = FakeClock()
    events: list[str] = []

    async def work() -> None:
        try:
            async with deadline(clock, clock.now() + 250):
                await asyncio.Event().wait()
        except TimeoutError:
            events.append("late")

    working = asyncio.create_task(work())
    await clock.run(249)
    events.append("early")
    await clock.run(1)
    await working

    assert ["early", "late"] == events


async def test_deadline_kept_leaves_no_timer() -> None:
    """What ends in time is not disturbed, also later."""
    clock = FakeClock()
    async with deadline(clock, clock.now() + 250):
        pass
    await clock.run(1000)

    assert 0 == clock.waiting


async def test_deadline_that_has_passed_lets_nothing_wait() -> None:
    """What need not wait still succeeds; a wait ends at once."""
    clock = FakeClock()
    async with deadline(clock, clock.now()):
        done = True
    with pytest.raises(TimeoutError):
        async with deadline(clock, clock.now() - 1):
            await asyncio.Event().wait()

    assert done


@LOOPS
def test_deadline_that_has_passed_strikes_once(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """What ends slowly when its time is over is not disturbed again, nor is the event loop."""
    wrong = list[object]()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: wrong.append(what))
        clock = SystemClock()
        with pytest.raises(TimeoutError):
            async with deadline(clock, clock.now() - 1):
                await end_slowly()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work())

    assert [] == wrong
