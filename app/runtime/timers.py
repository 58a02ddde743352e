"""A session's timers: what they wait for, what they announce, and what they report."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from app.core import events as e
from app.core.commands import Timer
from app.core.countdown import Countdown
from app.core.limits import session_s
from app.core.renewal import begins_at
from app.core.spec import SessionSpec
from app.core.wire_out import SessionExpiring
from app.errors import ReplicaTimeout
from app.runtime.alarm import Alarm, CallAt
from app.runtime.clock import NS_PER_S, Clock

Expired = (
    e.ReadyTimedOut
    | e.ReplicaLostTimedOut
    | e.IdleTimedOut
    | e.LifetimeReached
    | e.RenewalDue
    | e.NextFailed
)
"""What a timer reports."""

NEXT_READY_S = 45.0
"""The longest that the next conversation may take to be ready: then there is time for another."""

_PLANNED: dict[Timer, tuple[str, Expired | None]] = {
    Timer.IDLE: ("idle", e.IdleTimedOut()),
    Timer.LIFETIME: ("max_duration", e.LifetimeReached()),
    Timer.EXPIRY: ("tavus_shutdown", None),
}
"""The ends that are announced: the reason as ``session.expiring`` tells it, and the fact."""


class Timers:
    """Each reports as its own fact; planned ends are announced ahead."""

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
        self._touched_at = 0
        """When something last counted as activity, in ns."""
        self._is_idle = False
        """The end for being idle was announced, and nothing has put it off."""
        self._asked_at = 0
        self._ends_at = 0

    def follow(self, asked_at: int, ends_at: int) -> None:
        """The conversation that speaks was asked for then, and Tavus ends it then; in ns."""
        self._asked_at = asked_at
        self._ends_at = ends_at

    def start(self, timer: Timer) -> None:
        """(Re)start one with the duration that its name stands for."""
        self.stop(timer)
        match timer:
            case Timer.READY:
                self._once(timer, self._spec.ready_timeout_s, e.ReadyTimedOut())
            case Timer.REPLICA_LOST:
                self._once(timer, self._replica_lost_timeout_s, e.ReplicaLostTimedOut())
            case Timer.IDLE:
                self._count_down(timer, _ns(self._spec.idle_timeout_s))
            case Timer.LIFETIME:
                self._count_down(timer, _ns(session_s(self._spec)))
            case Timer.RENEWAL:
                if self._outlives_conversation:
                    self._at(timer, begins_at(self._asked_at, self._ends_at), e.RenewalDue())
            case Timer.EXPIRY:
                if self._outlives_conversation:
                    self._count_down(timer, self._ends_at - self._clock.now())
            case Timer.NEXT:
                after_s = min(self._spec.ready_timeout_s, NEXT_READY_S)
                late = ReplicaTimeout("The next conversation's replica did not join in time")
                self._once(timer, after_s, e.NextFailed(late))
            case _:
                assert_never(timer)

    def renew_in(self, after_s: int) -> None:
        """(Re)start ``Timer.RENEWAL`` for a time that its name does not stand for."""
        self.stop(Timer.RENEWAL)
        self._once(Timer.RENEWAL, after_s, e.RenewalDue())

    def stop(self, timer: Timer) -> None:
        """Stop one; nothing happens when it does not run."""
        alarm = self._running.pop(timer, None)
        if alarm is not None:
            alarm.stop()

    def stop_all(self) -> None:
        """Stop all that run."""
        for timer in tuple(self._running):
            self.stop(timer)

    def touch(self, at: int) -> None:
        """Something counts as activity: being idle begins anew.

        Every packet does, so mostly it is only noted for when the alarm rings.
        """
        self._touched_at = at
        if self._is_idle and Timer.IDLE in self._running:
            self._is_idle = False
            idle = self._countdowns[Timer.IDLE]
            idle.restart(at)
            self._running[Timer.IDLE].set(idle.next_deadline())

    @property
    def _outlives_conversation(self) -> bool:
        """Whether Tavus ends the conversation before the session's own end."""
        return self._ends_at < self._countdowns[Timer.LIFETIME].end

    def _once(self, timer: Timer, after_s: float, fact: Expired) -> None:
        self._at(timer, self._clock.now() + _ns(after_s), fact)

    def _at(self, timer: Timer, at: int, fact: Expired) -> None:
        alarm = self._running[timer] = Alarm(self._call_at, lambda: self._expire(timer, fact))
        alarm.set(at)

    def _count_down(self, timer: Timer, duration: int) -> None:
        self._countdowns[timer] = Countdown(duration, self._clock.now())
        self._running[timer] = Alarm(self._call_at, lambda: self._watch(timer))
        self._watch(timer)

    def _watch(self, timer: Timer) -> None:
        """Announce the end, let it come, or see that it was put off."""
        now = self._clock.now()
        countdown = self._countdowns[timer]
        reason, fact = _PLANNED[timer]
        if timer is Timer.IDLE:
            active_at = now if self._is_active(now) else self._touched_at
            if active_at > countdown.began:
                self._is_idle = False
                countdown.restart(active_at)
        if now >= countdown.end:
            self._expire(timer, fact)
            return
        left = countdown.notice(now)
        if left is not None:
            self._is_idle = timer is Timer.IDLE or self._is_idle
            self._announce(SessionExpiring(left // 1_000_000, reason))
        self._running[timer].set(countdown.next_deadline())

    def _expire(self, timer: Timer, fact: Expired | None) -> None:
        self._running.pop(timer, None)
        if fact is not None:
            self._report(fact)


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
