from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from app.core import room_link as link
from app.errors import RoomFailed
from app.runtime.clock import SystemClock
from app.runtime.tasks import Tasks
from app.runtime.worker import BEAT_NS, LEFT_NS, MISSED_BEATS, START_NS, STOP_NS, Worker
from tests.support.clock import FakeClock, settle
from tests.support.processes import until


class Rig:
    """One fake worker, and one tenant in it."""

    def __init__(self, how: str = "good", clock: FakeClock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.errors: list[BaseException] = []
        self.tasks = Tasks(lambda _name, error: self.errors.append(error))
        self.gone = 0
        self.empty = 0
        self.reports: list[link.OfRoom] = []
        self.losses: list[str] = []
        self.worker = Worker(
            (sys.executable, "-m", "tests.support.room_worker", how),
            os.environ,
            self.clock,
            on_empty=self._on_empty,
            on_gone=self._on_gone,
        )
        self.worker.seat(1, self)
        self.running = self.tasks.spawn("worker", self.worker.run())

    def _on_empty(self, _worker: Worker) -> None:
        self.empty += 1

    def _on_gone(self, _worker: Worker) -> None:
        self.gone += 1

    def take(self, report: link.OfRoom) -> None:
        """Be a tenant."""
        self.reports.append(report)

    def see(self, media: link.OfMedia) -> None:
        """Be a tenant."""
        raise AssertionError(media)

    def worker_lost(self, why: str) -> None:
        """Be a tenant."""
        self.losses.append(why)

    async def end(self) -> None:
        """Let go of it; it leaves nothing behind."""
        await self.worker.stop()
        await self.running
        await self.tasks.close()

        assert 1 == self.gone
        assert [] == self.errors


async def test_orders_go_out_and_reports_come_back() -> None:
    """To whom the room belongs; a room of nobody's is nobody's business."""
    rig = Rig()
    await rig.worker.wait_started()
    for room in (1, 2):
        rig.worker.send(link.Join(room, "https://x.daily.co/r", None, "n", track=False))
    rig.worker.send(link.Clear(1, 3))
    await until("it has answered", lambda: len(rig.reports) == 2)
    await rig.end()

    assert ["Joined", "Cleared"] == [type(report).__name__ for report in rig.reports]
    assert ["it was stopped"] == rig.losses


@pytest.mark.parametrize(
    ("how", "why"), [("broken", "its process ended"), ("mad", "a message of 4294967295 bytes")]
)
async def test_one_that_breaks_is_lost_once(how: str, why: str) -> None:
    """Its tenants are told why, and whoever waits for it."""
    rig = Rig(how)
    await until("it is dead", lambda: rig.worker.dead)
    with pytest.raises(RoomFailed, match=why):
        await rig.worker.wait_started()
    await rig.running
    await rig.end()

    assert 1 == len(rig.losses)
    assert why in rig.losses[0]


async def test_one_that_cannot_be_started() -> None:
    """There is no such program."""
    rig = Rig()
    await rig.end()
    worker = Worker(("/nowhere/python",), {}, rig.clock, on_empty=print, on_gone=rig._on_gone)
    await worker.run()

    assert worker.dead
    assert 2 == rig.gone


async def test_one_that_is_killed_is_lost() -> None:
    """The end of its process is the end of its link."""
    rig = Rig()
    await rig.worker.wait_started()
    os.kill(rig.worker.pid or 0, signal.SIGKILL)
    await until("they are told", lambda: rig.losses)
    await rig.end()

    assert ["its process ended"] == rig.losses


async def test_one_that_shows_no_life_is_killed() -> None:
    """After so many beats, not before; whatever still runs of it does not any more."""
    clock = FakeClock()
    rig = Rig("deaf", clock)
    await rig.worker.wait_started()
    for _ in range(MISSED_BEATS - 1):
        await settle()
        await clock.run(BEAT_NS)
    alive = not rig.worker.dead
    await clock.run(2 * BEAT_NS)
    await rig.running
    await rig.end()

    assert alive
    assert ["it hangs"] == rig.losses


async def test_one_that_lives_is_let_live() -> None:
    """Any sign will do, late as it may be."""
    clock = FakeClock()
    rig = Rig("good", clock)
    await rig.worker.wait_started()
    for _ in range(3 * MISSED_BEATS):
        await until("it was heard", lambda: rig.worker._heard)
        await clock.run(BEAT_NS)

    assert not rig.worker.dead
    await rig.end()


async def test_one_that_is_never_ready_is_given_up() -> None:
    """Whoever waits for it is told."""
    clock = FakeClock()
    rig = Rig("mute", clock)
    await until("its start is watched", lambda: clock.waiting)
    await clock.run(START_NS)
    await rig.running
    await rig.end()

    assert ["it did not start in time"] == rig.losses


async def test_a_kill_tells_the_tenants_later() -> None:
    """Never from inside the call that asked for it."""
    rig = Rig()
    await rig.worker.wait_started()
    rig.worker.kill("it is late")
    told = list(rig.losses)
    rig.worker.kill("again")
    await rig.running
    await settle()
    await rig.end()

    assert [] == told
    assert ["it is late"] == rig.losses


async def test_a_place_is_free_when_the_room_was_left() -> None:
    """Leaving twice is leaving once."""
    rig = Rig()
    await rig.worker.wait_started()
    rig.worker.leave(1)
    rig.worker.leave(1)
    rig.worker.leave(2)
    await until("it is left", lambda: rig.reports)
    rig.worker.leave(1)

    assert [link.Left(1)] == rig.reports
    assert (0, 1) == (rig.worker.rooms, rig.empty)
    await rig.end()


async def test_a_room_that_is_never_left_retires_its_worker() -> None:
    """Something is stuck inside; the place is not waited for any longer."""
    clock = FakeClock()
    rig = Rig("stuck", clock)
    await rig.worker.wait_started()
    rig.worker.leave(1)
    at = clock.now() + LEFT_NS
    while clock.now() < at:
        rig.worker._heard = True
        await clock.run(BEAT_NS)
        await asyncio.sleep(0.01)

    assert rig.worker.retired
    assert (0, 1) == (rig.worker.rooms, rig.empty)
    await rig.end()


async def test_one_that_does_not_end_is_killed() -> None:
    """A stop has its own deadline."""
    clock = FakeClock()
    rig = Rig("stubborn", clock)
    await rig.worker.wait_started()
    stopping = rig.tasks.spawn("stop", rig.worker.stop())
    await settle()
    rig.worker._heard = True
    await clock.run(STOP_NS)
    await stopping
    await rig.running
    await rig.end()

    assert rig.worker.dead
