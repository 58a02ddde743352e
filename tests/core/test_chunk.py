from __future__ import annotations

import numpy as np
import pytest

from app.core.chunk import ECHO, ECHO_AT_ONCE, TRACK, Chunker, Framing
from app.core.pcm import Chunk


def ramp(start: int, stop: int) -> bytes:
    """Samples with these values, one each."""
    return np.arange(start, stop, dtype="<i2").tobytes()


def push(chunker: Chunker, start: int, stop: int) -> list[Chunk]:
    """Push samples with these values."""
    return chunker.push(np.arange(start, stop, dtype="<i2"))


def test_echo_starts_early() -> None:
    """The first echo chunk is 10 ms long, every later one 40 ms."""
    chunks = push(Chunker(ECHO), 0, 240 + 960 + 960)

    assert [
        Chunk(ramp(0, 240), 240),
        Chunk(ramp(240, 1200), 960),
        Chunk(ramp(1200, 2160), 960),
    ] == chunks


def test_what_need_not_wait_goes_at_once() -> None:
    """From the length of a first chunk on, and cut at 40 ms; less than that waits."""
    chunker = Chunker(ECHO_AT_ONCE)
    lengths = [
        [chunk.samples for chunk in push(chunker, 0, samples)] for samples in (239, 480, 2000, 239)
    ]

    assert [[], [240, 479], [960, 960], [80 + 239]] == lengths
    assert [] == chunker.flush()


@pytest.mark.parametrize("framing", [ECHO, ECHO_AT_ONCE, TRACK])
def test_what_is_missing_makes_a_chunk(framing: Framing) -> None:
    """One sample less makes none."""
    chunker = Chunker(framing)
    for held in (0, 1, 200, 0):
        push(chunker, 0, held)
        missing = chunker.missing

        assert [] == push(chunker, 0, missing - 1)
        assert 1 == len(push(chunker, 0, 1))


def test_echo_ends_without_padding() -> None:
    """The last echo chunk is as long as the speech that is left."""
    chunker = Chunker(ECHO)
    chunks = push(chunker, 0, 241)

    assert [240] == [chunk.samples for chunk in chunks]
    assert [Chunk(ramp(240, 241), 1)] == chunker.flush()


def test_echo_shorter_than_its_first_chunk() -> None:
    """Speech shorter than 10 ms comes out at the end."""
    chunker = Chunker(ECHO)

    assert [] == push(chunker, 0, 239)
    assert [Chunk(ramp(0, 239), 239)] == chunker.flush()


def test_track_pads_its_last_frame() -> None:
    """A track frame is always 20 ms; what is no speech in it is silence and counted as such."""
    chunker = Chunker(TRACK)

    assert [Chunk(ramp(0, 480), 480)] == push(chunker, 0, 500)
    assert [Chunk(ramp(480, 500) + bytes(2 * 460), 20, 460)] == chunker.flush()


def test_padding_goes_up_to_the_chunk_that_was_begun() -> None:
    """A first chunk that is not full is filled up to the first chunk's length."""
    chunker = Chunker(Framing(first=4, rest=8, pad=True))
    push(chunker, 0, 3)

    assert [Chunk(ramp(0, 3) + b"\0\0", 3, 1)] == chunker.flush()


@pytest.mark.parametrize("framing", [ECHO, TRACK])
def test_nothing_left_gives_nothing(framing: Framing) -> None:
    """No empty chunk and no frame of mere silence is made."""
    chunker = Chunker(framing)

    assert [] == push(chunker, 0, 0)
    assert [] == chunker.flush()
    assert 1 == len(push(chunker, 0, framing.first))
    assert [] == chunker.flush()


def test_flush_begins_anew() -> None:
    """The chunk after a flush is a first one."""
    chunker = Chunker(ECHO)
    push(chunker, 0, 1500)
    chunker.flush()

    assert [Chunk(ramp(0, 240), 240)] == push(chunker, 0, 240)


def test_clear_drops_what_is_held() -> None:
    """Nothing of what came before a clear comes out, and the next chunk is a first one."""
    chunker = Chunker(ECHO)
    push(chunker, 0, 1500)
    chunker.clear()

    assert [Chunk(ramp(7, 247), 240)] == push(chunker, 7, 247)
    assert [] == chunker.flush()


def test_the_input_may_be_reused() -> None:
    """What is held is a copy: the caller's buffer can change at once."""
    chunker = Chunker(TRACK)
    samples = np.ones(100, dtype="<i2")
    chunker.push(samples)
    samples[:] = 0

    assert np.ones(100, "<i2").tobytes() == chunker.flush()[0].pcm[:200]
