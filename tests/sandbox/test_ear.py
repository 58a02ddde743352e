from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.pcm import ns_to_samples, samples_to_ns
from app.sandbox.ear import PIECE, PIECE_NS, Ear
from app.sandbox.facts import Sound

T0 = 1_000_000_000
ONES = b"\x01\x00"


def test_silence_is_sound() -> None:
    """Whole pieces of zeros."""
    assert bytes(PIECE * 2) == Ear(T0).piece([])


def test_a_sound_has_its_place() -> None:
    """Samples before it are silent, and those after it; all is one sample late."""
    ear = Ear(T0)

    ear.piece([])
    piece = ear.piece([Sound(T0 + PIECE_NS + samples_to_ns(100), 0, ONES * 10)])

    assert bytes(202) + ONES * 10 + bytes(738) == piece


def test_several_sounds_fit_into_one_piece() -> None:
    """Two utterances in a row leave no gap between them."""
    piece = Ear(T0).piece(
        [Sound(T0, 0, ONES * 100), Sound(T0 + samples_to_ns(100), 0, b"\x02\x00" * 50)]
    )

    assert bytes(2) + ONES * 100 + b"\x02\x00" * 50 + bytes(658) == piece


@given(st.integers(-PIECE_NS * 3, PIECE_NS * 3), st.lists(st.integers(T0, T0 + 7 * PIECE_NS)))
def test_speech_is_whole_however_it_is_cut(began: int, cuts: list[int]) -> None:
    """No sample is lost or doubled, whenever it began and whenever it was asked for."""
    ear = Ear(T0)
    spoken = b"".join((number % 251 + 1).to_bytes(2, "little") for number in range(10_000))
    said = missed = ns_to_samples(max(0, -began))
    heard = b""
    for tick in range(1, 8):
        at = T0 + tick * PIECE_NS
        sounds = []
        for moment in [*(cut for cut in sorted(cuts) if at - PIECE_NS < cut < at), at]:
            to = ns_to_samples(max(0, moment - T0 - began))
            if to > said:
                sounds.append(Sound(T0 + began, said, spoken[said * 2 : to * 2]))
                said = to
        heard += ear.piece(sounds)
    heard += ear.piece([])

    assert PIECE * 2 * 8 == len(heard)
    assert spoken[missed * 2 : said * 2] == heard.strip(b"\0") + b"\0" * (said > missed)
