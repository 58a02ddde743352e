from __future__ import annotations

from app.core.spoken_turn import FRAME_MS, PAUSE_FRAMES, VOICED, SpokenTurn

NEED_MS = 200
NEED = 13
"""Frames of 16 ms that are 200 ms at least."""

LOUD, QUIET = VOICED, VOICED - 0.01


def cuts(turn: SpokenTurn, score: float, frames: int, *, playing: bool = True) -> list[int]:
    """Let the same score be heard so often; returns at which frames it cuts."""
    return [n for n in range(1, frames + 1) if turn.hear(score, playing=playing)]


def test_enough_voice_cuts() -> None:
    """The first so many milliseconds of voice cut, and what follows in the same turn does not."""
    assert [NEED] == cuts(SpokenTurn(NEED_MS), LOUD, 500)


def test_what_is_no_voice_never_cuts() -> None:
    """However long it goes on."""
    assert [] == cuts(SpokenTurn(NEED_MS), QUIET, 1000)


def test_short_pauses_between_syllables_do_not_matter() -> None:
    """Half of the frames are enough."""
    turn = SpokenTurn(NEED_MS)
    heard = [turn.hear(LOUD if n % 2 else QUIET, playing=True) for n in range(1, 2 * NEED + 1)]

    assert 2 * NEED - 1 == 1 + heard.index(True)


def test_voices_that_are_rare_do_not_add_up() -> None:
    """Of every second a fifth: never enough at once."""
    turn = SpokenTurn(NEED_MS)
    per_second = 1000 // FRAME_MS
    for _ in range(20):
        assert [] == cuts(turn, LOUD, per_second // 5)
        assert [] == cuts(turn, QUIET, per_second - per_second // 5)


def test_next_turn_cuts_again() -> None:
    """Once a person has paused for half a second, and not before."""
    turn = SpokenTurn(NEED_MS)
    first = cuts(turn, LOUD, 50)
    cuts(turn, QUIET, PAUSE_FRAMES - 1)
    same_turn = cuts(turn, LOUD, 50)
    cuts(turn, QUIET, PAUSE_FRAMES)
    next_turn = cuts(turn, LOUD, 50)

    assert ([NEED], [], [NEED]) == (first, same_turn, next_turn)


def test_silent_replica_is_not_cut() -> None:
    """What was said before the replica began does not count."""
    turn = SpokenTurn(NEED_MS)

    assert [] == cuts(turn, LOUD, 500, playing=False)
    assert [NEED] == cuts(turn, LOUD, 500)


def test_microphone_that_was_off_ends_the_turn() -> None:
    """A pause of which nothing was heard is a pause too."""
    turn = SpokenTurn(NEED_MS)
    cuts(turn, LOUD, 50)
    cuts(turn, LOUD, NEED - 1)
    turn.pause()

    assert [NEED] == cuts(turn, LOUD, 50)
