from __future__ import annotations

from app.core.media import Choices, PictureChoice, PictureCodec, Wants


def test_wants_are_true_when_anything_is_wanted() -> None:
    """A room that nobody watches has nothing to do."""
    choice = PictureChoice(PictureCodec.JPEG, 25, 640)

    assert not Wants()
    assert Wants(frozenset({choice}))
    assert Wants(sound=True)
    assert Wants(people=True)


def test_equal_choices_are_one() -> None:
    """Two viewers who want the same want it once."""
    one, other = (PictureChoice(PictureCodec.JPEG, 25, 640) for _ in range(2))

    assert 1 == len({one, other})
    assert 2 == len({one, PictureChoice(PictureCodec.JPEG, 24, 640)})


def test_wants_are_what_any_viewer_wants() -> None:
    """The room gives what somebody wants, once."""
    small, large = (PictureChoice(PictureCodec.JPEG, 25, width) for width in (320, 640))
    viewers = [Choices(small, audio=16_000), Choices(large), Choices(small), Choices()]

    assert Wants(frozenset({small, large}), sound=True) == Wants.of(viewers)
    assert Wants(people=True) == Wants.of([Choices(user_audio=8000)])
    assert not Wants.of([])
