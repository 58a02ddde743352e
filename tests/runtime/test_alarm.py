from __future__ import annotations

from app.runtime.alarm import Alarm
from tests.support.clock import FakeClock


class Bell:
    """An alarm on a clock that stands still, and when it rang."""

    def __init__(self) -> None:
        self.clock = FakeClock(0)
        self.rang: list[int] = []
        self.alarm = Alarm(self.clock.call_at, lambda: self.rang.append(self.clock.now()))


def test_rings_once_at_its_moment() -> None:
    """One setting, one ring."""
    bell = Bell()
    bell.alarm.set(10)
    bell.clock.advance(100)

    assert [10] == bell.rang
    assert 0 == bell.clock.waiting


def test_the_last_moment_counts() -> None:
    """However often it is put off or brought on, it rings once."""
    for moments in ([10, 20], [20, 10], [10, 30, 20], [30, 10, 20]):
        bell = Bell()
        for at in moments:
            bell.alarm.set(at)
        bell.clock.advance(100)

        assert moments[-1:] == bell.rang
        assert bell.alarm.at is None


def test_never_means_never() -> None:
    """Without a moment it does not ring, nor after a stop."""
    bell = Bell()
    bell.alarm.set(None)
    bell.alarm.set(10)
    bell.alarm.set(None)
    bell.alarm.set(10)
    bell.alarm.stop()
    bell.alarm.stop()
    bell.clock.advance(100)

    assert [] == bell.rang


def test_can_be_set_while_it_rings() -> None:
    """Who hears it may set it anew at once."""
    clock = FakeClock(0)
    rang: list[int] = []

    def ring() -> None:
        rang.append(clock.now())
        if len(rang) < 3:
            alarm.set(clock.now() + 5)

    alarm = Alarm(clock.call_at, ring)
    alarm.set(5)
    clock.advance(100)

    assert [5, 10, 15] == rang
