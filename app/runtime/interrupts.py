"""Interrupts: the cut at once, the room's word for it, then the account, in the order they came."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.core import tavus
from app.core.voice import Cut, Voice
from app.core.wire_out import InterruptAccepted
from app.runtime.clock import Clock, deadline
from app.runtime.metrics import Metrics
from app.runtime.pump import Pump
from app.runtime.room import Room
from app.runtime.tasks import Tasks

log = logging.getLogger(__name__)

CONFIRM_NS = 250_000_000
"""The longest that an interrupt waits for the sink's confirmation; the contract's number."""


@dataclass(slots=True, eq=False)
class _Pending:
    """An interrupt that is not accounted for."""

    cut: Cut | None
    """None when its guard stopped it."""
    request_id: str | None
    reason: str | None
    arrived: int
    accepted: asyncio.Future[InterruptAccepted] = field(default_factory=asyncio.Future)
    confirmed: bool = False
    """The room has stopped, or was given up waiting for."""
    track_handed: int | None = None
    """Track samples that the device really got, once it said so."""


class Interrupts:
    """One session's interrupts."""

    def __init__(
        self,
        voice: Voice,
        pump: Pump,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        *,
        is_track: bool,
        on_change: Callable[[], None],
    ) -> None:
        """Make one outside of any room; ``on_change`` is called when there is news to tell."""
        self._voice = voice
        self._pump = pump
        self._clock = clock
        self._tasks = tasks
        self._metrics = metrics
        self._on_change = on_change
        self._pending: deque[_Pending] = deque()
        self._room: Room | None = None
        self._is_untold = False
        """A room was lost before the replica was told of the last interrupt."""
        self._conversation_id = ""
        self._is_track = is_track

    def enter(self, room: Room, conversation_id: str) -> None:
        """From now on ``room`` has audio to stop and a replica to tell."""
        # The replica of another conversation has nothing of ours to stop.
        if self._is_untold and conversation_id == self._conversation_id:
            self._tasks.spawn("tell the replica to stop", self._tell(room, conversation_id))
        self._is_untold = False
        self._room = room
        self._conversation_id = conversation_id

    def leave(self) -> None:
        """The room is lost: what is cut now is told in the next one."""
        self._room = None

    def begin(
        self, request_id: str | None, guard: str | None, reason: str | None, *, in_band: bool
    ) -> asyncio.Future[InterruptAccepted]:
        """Cut now; the future has the account once the room has confirmed, or after 250 ms."""
        now = self._clock.now()
        cut = self._voice.cut(now, guard=guard, in_band=in_band)
        if cut is not None:
            self._pump.settle()
        pending = _Pending(cut, request_id, reason, now)
        self._pending.append(pending)
        if cut is None or self._room is None:
            # What the replica had before the room was lost it still plays.
            self._is_untold = self._is_untold or (cut is not None and bool(self._conversation_id))
            self._confirm(pending)
        else:
            clearing = _clear(self._room, cut.epoch)
            carrying_out = self._carry_out(pending, clearing, self._room, self._conversation_id)
            self._tasks.spawn("interrupt", carrying_out)
        return pending.accepted

    def settle(self) -> None:
        """Account for what is pending with what is known: nobody waits for the room any more."""
        while self._pending:
            self._account(self._pending.popleft())

    async def _carry_out(
        self, pending: _Pending, clearing: asyncio.Future[int], room: Room, conversation_id: str
    ) -> None:
        """Wait until the room has stopped, then tell the replica."""
        end = pending.arrived + CONFIRM_NS
        try:
            async with deadline(self._clock, end):
                handed = await asyncio.shield(clearing)
            if self._is_track:
                pending.track_handed = handed
                if self._room is room:
                    self._pump.cleared(handed)
        except TimeoutError:
            log.warning("the room did not confirm a cut in time")
        # Told in a task of its own: it keeps its place in the room's line when its time is over.
        telling = self._tasks.spawn("tell the replica to stop", self._tell(room, conversation_id))
        try:
            async with deadline(self._clock, end):
                await asyncio.wait({telling})
        except TimeoutError:
            log.warning("the room has not taken conversation.interrupt in time")
        self._confirm(pending)

    async def _tell(self, room: Room, conversation_id: str) -> None:
        if await room.send_message(tavus.interrupt_message(conversation_id)):
            return
        if conversation_id != self._conversation_id:
            return
        if self._room is None:
            self._is_untold = True
        elif self._room is not room:  # lost meanwhile, and we are in the next already
            await self._tell(self._room, conversation_id)

    def _confirm(self, pending: _Pending) -> None:
        """Account for all that is confirmed and has nothing unconfirmed before it."""
        pending.confirmed = True
        while self._pending and self._pending[0].confirmed:
            self._account(self._pending.popleft())
        self._on_change()

    def _account(self, pending: _Pending) -> None:
        cut, now = pending.cut, self._clock.now()
        if cut is None:
            report = self._voice.decline(pending.request_id, pending.reason)
        else:
            report = self._voice.report(
                cut, pending.track_handed, now, pending.request_id, pending.reason
            )
            self._metrics.interrupted(now - pending.arrived)
        pending.accepted.set_result(report)


def _clear(room: Room, epoch: int) -> asyncio.Future[int]:
    """Have the room stop, now. A bug in that is one of the task that waits for it."""
    try:
        return room.clear_audio(epoch)
    except Exception as bug:  # noqa: BLE001  # whatever it is, it is raised there
        failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        failed.set_exception(bug)
        return failed
