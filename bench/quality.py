"""What each resampler quality costs in delay, and what in sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.core.resample import Resampler
from bench.delays import learn, measure
from bench.effort import Effort
from bench.figures import Figures, number, table
from bench.realtime import LEARNERS
from bench.stage import Subject, staged

QUALITIES = ("QQ", "LQ", "MQ", "HQ", "VHQ")

LOW_DELAY = "LQ, `BRIDGE_LOW_DELAY`"

WAYS = (*((quality, quality) for quality in QUALITIES), ("LQ", LOW_DELAY))
"""Quality, and what that is called here."""

RATE = 16_000
TONES = (200, 1000, 3000, 5000, 6000, 7000)
"""Hertz; speech at 16 kHz ends at 8000."""

SECONDS = 2

TEXT = """\
From 16 to 24 kHz. Level: what becomes of a pure tone. Distortion: all else that comes of it, at the
worst of {} Hz."""


def run(subject: Subject, effort: Effort, figures: Figures, folder: Path) -> None:
    """Let the service speak with each quality."""
    for quality, way in WAYS:
        settings = {"resample_quality": quality, "low_delay": way != quality}
        with staged(
            subject.but(settings=settings), folder / f"quality-{way[:3]}-{len(way)}"
        ) as stage:
            stage.open(LEARNERS)
            run = stage.stream(LEARNERS, effort.packets)
            delays = measure(run.rows, run.sent, learn(run.rows, run.sent), effort.warm_up)
            figures.add(f"mean {way}", subject, delays.mean_ms)
            figures.add(f"first {way}", subject, delays.first_ms)


def loss(quality: str, hertz: int) -> tuple[float, float]:
    """Resample a tone from 16 to 24 kHz.

    Returns its level, and that of everything that is not the tone (images above all), both in dB
    of what went in.
    """
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE * SECONDS) / RATE) / 2  # far from clipping
    resampler = Resampler(RATE, quality)
    pieces = [resampler.push(tone.astype(np.float32)), resampler.flush()]
    whole = np.concatenate(pieces).astype(np.float64)
    middle = whole[len(whole) // 4 : -len(whole) // 4]
    at = 2 * np.pi * hertz * np.arange(len(middle)) / 24_000
    basis = np.stack([np.sin(at), np.cos(at)], axis=1)
    amplitudes, *_ = np.linalg.lstsq(basis, middle, rcond=None)
    rest = middle - basis @ amplitudes
    return _db(float(np.hypot(*amplitudes)) / 0.5), _db(_rms(rest) / (0.5 / np.sqrt(2)))


def _rms(signal: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(signal**2)))


def _db(ratio: float) -> float:
    return 20 * float(np.log10(max(ratio, 1e-9)))


def sections(figures: Figures, subject: Subject) -> list[str]:
    """Write what came of it."""
    rows = []
    for quality, name in WAYS:
        losses = {hertz: loss(quality, hertz) for hertz in TONES}
        rows.append(
            [
                name,
                figures.cell(f"first {name}", subject),
                figures.cell(f"mean {name}", subject),
                *(f"{losses[hertz][0]:.1f}" for hertz in (3000, 5000, 7000)),
                number(max(rest for _, rest in losses.values())),
            ]
        )
    titles = [
        "`BRIDGE_RESAMPLE_QUALITY`",
        "first packet → first hand-over, ms",
        "mean delay, ms",
        *(f"level at {khz} kHz, dB" for khz in (3, 5, 7)),
        "worst distortion, dB",
    ]
    worst = ", ".join(map(str, TONES))
    return ["## Resampler quality", "", TEXT.format(worst), "", *table(titles, rows)]
