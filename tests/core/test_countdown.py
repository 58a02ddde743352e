from __future__ import annotations

import pytest

from app.core.countdown import Countdown

S = 1_000_000_000


def test_an_end_is_announced_twice() -> None:
    """60 s and 10 s ahead there is something to say, each once; then only the end is left."""
    countdown = Countdown(300 * S, 1000 * S)

    assert 1300 * S == countdown.end
    assert 1240 * S == countdown.next_deadline()
    assert None is countdown.notice(1240 * S - 1)
    assert 60 * S == countdown.notice(1240 * S)
    assert None is countdown.notice(1240 * S)
    assert 1290 * S == countdown.next_deadline()
    assert None is countdown.notice(1290 * S - 1)
    assert 10 * S == countdown.notice(1290 * S)
    assert 1300 * S == countdown.next_deadline()
    assert None is countdown.notice(1300 * S)


def test_a_late_look_announces_once_what_is_left() -> None:
    """Who looks 5 s ahead for the first time hears of 5 s, once."""
    countdown = Countdown(300 * S, 0)

    assert 5 * S == countdown.notice(295 * S)
    assert None is countdown.notice(296 * S)
    assert 300 * S == countdown.next_deadline()


def test_nothing_is_announced_at_the_end_or_after_it() -> None:
    """At the end itself an announcement would be of no use."""
    assert None is Countdown(300 * S, 0).notice(300 * S)
    assert None is Countdown(300 * S, 0).notice(301 * S)


@pytest.mark.parametrize(("duration_s", "first_s"), [(61, 1), (60, 50), (11, 1), (10, 10), (9, 9)])
def test_a_short_countdown_has_fewer_announcements(duration_s: int, first_s: int) -> None:
    """What would be announced at the very start or before it is not announced."""
    assert first_s * S == Countdown(duration_s * S, 0).next_deadline()


def test_a_restart_puts_everything_off() -> None:
    """The end moves, and what was announced is announced anew."""
    countdown = Countdown(300 * S, 0)
    countdown.notice(240 * S)
    countdown.restart(250 * S)

    assert (250 * S, 550 * S) == (countdown.began, countdown.end)
    assert 490 * S == countdown.next_deadline()
    assert 60 * S == countdown.notice(490 * S)
