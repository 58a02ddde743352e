from __future__ import annotations

import numpy as np
import pytest
import soxr

from app.core.resample import Resampler, resampled_length, to_s16

QUALITIES = ["QQ", "LQ", "MQ", "HQ", "VHQ"]


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("rate", [8000, 8001, 16000, 22050, 24000, 44100, 47999, 48000, 192000])
def test_slices_give_the_bits_of_one_shot(rate: int, quality: str) -> None:
    """However the signal is cut, the result is that of one call, and as long as promised."""
    random = np.random.default_rng(rate)
    signal = random.uniform(-1, 1, 3001).astype(np.float32)
    cuts = np.sort(random.integers(0, signal.size, 40))
    resampler = Resampler(rate, quality)
    parts = [resampler.push(part) for part in np.split(signal, cuts)]
    got = np.concatenate([*parts, resampler.flush()])

    assert resampled_length(3001, rate) == got.size
    assert soxr.resample(signal, rate, 24000, quality).tobytes() == got.tobytes()


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 44100, 48000, 96000])
def test_without_what_it_lacks_not_so_many_come_out(rate: int, quality: str) -> None:
    """Whatever it was given before; what it is given then may be any part of what it lacks."""
    random = np.random.default_rng(rate)
    resampler = Resampler(rate, quality)
    told = 0
    for _ in range(300):
        wanted = int(random.integers(1, 2000))
        lacks = resampler.lacks(wanted)
        told += lacks > 1
        given = int(random.integers(0, lacks)) if lacks > 1 else int(random.integers(rate // 20))
        got = resampler.push(np.zeros(given, np.float32)).size

        assert given >= lacks or got < wanted
    assert told > 50


@pytest.mark.parametrize(
    ("rate", "quality", "before", "given", "wanted"),
    [
        # At a high rate it may keep more than a block, which then comes with any sample.
        (176_400, "VHQ", (12_348, 12_171, 14_112), 176, 84),
        # Where the samples in and out do not line up a block may come with one sample less.
        (73_786, "LQ", (3073, 3134, 2739, 2085, 1383, 973, 2345), 3872, 1192),
    ],
)
def test_what_may_come_is_not_waited_for(
    rate: int, quality: str, before: tuple[int, ...], given: int, wanted: int
) -> None:
    """Also where soxr does not keep what it mostly keeps."""
    resampler = Resampler(rate, quality)
    for samples in before:
        resampler.push(np.zeros(samples, np.float32))
    lacks = resampler.lacks(wanted)
    got = resampler.push(np.zeros(given, np.float32)).size

    assert given >= lacks
    assert wanted <= got


def test_what_it_lacks_is_nearly_all() -> None:
    """Once it is known, what is wanted mostly comes with less than 1 ms more."""
    resampler = Resampler(16000, "HQ")
    late = []
    for _ in range(100):
        got = resampler.push(np.zeros(max(0, resampler.lacks(960)), np.float32)).size
        more = 0
        while got < 960:
            got += resampler.push(np.zeros(1, np.float32)).size
            more += 1
        late.append(more)

    assert 16 > sorted(late)[90]


@pytest.mark.parametrize(
    ("samples", "rate", "length"),
    [
        (0, 8000, 0),
        (1, 8000, 3),
        (800, 8000, 2400),
        (1, 16000, 2),  # 1.5
        (3, 16000, 5),  # 4.5: to even would be 4
        (1, 48000, 1),  # 0.5: to even would be 0
        (5, 48000, 3),  # 2.5
        (1, 192000, 0),
        (3, 192000, 0),
        (4, 192000, 1),
        (441, 44100, 240),
        (192000 * 600 + 1, 192000, 24000 * 600),
    ],
)
def test_length(samples: int, rate: int, length: int) -> None:
    """The promised length rounds halves up, and soxr keeps the promise."""
    resampler = Resampler(rate, "QQ")
    zeros = np.zeros(min(samples, 192000), np.float32)
    got = sum(resampler.push(zeros).size for _ in range(samples // 192000)) if samples else 0
    got += resampler.push(zeros[: samples % 192000]).size + resampler.flush().size

    assert length == resampled_length(samples, rate)
    assert length == got


def test_sixteen_bits_come_back_unchanged() -> None:
    """Every 16-bit value rounds to itself."""
    values = np.arange(-32768, 32768).astype("<i2")

    assert values.tobytes() == to_s16(values.astype(np.float32)).tobytes()


def test_rounding_is_to_even_and_overshoot_is_clipped() -> None:
    """Halves go to the even neighbour; a filter's overshoot never wraps around."""
    floats = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 32767.5, 40000, -40000], np.float32)

    assert [0, 2, 2, 0, -2, 0, 32767, 32767, -32768] == to_s16(floats).tolist()


def test_rounding_leaves_its_input_alone() -> None:
    """The floats handed in are not changed."""
    floats = np.full(3, 0.25, np.float32)
    to_s16(floats)

    assert [0.25, 0.25, 0.25] == floats.tolist()
