"""A session's four timers: what they wait for, what they announce, and what they report."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from app.core import events as e
from app.core.commands import Timer
from app.core.countdown import Countdown
from app.core.spec import SessionSpec
from app.core.wire_out import SessionExpiring
from app.runtime.alarm import Alarm, CallAt
from app.runtime.clock import NS_PER_S, Clock

Expired = e.ReadyTimedOut | e.ReplicaLostTimedOut | e.IdleTimedOut | e.LifetimeReached
"""What a timer reports."""

_PLANNED: dict[Timer, tuple[str, Expired]] = {
    Timer.IDLE: ("idle", e.IdleTimedOut()),
    Timer.LIFETIME: ("max_duration", e.LifetimeReached()),
}
"""The ends that are announced: the reason as ``session.expiring`` tells it, and the fact."""


class Timers:
    """Each reports as its own fact; ``idle`` and ``max_duration`` are announced ahead."""

    def __init__(
        self,
        clock: Clock,
        call_at: CallAt,
        spec: SessionSpec,
        *,
        replica_lost_timeout_s: float,
        is_active: Callable[[int], bool],
        announce: Callable[[SessionExpiring], None],
        report: Callable[[Expired], None],
    ) -> None:
        """Make timers that do not run; ``is_active``: whether audio plays, at a time in ns."""
        self._clock = clock
        self._call_at = call_at
        self._spec = spec
        self._replica_lost_timeout_s = replica_lost_timeout_s
        self._is_active = is_active
        self._announce = announce
        self._report = report
        self._running: dict[Timer, Alarm] = {}
        self._countdowns: dict[Timer, Countdown] = {}

    def start(self, timer: Timer) -> None:
        """(Re)start one with the duration that its name stands for."""
        self.stop(timer)
        match timer:
            case Timer.READY:
                self._once(timer, self._spec.ready_timeout_s, e.ReadyTimedOut())
            case Timer.REPLICA_LOST:
                self._once(timer, self._replica_lost_timeout_s, e.ReplicaLostTimedOut())
            case Timer.IDLE:
                self._count_down(timer, self._spec.idle_timeout_s)
            case Timer.LIFETIME:
                self._count_down(timer, self._spec.max_duration_s)
            case _:
                assert_never(timer)

    def stop(self, timer: Timer) -> None:
        """Stop one; nothing happens when it does not run."""
        alarm = self._running.pop(timer, None)
        if alarm is not None:
            alarm.stop()

    def stop_all(self) -> None:
        """Stop all that run."""
        for timer in tuple(self._running):
            self.stop(timer)

    def touch(self) -> None:
        """Something counts as activity: being idle begins anew."""
        alarm = self._running.get(Timer.IDLE)
        if alarm is not None:
            idle = self._countdowns[Timer.IDLE]
            idle.restart(self._clock.now())
            alarm.set(idle.next_deadline())

    def _once(self, timer: Timer, after_s: float, fact: Expired) -> None:
        alarm = self._running[timer] = Alarm(self._call_at, lambda: self._expire(timer, fact))
        alarm.set(self._clock.now() + _ns(after_s))

    def _count_down(self, timer: Timer, duration_s: float) -> None:
        self._countdowns[timer] = Countdown(_ns(duration_s), self._clock.now())
        self._running[timer] = Alarm(self._call_at, lambda: self._watch(timer))
        self._watch(timer)

    def _watch(self, timer: Timer) -> None:
        """Announce the end, let it come, or see that it was put off."""
        now = self._clock.now()
        countdown = self._countdowns[timer]
        reason, fact = _PLANNED[timer]
        if timer is Timer.IDLE and self._is_active(now):
            countdown.restart(now)
        if now >= countdown.end:
            self._expire(timer, fact)
            return
        left = countdown.notice(now)
        if left is not None:
            self._announce(SessionExpiring(left // 1_000_000, reason))
        self._running[timer].set(countdown.next_deadline())

    def _expire(self, timer: Timer, fact: Expired) -> None:
        self._running.pop(timer, None)
        self._report(fact)


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
