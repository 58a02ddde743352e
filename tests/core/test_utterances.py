from __future__ import annotations

import pytest

from app.core.pcm import AudioFormat, Encoding
from app.core.utterances import Utterance, Utterances
from app.errors import TooManyUtterances, UtteranceIdInUse

FORMAT = AudioFormat(Encoding.S16LE, 16_000)


def start(utterances: Utterances, utterance_id: str | None = None, now: int = 0) -> Utterance:
    """Close the open utterance and start another."""
    utterances.close()
    return utterances.start(utterance_id, FORMAT, implicit=False, now=now)


def test_a_new_utterance() -> None:
    """It is open, last in line, and knows its number, id, format, origin and hour."""
    utterances = Utterances(64)
    utterance = utterances.start("a", FORMAT, implicit=True, now=7)

    assert (1, "a", FORMAT, True, 7) == (
        utterance.number,
        utterance.utterance_id,
        utterance.format,
        utterance.implicit,
        utterance.opened_at,
    )
    assert utterance.open
    assert utterance is utterances.open
    assert [utterance] == list(utterances.line)


def test_numbers_rise_and_ids_are_made_from_them() -> None:
    """Who gives no id gets ``u-`` and the number in the session."""
    utterances = Utterances(64)

    assert ["u-1", "mine", "u-3"] == [
        start(utterances, given).utterance_id for given in (None, "mine", None)
    ]


def test_a_made_id_avoids_the_clients() -> None:
    """A client may have used the id that would be made: then it gets a tail."""
    utterances = Utterances(64)
    start(utterances, "u-3")
    start(utterances, "u-3.")

    assert "u-3.." == start(utterances).utterance_id


def test_closing() -> None:
    """A closed utterance stays in line; closing again closes nothing."""
    utterances = Utterances(64)
    utterance = start(utterances)

    assert utterance is utterances.close()
    assert not utterance.open
    assert None is utterances.open
    assert [utterance] == list(utterances.line)
    assert None is utterances.close()


def test_an_id_cannot_be_used_again() -> None:
    """A used id is refused, also after its utterance is gone, and nothing changes."""
    utterances = Utterances(64)
    start(utterances, "a")
    utterances.close()
    utterances.line.clear()

    with pytest.raises(UtteranceIdInUse, match="'a' was used before"):
        utterances.start("a", FORMAT, implicit=False, now=0)

    assert None is utterances.open
    assert [] == list(utterances.line)
    assert 2 == start(utterances, "b").number


def test_the_last_thousand_ids_are_remembered() -> None:
    """The 1000th id before the last can be used again, the 999th cannot; made ids count."""
    utterances = Utterances(2000)
    start(utterances, "first")
    start(utterances, "second")
    for _ in range(998):
        start(utterances)
    with pytest.raises(UtteranceIdInUse):
        start(utterances, "first")
    start(utterances)

    assert "first" == start(utterances, "first").utterance_id
    assert "second" == start(utterances, "second").utterance_id
    with pytest.raises(UtteranceIdInUse):
        start(utterances, "first")


def test_only_so_many_may_wait() -> None:
    """At the limit the next one is refused and nothing changes; one less makes room."""
    utterances = Utterances(2)
    first, second = start(utterances), start(utterances)
    utterances.close()

    with pytest.raises(TooManyUtterances, match="2 utterances are waiting"):
        utterances.start("third", FORMAT, implicit=False, now=0)

    assert None is utterances.open
    assert [first, second] == list(utterances.line)
    utterances.line.popleft()
    third = utterances.start("third", FORMAT, implicit=False, now=0)
    assert 3 == third.number


def test_waiting() -> None:
    """An utterance waits while it is in line, open or not, and no longer."""
    utterances = Utterances(64)
    start(utterances, "a")
    start(utterances, "b")

    assert utterances.waits("a")
    assert utterances.waits("b")
    assert not utterances.waits("c")

    utterances.cut_all(0)

    assert not utterances.waits("a")


def test_a_cut_takes_everything_and_raises_the_epoch() -> None:
    """Everything in line is cut, in order; the open one is closed; the ids stay used."""
    utterances = Utterances(2)
    first, second = start(utterances, "a"), start(utterances, "b")

    assert [first, second] == utterances.cut_all(9)
    assert [first, second] == utterances.cut
    assert [9, 9] == [first.cut_at, second.cut_at]
    assert not second.open
    assert None is utterances.open
    assert [] == list(utterances.line)
    assert 1 == utterances.epoch
    with pytest.raises(UtteranceIdInUse):
        start(utterances, "a")


def test_a_cut_of_nothing_raises_the_epoch_too() -> None:
    """An interrupt counts when there was nothing to cut."""
    utterances = Utterances(64)

    assert [] == utterances.cut_all(0)
    assert [] == utterances.cut_all(0)
    assert 2 == utterances.epoch


def test_what_was_cut_takes_no_place() -> None:
    """After an interrupt as many utterances as ever may wait, and the older cuts are kept."""
    utterances = Utterances(1)
    first = start(utterances)
    utterances.cut_all(1)
    second = start(utterances)
    utterances.cut_all(2)

    assert [first, second] == utterances.cut
    assert [1, 2] == [first.cut_at, second.cut_at]


@pytest.mark.parametrize(
    ("position", "told", "sent", "played"),
    [
        (50, 0, 100, 50),
        (150, 0, 100, 100),
        (50, 80, 100, 80),
        (50, 80, 60, 60),  # what was sent shrank after it was told
    ],
)
def test_a_position_is_clamped(position: int, told: int, sent: int, played: int) -> None:
    """Played is never more than sent; what was told is not taken back otherwise."""
    utterance = start(Utterances(64))
    utterance.received, utterance.sent, utterance.told = 200, sent, told
    utterance.play_to(position, "replica")

    assert played == utterance.played
    assert "replica" == utterance.source


def test_a_hand_over_can_be_undone() -> None:
    """What the room did not get after all was neither sent nor played."""
    utterance = start(Utterances(64))
    utterance.sent, utterance.played, utterance.first_sent_at = 100, 90, 5
    utterance.take_back(40)

    assert (60, 60, 5) == (utterance.sent, utterance.played, utterance.first_sent_at)


def test_an_undone_first_hand_over_never_was() -> None:
    """When nothing is left of what was sent, nothing was sent at any time, and nobody heard it."""
    utterance = Utterance(1, "a", FORMAT, implicit=False, opened_at=0, sent=100, first_sent_at=5)
    utterance.play_to(90, "replica")
    utterance.take_back(100)

    assert (0, 0, None) == (utterance.sent, utterance.played, utterance.first_sent_at)
    assert "clock" == utterance.source


def test_milliseconds_are_rounded_down() -> None:
    """Counts are samples inside and whole milliseconds outside; the dropped are the difference."""
    utterance = start(Utterances(64))
    utterance.received, utterance.sent, utterance.played = 24 * 100 - 1, 24 * 50 + 23, 23

    assert 99 == utterance.received_ms
    assert 50 == utterance.sent_ms
    assert 0 == utterance.played_ms
    assert 49 == utterance.dropped_ms


def test_what_is_not_handed_over_yet() -> None:
    """It is what was accepted and not sent, and nothing of an utterance that is over."""
    utterances = Utterances(64)
    waiting, done, abandoned, cut = (start(utterances) for _ in range(4))
    for utterance in (waiting, done, abandoned, cut):
        utterance.received, utterance.sent = 100, 30
    done.done = True
    abandoned.abandoned = True
    cut.cut_at = 5

    assert [70, 0, 0, 0] == [u.unsent for u in (waiting, done, abandoned, cut)]
