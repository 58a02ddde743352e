from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.playhead import Playhead

MS = 1_000_000
SAMPLES = 24
"""Samples a millisecond."""


def test_nothing_handed_is_nothing_played() -> None:
    """A player that holds nothing is at 0 and stays there."""
    head = Playhead()

    assert 0 == head.at(0)
    assert 0 == head.at(5000 * MS)
    assert 0 == head.ahead(5000 * MS)
    assert None is head.reaches(1)


def test_it_plays_in_real_time() -> None:
    """Without a pre-buffer it starts at once and plays 24 samples a millisecond, to the end."""
    head = Playhead()
    head.hand(100 * SAMPLES, 1000 * MS)

    assert 0 == head.at(1000 * MS)
    assert 0 == head.at(1000 * MS + 41_666)
    assert 1 == head.at(1000 * MS + 41_667)
    assert 40 * SAMPLES == head.at(1040 * MS)
    assert 60 * SAMPLES == head.ahead(1040 * MS)
    assert 100 * SAMPLES == head.at(1100 * MS)
    assert 100 * SAMPLES == head.at(9999 * MS)
    assert 0 == head.ahead(9999 * MS)


def test_a_question_about_the_past_goes_no_further_back_than_the_start() -> None:
    """Before the start nothing was played, whatever moment is asked about."""
    head = Playhead()
    head.hand(100 * SAMPLES, 1000 * MS)

    assert 0 == head.at(900 * MS)


def test_bursts_play_without_a_break() -> None:
    """What is handed over while it plays follows without a gap."""
    head = Playhead()
    head.hand(100 * SAMPLES, 0)
    head.hand(100 * SAMPLES, 30 * MS)

    assert 150 * SAMPLES == head.at(150 * MS)
    assert 200 * MS == head.reaches(200 * SAMPLES)


def test_a_late_call_catches_up() -> None:
    """The position comes from the start, not from when it was last asked for."""
    head = Playhead()
    head.hand(1000 * SAMPLES, 0)
    head.at(10 * MS)

    assert 777 * SAMPLES == head.at(777 * MS)


def test_a_dry_player_starts_anew() -> None:
    """What comes after the player ran dry plays from when it came; the gap is no speech."""
    head = Playhead()
    head.hand(100 * SAMPLES, 0)
    head.hand(100 * SAMPLES, 250 * MS)

    assert 100 * SAMPLES == head.at(250 * MS)
    assert 150 * SAMPLES == head.at(300 * MS)
    assert 350 * MS == head.reaches(200 * SAMPLES)


def test_it_waits_for_its_prebuffer() -> None:
    """It starts with the call that fills the pre-buffer, not before."""
    head = Playhead(100 * SAMPLES)
    head.hand(100 * SAMPLES - 1, 0)

    assert 0 == head.at(500 * MS)
    assert None is head.reaches(1)

    head.hand(1, 500 * MS)

    assert 100 * SAMPLES == head.at(600 * MS)


def test_a_dry_player_wants_its_prebuffer_again() -> None:
    """After a pause inside a word the pre-buffer fills anew."""
    head = Playhead(100 * SAMPLES)
    head.hand(100 * SAMPLES, 0)
    head.hand(50 * SAMPLES, 1000 * MS)

    assert 100 * SAMPLES == head.at(2000 * MS)

    head.hand(50 * SAMPLES, 2000 * MS)

    assert 140 * SAMPLES == head.at(2040 * MS)


def test_the_end_needs_no_prebuffer() -> None:
    """Announcing the end starts what waits, and what still comes after it."""
    head = Playhead(100 * SAMPLES)
    head.hand(10 * SAMPLES, 0)
    head.close(300 * MS)

    assert 5 * SAMPLES == head.at(305 * MS)

    head.hand(10 * SAMPLES, 400 * MS)

    assert 15 * SAMPLES == head.at(405 * MS)


def test_the_end_can_be_taken_back() -> None:
    """After ``reopen`` the pre-buffer counts again."""
    head = Playhead(100 * SAMPLES)
    head.close(0)
    head.reopen()
    head.hand(10 * SAMPLES, 0)

    assert 0 == head.at(1000 * MS)


def test_announcing_the_end_moves_nothing() -> None:
    """A player that plays already is not started twice."""
    head = Playhead()
    head.hand(100 * SAMPLES, 0)
    head.close(50 * MS)

    assert 60 * SAMPLES == head.at(60 * MS)


def test_the_end_is_known_also_when_it_is_announced_too_late() -> None:
    """A player that ran dry long before its end was announced says when it ran dry."""
    head = Playhead(100 * SAMPLES)
    head.hand(100 * SAMPLES, 0)
    head.close(5000 * MS)

    assert 100 * MS == head.reaches(100 * SAMPLES)


def test_what_was_played_is_known_while_more_waits() -> None:
    """New audio that waits for the pre-buffer does not make the past uncertain."""
    head = Playhead(100 * SAMPLES)
    head.hand(100 * SAMPLES, 0)
    head.hand(10 * SAMPLES, 5000 * MS)

    assert 100 * MS == head.reaches(100 * SAMPLES)
    assert None is head.reaches(101 * SAMPLES)


@given(
    st.integers(0, 5000),
    st.lists(st.tuples(st.integers(0, 400 * MS), st.integers(1, 5000)), min_size=1),
    st.integers(0, 400 * MS),
)
def test_a_position_is_reached_exactly_when_it_says(
    prebuffer: int, hands: list[tuple[int, int]], after: int
) -> None:
    """It never goes back, holds what it was handed, and keeps the moments it promises."""
    head, now, before = Playhead(prebuffer), 0, 0
    for gap, samples in hands:
        now += gap

        assert before <= head.at(now) <= head.handed

        before = head.at(now)
        head.hand(samples, now)

        assert before == head.at(now)
    now += after
    head.close(now)
    position = head.handed
    at = head.reaches(position)

    assert at is not None
    assert position == head.at(max(at, now))
    assert at <= now or position - 1 == head.at(at - 1)


def test_a_player_that_did_not_get_its_last_samples() -> None:
    """They are not waited for; what was played before stays played."""
    head = Playhead()
    head.hand(2400, 0)
    head.take_back(1200)

    assert 1200 == head.handed
    assert 1200 == head.at(10**9)

    head.hand(2400, 10**9)
    head.take_back(2400)

    assert 1200 == head.handed == head.at(2 * 10**9)


def test_a_player_that_was_taken_to_have_played_what_it_did_not_get() -> None:
    """When that comes again it is played then, and not at once."""
    head = Playhead()
    head.hand(2400, 0)
    head.hand(2400, 10**9)
    head.take_back(4800)
    head.hand(2400, 2 * 10**9)

    assert 0 == head.at(2 * 10**9)
    assert 1200 == head.at(2 * 10**9 + 50_000_000)
