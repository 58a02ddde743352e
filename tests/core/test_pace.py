from __future__ import annotations

import pytest

from app.core.pace import Pace


def admitted(max_fps: int, times_us: list[int]) -> list[int]:
    """Return the times that come through."""
    pace = Pace(max_fps)
    return [at for at in times_us if pace.admits(at)]


@pytest.mark.parametrize(
    ("source_fps", "max_fps", "expected"),
    [(25, 25, 250), (25, 60, 250), (25, 10, 100), (25, 24, 240), (30, 25, 250), (25, 1, 10)],
)
def test_ten_seconds_give_as_many_as_allowed(source_fps: int, max_fps: int, expected: int) -> None:
    """The rate is met and not undercut, whatever the ratio of the two."""
    times = [n * 1_000_000 // source_fps for n in range(10 * source_fps)]

    assert expected == pytest.approx(len(admitted(max_fps, times)), abs=1)


def test_trembling_source_keeps_its_rate() -> None:
    """A picture that comes a little early is due; one that comes much too early is not."""
    times = [n * 40_000 + (-9_000 if n % 2 else 0) for n in range(100)]

    assert times == admitted(25, times)
    assert [0, 40_000] == admitted(25, [0, 29_999, 40_000])


def test_pause_is_not_made_up_for() -> None:
    """After a pause the pictures come at the same pace as before it."""
    times = [0, *range(10_000_000, 10_400_000, 20_000)]

    assert 1 + 10 == len(admitted(25, times))


def test_clock_set_back_stops_nothing() -> None:
    """When capture times jump back, the next picture is due at once."""
    assert [5_000_000, 1_000_000] == admitted(25, [5_000_000, 1_000_000])
