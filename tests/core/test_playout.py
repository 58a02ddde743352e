from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.pcm import AudioFormat, Chunk
from app.core.playout import Playout, Queued
from app.core.utterances import Utterance

MS = 1_000_000
START = 3600 * 1000 * MS
"""A moment like a monotonic clock's: long after 0."""

UTTERANCE = Utterance(1, "u-1", AudioFormat(), implicit=False, opened_at=0)


def sized(ms: int, silence_ms: int = 0) -> Chunk:
    """A chunk that lasts ``ms`` in all."""
    return Chunk(bytes(48 * ms), 24 * (ms - silence_ms), 24 * silence_ms)


def filled(lead_ms: int | None, chunks: int = 10, ms: int = 40) -> Playout:
    """A buffer with some chunks in it."""
    playout = Playout(None if lead_ms is None else 24 * lead_ms)
    playout.push(UTTERANCE, [sized(ms)] * chunks)
    return playout


def burst(playout: Playout, at_ms: int) -> int:
    """Take all that is due ``at_ms`` after the start; how many chunks that were."""
    taken = 0
    while playout.due(START + at_ms * MS) is not None:
        taken += 1
    return taken


def deadline_ms(playout: Playout) -> float:
    """When to ask again, in ms after the start."""
    deadline = playout.next_deadline()
    assert deadline is not None
    return (deadline - START) / MS


def test_first_in_first_out() -> None:
    """Chunks leave in the order they came, with the utterance they belong to."""
    other = Utterance(2, "u-2", AudioFormat(), implicit=False, opened_at=0)
    first, second, third = sized(10), sized(20), sized(30)
    playout = Playout(None)
    playout.push(UTTERANCE, [first, second])
    playout.push(other, [third])

    assert Queued(UTTERANCE, first) == playout.head()
    assert [
        Queued(UTTERANCE, first),
        Queued(UTTERANCE, second),
        Queued(other, third),
        None,
    ] == [playout.due(START) for _ in range(4)]


@pytest.mark.parametrize("lead_ms", [None, 0, 1500])
def test_empty(lead_ms: int | None) -> None:
    """An empty buffer has no head, nothing due and no deadline."""
    playout = filled(lead_ms, chunks=0)

    assert None is playout.head()
    assert None is playout.due(START)
    assert None is playout.next_deadline()


def test_looking_takes_nothing() -> None:
    """The head stays until it is due."""
    playout = filled(0, chunks=1)

    assert playout.head() is playout.head()
    assert 1 == burst(playout, 0)


def test_no_lead_is_real_time() -> None:
    """With lead 0 each chunk goes when the one before is over."""
    playout = filled(0)

    assert [1, 0, 1, 0, 1] == [burst(playout, at) for at in (0, 39, 40, 79, 80)]
    assert 120 == deadline_ms(playout)


def test_a_lead_is_a_burst_and_then_real_time() -> None:
    """With 100 ms of lead two chunks of 40 ms go at once; each later one when it fits."""
    playout = filled(100)

    assert 2 == burst(playout, 0)
    assert 20 == deadline_ms(playout)
    assert [0, 1, 0, 1] == [burst(playout, at) for at in (19, 20, 59, 60)]


def test_a_large_lead_is_one_burst() -> None:
    """A lead longer than the audio hands it all over at once."""
    assert 10 == burst(filled(10_000), 0)


def test_a_chunk_longer_than_the_lead_goes_in_real_time() -> None:
    """A chunk that never fits the lead waits until nothing is ahead, and then goes."""
    playout = filled(20)

    assert [1, 0, 1] == [burst(playout, at) for at in (0, 39, 40)]


def test_the_sink_may_keep_time() -> None:
    """Without a lead everything is due at any time."""
    playout = filled(None)

    assert 0 > (playout.next_deadline() or 0)
    assert 10 == burst(playout, 0)


def test_padding_takes_time_too() -> None:
    """The pace counts what the sink plays, silence included."""
    playout = Playout(0)
    playout.push(UTTERANCE, [sized(20, silence_ms=15), sized(20)])

    assert 1 == burst(playout, 0)
    assert 20 == deadline_ms(playout)


@pytest.mark.parametrize(("lead_ms", "next_ms"), [(0, 280), (60, 300)])
def test_a_late_wake_up_catches_up(lead_ms: int, next_ms: int) -> None:
    """Calls that come up to 90 ms late cost nothing: what follows is due when it was anyway."""
    punctual, late = filled(lead_ms), filled(lead_ms)
    for at in range(0, 271, 10):
        burst(punctual, at)
    for at in range(0, 271, 90):
        burst(late, at)

    assert next_ms == deadline_ms(punctual)
    assert next_ms == deadline_ms(late)


def test_what_a_late_wake_up_missed_goes_in_one_burst() -> None:
    """90 ms late means two chunks more than the one that is due."""
    playout = filled(0)

    assert [1, 3] == [burst(playout, at) for at in (0, 130)]
    assert 160 == deadline_ms(playout)


def test_a_dry_buffer_starts_anew() -> None:
    """Real time is counted from the chunk that ends a dry spell, however short that was."""
    playout = filled(0, chunks=1)
    burst(playout, 0)
    burst(playout, 50)
    playout.push(UTTERANCE, [sized(40)] * 3)

    assert 1 == burst(playout, 50)
    assert 90 == deadline_ms(playout)


def test_a_buffer_that_is_filled_in_time_is_not_dry() -> None:
    """A chunk that comes while the one before still plays waits for its end."""
    playout = filled(0, chunks=1)
    burst(playout, 0)
    playout.push(UTTERANCE, [sized(40)])

    assert [0, 1] == [burst(playout, at) for at in (39, 40)]


def test_the_end_of_a_hold_is_no_late_wake_up() -> None:
    """What was held for longer than 100 ms goes on in real time instead of in one burst."""
    playout = filled(0)

    assert 1 == burst(playout, 0)
    assert 1 == burst(playout, 141)
    assert 181 == deadline_ms(playout)


def test_clear_drops_everything_and_forgets_the_sink() -> None:
    """What comes after a clear is due at once, though the lead was used up."""
    playout = filled(100)
    burst(playout, 0)
    playout.clear()

    assert None is playout.next_deadline()

    playout.push(UTTERANCE, [sized(40)] * 3)

    assert 2 == burst(playout, 1)
    assert 21 == deadline_ms(playout)


def test_drop_takes_one_utterance_out() -> None:
    """The chunks of the others keep their order."""
    other = Utterance(2, "u-2", AudioFormat(), implicit=False, opened_at=0)
    playout = Playout(None)
    for utterance in (UTTERANCE, other, UTTERANCE, other):
        playout.push(utterance, [sized(10)])
    playout.drop(UTTERANCE)

    assert [Queued(other, sized(10))] * 2 == [playout.due(START), playout.due(START)]
    assert None is playout.head()


@given(
    st.one_of(st.none(), st.integers(0, 3000)),
    st.lists(
        st.tuples(st.integers(0, 300 * MS), st.lists(st.integers(1, 2000), max_size=4)),
        max_size=30,
    ),
)
def test_the_deadline_is_exactly_when_due_first_says_yes(
    lead: int | None, steps: list[tuple[int, list[int]]]
) -> None:
    """A chunk is refused 1 ns before its deadline and given at it, never too far ahead."""
    playout = Playout(lead)
    now, handed = START, 0
    began: int | None = None
    for gap, sizes in steps:
        now += gap
        playout.push(UTTERANCE, [Chunk(bytes(2 * size), size) for size in sizes])
        deadline = playout.next_deadline()

        assert (deadline is None) == (playout.head() is None)
        if deadline is None:
            continue
        assert None is playout.due(deadline - 1)

        now = max(now, deadline)
        item = playout.due(now)

        assert item is not None
        began = now if began is None else began
        handed += item.chunk.length
        if lead is not None:
            allowed = (now - began) * 24 // MS + max(lead, item.chunk.length)

            assert handed <= allowed + len(steps)  # each deadline is rounded up by less than 1 ns


def test_what_was_put_back_goes_next_at_its_old_time() -> None:
    """The order stays, nothing is counted twice, and there is no gap where the sink got nothing."""
    playout = filled(0)
    first, second = playout.due(START), playout.due(START + 40 * MS)
    assert first is not None
    assert second is not None
    waiting = playout.waiting
    playout.put_back(second)
    playout.put_back(first)

    assert waiting + 2 * 40 * 24 == playout.waiting
    assert 0 == deadline_ms(playout)
    assert first == playout.due(START + 40 * MS)
    assert second == playout.due(START + 40 * MS)
    assert 80 == deadline_ms(playout)


def test_a_sink_may_take_less_at_once() -> None:
    """Larger chunks are cut as they leave, and refusals stay with both parts."""
    playout = Playout(None)
    playout.push(UTTERANCE, [sized(40)])
    playout.put_back(Queued(UTTERANCE, sized(40), tries=2))
    playout.largest = 24 * 25

    lengths = []
    while (item := playout.due(START)) is not None:
        lengths.append((item.chunk.length // 24, item.tries))

    assert [(25, 2), (15, 2), (25, 0), (15, 0)] == lengths
    assert 0 == playout.waiting
