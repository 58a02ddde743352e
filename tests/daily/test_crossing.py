from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from app.daily.crossing import Crossing


def elsewhere(*calls: Callable[[], None]) -> None:
    """Make these calls on a thread of their own."""

    def run() -> None:
        for call in calls:
            call()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


async def test_calls_arrive_on_the_loop_in_order() -> None:
    """Whatever thread they come from."""
    crossing = Crossing(asyncio.get_running_loop())
    arrived: list[tuple[int, bool]] = []
    here = threading.get_ident()

    def arrive(number: int) -> None:
        arrived.append((number, threading.get_ident() == here))

    elsewhere(lambda: crossing.post(arrive, 1), lambda: crossing.post(arrive, 2))
    before = list(arrived)
    await asyncio.sleep(0)

    assert [] == before
    assert [(1, True), (2, True)] == arrived


async def test_what_is_too_much_is_dropped_and_counted() -> None:
    """But nothing vital is; and once the loop has caught up there is room again."""
    crossing = Crossing(asyncio.get_running_loop(), limit=2)
    arrived: list[int] = []
    for number in range(4):
        crossing.post(arrived.append, number)
    crossing.post(arrived.append, 9, vital=True)
    await asyncio.sleep(0)
    crossing.post(arrived.append, 10)
    await asyncio.sleep(0)

    assert [0, 1, 9, 10] == arrived
    assert 2 == crossing.dropped


async def test_nothing_arrives_after_the_close() -> None:
    """Neither what waits nor what comes."""
    crossing = Crossing(asyncio.get_running_loop())
    arrived: list[int] = []
    crossing.post(arrived.append, 1)
    crossing.close()
    elsewhere(lambda: crossing.post(arrived.append, 2, vital=True))
    await asyncio.sleep(0)

    assert [] == arrived


def test_a_closed_loop_is_nobody_to_tell() -> None:
    """The SDK's thread hears nothing of it."""
    loop = asyncio.new_event_loop()
    crossing = Crossing(loop)
    loop.close()
    crossing.post(print)
    crossing.post(print)

    assert 0 == crossing.dropped
