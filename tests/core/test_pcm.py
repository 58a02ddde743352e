from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.pcm import (
    AudioFormat,
    Chunk,
    Encoding,
    earliest,
    ms_to_samples,
    ns_to_samples,
    samples_to_ms,
    samples_to_ns,
)


def test_a_second_in_every_unit() -> None:
    """24 000 samples are 1 000 ms and 1 000 000 000 ns, both ways."""
    assert 1000 == samples_to_ms(24_000)
    assert 24_000 == ms_to_samples(1000)
    assert 1_000_000_000 == samples_to_ns(24_000)
    assert 24_000 == ns_to_samples(1_000_000_000)


@pytest.mark.parametrize(("samples", "ms"), [(0, 0), (23, 0), (24, 1), (47, 1), (48, 2)])
def test_milliseconds_are_rounded_down(samples: int, ms: int) -> None:
    """A millisecond counts when it is whole."""
    assert ms == samples_to_ms(samples)


@pytest.mark.parametrize(("samples", "ns"), [(0, 0), (1, 41_667), (2, 83_334), (3, 125_000)])
def test_deadlines_are_rounded_up(samples: int, ns: int) -> None:
    """One sample lasts 41 666.67 ns; no deadline may come before its sample is over."""
    assert ns == samples_to_ns(samples)


@given(st.integers(0, 10**12))
def test_at_its_deadline_a_sample_is_over_and_never_before(samples: int) -> None:
    """The two conversions meet: exactly at ``samples_to_ns`` that many samples have passed."""
    assert samples == ns_to_samples(samples_to_ns(samples))
    assert samples == ns_to_samples(samples_to_ns(samples + 1) - 1)


@given(st.integers(0, 10**12))
def test_a_position_in_milliseconds_loses_less_than_one(samples: int) -> None:
    """It never says more than was counted; a whole number of milliseconds comes back unchanged."""
    assert 0 <= samples - ms_to_samples(samples_to_ms(samples)) < 24
    assert samples == samples_to_ms(ms_to_samples(samples))


@pytest.mark.parametrize(
    ("encoding", "width"),
    [
        (Encoding.S16LE, 2),
        (Encoding.S16BE, 2),
        (Encoding.S24LE, 3),
        (Encoding.S32LE, 4),
        (Encoding.U8, 1),
        (Encoding.F32LE, 4),
        (Encoding.MULAW, 1),
        (Encoding.ALAW, 1),
        (Encoding.WAV, 2),
    ],
)
def test_bytes_of_one_sample(encoding: Encoding, width: int) -> None:
    """A sample has its encoding's bytes once a channel; ``wav`` counts with the usual 16 bits."""
    assert width == AudioFormat(encoding).frame_bytes()
    assert 2 * width == AudioFormat(encoding, channels=2).frame_bytes()


def test_every_encoding_has_a_width() -> None:
    """No encoding is forgotten in the table above."""
    assert 9 == len(Encoding)


@pytest.mark.parametrize(
    ("fmt", "count", "samples"),
    [
        (AudioFormat(), 960, 480),
        (AudioFormat(), 961, 480),
        (AudioFormat(Encoding.MULAW, 8000), 8000, 24_000),
        (AudioFormat(Encoding.S16LE, 44_100, 2), 176_400, 24_000),
        (AudioFormat(Encoding.S16LE, 192_000), 14, 0),
        (AudioFormat(Encoding.S16LE, 192_000), 16, 1),
    ],
)
def test_samples_in_bytes(fmt: AudioFormat, count: int, samples: int) -> None:
    """Bytes of any format are told in whole samples at 24 kHz, rounded down."""
    assert samples == fmt.samples_in(count)


@pytest.mark.parametrize(("length", "parts"), [(2, ((2, 0), (2, 4))), (6, ((4, 2), (0, 2)))])
def test_a_chunk_can_be_cut_in_two(
    length: int, parts: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    """Speech stays at the front of each part, and padding at its end; no sample is lost."""
    chunk = Chunk(bytes(range(16)), 4, 4)
    first, rest = chunk.split(length)

    assert chunk.pcm == first.pcm + rest.pcm
    assert parts == ((first.samples, first.silence), (rest.samples, rest.silence))
    assert (length, 8 - length) == (first.length, rest.length)


@pytest.mark.parametrize(
    ("at", "first", "second"),
    [(None, None, None), (1, 1, None), (1, None, 1), (1, 1, 2), (1, 2, 1), (0, 0, 1)],
)
def test_the_earliest_of_what_there_is(
    at: int | None, first: int | None, second: int | None
) -> None:
    """A moment that is missing counts for nothing, whatever the time."""
    assert at == earliest(first, second)
