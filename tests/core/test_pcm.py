from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.pcm import (
    SAMPLE_WIDTH,
    AudioFormat,
    Encoding,
    ms_to_samples,
    ns_to_samples,
    samples_to_ms,
    samples_to_ns,
)

SAMPLES = st.integers(0, 10**12)


@given(samples=SAMPLES)
def test_milliseconds_round_down(samples: int) -> None:
    """A position in ms never says more than was counted, and at most 1 ms less."""
    back = ms_to_samples(samples_to_ms(samples))

    assert 0 <= samples - back < 24


@given(samples=SAMPLES)
def test_deadline_of_samples_is_never_early(samples: int) -> None:
    """At its deadline the last sample has passed, one nanosecond before it has not."""
    at = samples_to_ns(samples)

    assert samples == ns_to_samples(at)
    assert samples == 0 or samples - 1 == ns_to_samples(at - 1)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_frame_holds_all_channels(encoding: Encoding) -> None:
    """A frame is one sample of each channel; WAV is taken for 16 bits until its header is read."""
    width = SAMPLE_WIDTH.get(encoding, 2)

    assert width == AudioFormat(encoding).frame_bytes()
    assert 2 * width == AudioFormat(encoding, 48_000, 2).frame_bytes()


@pytest.mark.parametrize(
    ("form", "size", "samples"),
    [
        (AudioFormat(), 48_000, 24_000),
        (AudioFormat(), 3, 1),
        (AudioFormat(Encoding.MULAW, 8_000), 8_000, 24_000),
        (AudioFormat(Encoding.F32LE, 48_000, 2), 384_000, 24_000),
        (AudioFormat(Encoding.S24LE, 44_100), 3 * 44_100 - 1, 23_999),
    ],
)
def test_bytes_are_counted_in_samples(form: AudioFormat, size: int, samples: int) -> None:
    """Bytes of any format come out as samples at 24 kHz, rounded down."""
    assert samples == form.samples_in(size)
