"""The pool of room workers: who gets a place where.

A worker ends when its last room is left, and takes only so many rooms in its life: the SDK is
reported to grow by a megabyte for every minute in a room. The newest worker with a free place gets
the next room, and one that dies with rooms in it is replaced at once: so the lost rooms come
together again in a fresh worker and, should one of them be what killed it, take no others along.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.errors import RoomFailed
from app.runtime.clock import Clock
from app.runtime.tasks import Tasks
from app.runtime.worker import Tenant, Worker

WORKER = (sys.executable, "-P", "-m", "app.daily.worker")
"""``-P``: another ``app`` in the current folder is not ours."""

ROOMS_IN_A_LIFE = 40
"""So many rooms a worker takes, one after the other, before another one takes its place."""

STARTING = 4
"""So many workers start at a time: each has its own time limit for it, and they share the CPUs."""

log = logging.getLogger(__name__)


class Workers:
    """All room workers of this process."""

    def __init__(
        self,
        clock: Clock,
        command: tuple[str, ...],
        *,
        rooms_per_worker: int,
        on_lost: Callable[[], None],
    ) -> None:
        """Have none. ``on_lost`` is called for every worker that dies unasked."""
        self._clock = clock
        self._rooms_per_worker = rooms_per_worker
        self._on_lost = on_lost
        self._command = command
        self._tasks = Tasks(_report)
        self._starting = asyncio.Semaphore(STARTING)
        self._alive: list[Worker] = []
        self._rooms = 0
        self._closed = False

    @property
    def alive(self) -> tuple[Worker, ...]:
        """Those that run, oldest first."""
        return tuple(self._alive)

    def seat(self, tenant: Tenant) -> tuple[Worker, int]:
        """Find a place for a room; returns the worker, which may be still starting, and a number.

        Raises RuntimeError after ``close``.
        """
        if self._closed:
            raise RuntimeError("a room wants a place, but the workers are ending")
        free = (worker for worker in reversed(self._alive) if self._has_place(worker))
        worker = next(free, None)
        if worker is None:
            worker = self._add()
        self._rooms += 1
        worker.seat(self._rooms, tenant)
        return worker, self._rooms

    async def close(self) -> None:
        """End all workers, in good order as far as they can. Can be called twice."""
        self._closed = True
        for worker in self.alive:
            self._tasks.spawn("stop room worker", worker.stop())
        await self._tasks.finish()  # also those of processes that are dead already
        await self._tasks.close()

    def _has_place(self, worker: Worker) -> bool:
        gone = worker.dead or worker.stopping or worker.retired
        return (
            not gone and worker.rooms < self._rooms_per_worker and worker.seated < ROOMS_IN_A_LIFE
        )

    def _add(self) -> Worker:
        worker = Worker(
            self._command,
            _environment(),
            self._clock,
            on_empty=self._end,
            on_gone=self._gone,
        )
        self._tasks.spawn("start room worker", self._start(worker))
        self._alive.append(worker)
        return worker

    async def _start(self, worker: Worker) -> None:
        async with self._starting:
            self._tasks.spawn("room worker", worker.run())
            with suppress(RoomFailed):  # it has told those who have a room there
                await worker.wait_started()

    def _end(self, worker: Worker) -> None:
        """It has no rooms any more."""
        if not self._closed and not worker.dead and not worker.stopping:
            worker.stopping = True
            self._tasks.spawn("stop room worker", worker.stop())

    def _gone(self, worker: Worker) -> None:
        if worker in self._alive:
            self._alive.remove(worker)
        if worker.stopping or self._closed:
            return
        self._on_lost()
        if worker.rooms:
            self._add()


def _environment() -> dict[str, str]:
    """What a worker sees of ours: where the program is, and none of our keys."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BRIDGE_", "TAVUS_"))
    }
    ours = str(Path(__file__).resolve().parents[2])
    paths = filter(None, (ours, os.environ.get("PYTHONPATH")))
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
