"""Audio fed faster than real time: seconds of it for each second of CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bench.effort import Effort
from bench.figures import Figures
from bench.stage import Stage, Subject, staged

PACKETS_MS = (20, 200)

HELD_SAMPLES = 24_000 * 220 // 1000
"""More than any subject holds back at the end: Pipecat's resampler 76 ms, and 100 ms of a chunk."""

TIMEOUT_S = 30

LEAD_MS = 10_000
"""Of a session that takes bursts: all of one is handed over at once."""


def run(subjects: Sequence[Subject], effort: Effort, figures: Figures, folder: Path) -> None:
    """Feed bursts, each cut off after it was handed over, so that nothing waits for real time."""
    for subject in subjects:
        paths = ("echo", "track") if subject.makes_sessions else ("echo",)
        with staged(subject, folder / f"throughput-{subject.module}-{subject.name}") as stage:
            for path in paths:
                lead = {"lead_ms": LEAD_MS} if path == "echo" else {}
                stage.open(1, audio_path=path, **lead)
                for packet_ms in PACKETS_MS:
                    for rate in rates(stage, effort, packet_ms):
                        figures.add(f"{path} {packet_ms} ms", subject, rate)
                stage.close()


def rates(stage: Stage, effort: Effort, packet_ms: int) -> list[float]:
    """Feed the only session; returns the seconds of audio a second of CPU, of each burst."""
    bursts = [_burst(stage, effort.burst_s, packet_ms) for _ in range(1 + effort.cycles)]
    return [effort.burst_s / (cpu_ns / 1e9) for cpu_ns in bursts[1:]]  # the first fills caches


def _burst(stage: Stage, seconds: int, packet_ms: int) -> int:
    """Send a burst; returns the CPU time until it was handed over, ns."""
    before = stage.service.ask("cpu")["cpu_ns"]
    begin = stage.generator.ask(
        "burst", session=0, packets=seconds * 1000 // packet_ms, packet_ms=packet_ms
    )["begin"]
    end = time.monotonic() + TIMEOUT_S
    while stage.heard(begin) < seconds * 24_000 - HELD_SAMPLES:
        if time.monotonic() > end:
            raise TimeoutError(f"{stage.subject.name} does not hand over what it got")
        stage.generator.ask("wait", ms=5)
    cpu_ns: int = stage.service.ask("cpu")["cpu_ns"] - before
    stage.calm(1)
    return cpu_ns


def sections(figures: Figures, subjects: Sequence[Subject]) -> list[str]:
    """Write what came of it."""
    rows = [
        (f"{path} {packet_ms} ms", f"{path}, packets of {packet_ms} ms")
        for path in ("echo", "track")
        for packet_ms in PACKETS_MS
    ]
    title = "audio seconds a CPU second"
    return ["## Faster than real time", "", *figures.table(title, rows, subjects)]
