from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import room_link as link
from app.runtime.clock import SystemClock
from app.runtime.worker import Worker
from app.runtime.workers import ROOMS_IN_A_LIFE, STARTING, Workers
from tests.support.processes import until


class Tenant:
    """Somebody with a room."""

    def __init__(self) -> None:
        self.reports: list[link.OfRoom] = []
        self.losses: list[str] = []

    def take(self, report: link.OfRoom) -> None:
        self.reports.append(report)

    def see(self, media: link.OfMedia) -> None:
        raise AssertionError(media)

    def worker_lost(self, why: str) -> None:
        self.losses.append(why)


class Pool:
    """A pool of fake workers."""

    def __init__(self, how: str = "good") -> None:
        self.lost = 0
        command = (sys.executable, "-m", "tests.support.room_worker", how)
        self.workers = Workers(SystemClock(), command, rooms_per_worker=2, on_lost=self._on_lost)

    def _on_lost(self) -> None:
        self.lost += 1

    async def seat(self, tenant: Tenant | None = None) -> tuple[Worker, int]:
        """Take a place, in a worker that runs."""
        worker, room = self.workers.seat(tenant or Tenant())
        await worker.wait_started()
        return worker, room


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """An empty pool."""
    made = Pool()
    yield made
    await made.workers.close()


def _rooms(pool: Pool) -> list[int]:
    return [worker.rooms for worker in pool.workers.alive]


async def test_a_worker_takes_so_many_rooms(pool: Pool) -> None:
    """Then another one is started; every room has a number of its own."""
    seats = [await pool.seat() for _ in range(3)]

    assert [1, 2, 3] == [room for _, room in seats]
    assert seats[0][0] is seats[1][0]
    assert [2, 1] == _rooms(pool)


async def test_two_who_come_at_once_share_a_worker(pool: Pool) -> None:
    """Also while it is still starting."""
    first, _ = pool.workers.seat(Tenant())
    second, _ = pool.workers.seat(Tenant())

    assert first is second
    await first.wait_started()


async def test_a_worker_ends_with_its_last_room(pool: Pool) -> None:
    """What the SDK has leaked goes with it."""
    tenant = Tenant()
    worker, first = await pool.seat(tenant)
    _, second = await pool.seat()
    pid = worker.pid
    worker.leave(first)
    await until("the room is left", lambda: tenant.reports)

    assert [1] == _rooms(pool)
    worker.leave(second)
    await until("the worker is gone", lambda: not pool.workers.alive)

    assert [link.Left(first)] == tenant.reports
    assert 0 == pool.lost
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


async def test_a_worker_does_not_live_for_ever(pool: Pool) -> None:
    """After so many rooms it takes no more, however few it has at a time."""
    worker, _ = await pool.seat()
    tenant = Tenant()
    for _ in range(ROOMS_IN_A_LIFE - 1):
        _, room = await pool.seat(tenant)
        before = len(tenant.reports)
        worker.leave(room)
        await until("it is left", lambda before=before: len(tenant.reports) > before)
    other, _ = await pool.seat()

    assert other is not worker
    assert 1 == worker.rooms


async def test_a_dead_worker_is_replaced_and_its_tenants_are_told(pool: Pool) -> None:
    """Those who lost a place find the fresh one; others notice nothing."""
    tenants = [Tenant(), Tenant(), Tenant()]
    struck, _ = await pool.seat(tenants[0])
    await pool.seat(tenants[1])
    spared, _ = await pool.seat(tenants[2])
    os.kill(struck.pid or 0, signal.SIGKILL)
    await until("they are told", lambda: tenants[1].losses)
    fresh, _ = await pool.seat()

    assert [1, 1, 0] == [len(tenant.losses) for tenant in tenants]
    assert 1 == pool.lost
    assert struck.dead
    assert fresh not in {struck, spared}
    assert [1, 1] == _rooms(pool)


async def test_few_start_at_a_time() -> None:
    """All at once would starve each other past the time that each has; the others get theirs."""
    slow = Pool("mute")
    for _ in range(2 * STARTING + 1):
        slow.workers.seat(Tenant())
    *first, last = slow.workers.alive
    await until("the first start", lambda: all(worker.pid for worker in first))

    assert STARTING == len(first)
    assert last.pid is None
    first[0].kill("it is too slow")
    await until("the last starts", lambda: last.pid)
    await slow.workers.close()


async def test_close_ends_all(pool: Pool) -> None:
    """Whether they have rooms or are still starting; twice is once."""
    tenant = Tenant()
    first, _ = await pool.seat(tenant)
    second, _ = pool.workers.seat(Tenant())
    third, _ = pool.workers.seat(Tenant())
    await pool.workers.close()
    await pool.workers.close()

    with pytest.raises(RuntimeError):
        pool.workers.seat(Tenant())
    assert (True, True, True) == (first.dead, second.dead, third.dead)
    assert () == pool.workers.alive
    assert 0 == pool.lost


async def test_close_waits_for_the_dead_too(pool: Pool) -> None:
    """A worker that has just been killed, while it was ending, is no process any more."""
    worker, _ = await pool.seat(Tenant())
    pid = worker.pid
    worker.stopping = True
    worker.kill("a blow")
    await asyncio.sleep(0)  # it is waited for from here on
    await pool.workers.close()

    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()  # noqa: ASYNC240  # /proc never blocks


async def test_a_worker_gets_none_of_our_keys(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs the program and nothing else of ours."""
    monkeypatch.setenv("TAVUS_API_KEY", "a-secret")
    monkeypatch.setenv("BRIDGE_API_KEYS", "another")
    worker, _ = await pool.seat()
    seen = Path(f"/proc/{worker.pid}/environ").read_bytes()  # noqa: ASYNC240  # /proc never blocks

    assert b"PYTHONPATH=" in seen
    assert b"secret" not in seen
    assert b"another" not in seen
