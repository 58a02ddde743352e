from __future__ import annotations

import numpy as np
import pytest
import soxr

from app.sandbox.utterance import Piece, Utterance


def test_a_piece_splits_at_any_sample() -> None:
    """Speech stands in front, padding behind."""
    piece = Piece(bytes(range(10)), samples=3, silence=2, epoch=1)

    assert (Piece(bytes(range(4)), 2, 0, 1), Piece(bytes(range(4, 10)), 1, 2, 1)) == piece.split(2)
    assert (Piece(bytes(range(8)), 3, 1, 1), Piece(bytes(range(8, 10)), 0, 1, 1)) == piece.split(4)
    assert (Piece(None, 2, 0, 1), Piece(None, 1, 0, 1)) == Piece(None, 3, 0, 1).split(2)


def test_what_is_played_is_joined_by_epoch() -> None:
    """Few pieces are told of, and none mixes epochs or sound with its absence."""
    utterance = Utterance("a", "a")

    utterance.append(0, bytes(4), 24_000, silence=0, epoch=0)
    utterance.append(0, bytes(4), 24_000, silence=1, epoch=0)
    utterance.append(0, bytes(4), 24_000, silence=0, epoch=1)
    utterance.add(0, Piece(None, 5, 0, 1))
    first, second, third = utterance.take(7), utterance.take(3), utterance.take(1)

    assert [Piece(bytes(8), 3, 1, 0), Piece(bytes(4), 2, 0, 1), Piece(None, 1, 0, 1)] == first
    assert [Piece(None, 3, 0, 1)] == second
    assert [Piece(None, 1, 0, 1)] == third
    assert 11 == utterance.played == utterance.received


def test_a_listener_may_look_at_any_stretch() -> None:
    """Of what is not yet taken; what has no sound is zeros."""
    utterance = Utterance("a", "a")

    utterance.append(0, b"\x01\x00\x02\x00", 24_000, silence=0, epoch=0)
    utterance.append(0, b"\x03\x00\x04\x00", 24_000, silence=0, epoch=1)
    utterance.add(0, Piece(None, 2, 0, 1))
    utterance.take(1)

    assert b"\x02\x00\x03\x00" == utterance.peek(1, 3)
    assert b"\x04\x00\0\0" == utterance.peek(3, 5)
    assert b"" == utterance.peek(2, 2)
    assert 1 == utterance.played


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_conversion_is_the_same_however_it_is_cut(rate: int) -> None:
    """As good as one float32 conversion of the whole, rounded once."""
    wave = (np.sin(np.arange(rate) / 20) * 20_000).astype("<i2")
    once = soxr.resample(wave.astype(np.float32), rate, 24_000)
    utterance = Utterance("a", "a")

    for part in np.array_split(wave, 37):
        utterance.append(0, part.tobytes(), rate, silence=0, epoch=0)
    utterance.close(0, 0)
    utterance.close(0, 0)
    (piece,) = utterance.take(utterance.received)
    heard = np.frombuffer(piece.pcm or b"", "<i2")

    assert 24_000 == utterance.received
    assert np.array_equal(np.rint(once).astype("<i2"), heard)
