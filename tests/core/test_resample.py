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
