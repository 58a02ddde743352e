from __future__ import annotations

import pytest

from app.core.media_clock import SKEW_US, MediaClock

HOUR_US = 3_600_000_000


def test_one_machine_keeps_its_times() -> None:
    """What takes a while to come, or shows what is about to be, keeps its time."""
    clock = MediaClock()

    assert [1_000_000, 1_040_000, 1_080_000] == [
        clock.map(1_000_000, 1_002_000),
        clock.map(1_040_000, 1_090_000),
        clock.map(1_080_000, 1_070_000),
    ]


@pytest.mark.parametrize("difference_us", [-HOUR_US, -2 * SKEW_US, 2 * SKEW_US, HOUR_US])
def test_another_clock_is_mapped_by_the_quickest_message(difference_us: int) -> None:
    """The error is what the quickest message took, 3 ms here."""
    clock = MediaClock()
    times = [10 * HOUR_US + number * 40_000 for number in range(4)]
    took = [50_000, 3_000, 20_000, 90_000]
    mapped = [
        clock.map(at - difference_us, at + later) for at, later in zip(times, took, strict=True)
    ]

    assert [at + 3_000 for at in times[1:]] == mapped[1:]
    assert times[0] + 50_000 == mapped[0]


def test_slow_first_message_of_our_own_machine_is_found_out() -> None:
    """A start that hangs for a while is taken for another clock only until the next message."""
    clock = MediaClock()
    clock.map(0, 3 * SKEW_US)

    assert 3 * SKEW_US == clock.map(3 * SKEW_US, 3 * SKEW_US + 10)
