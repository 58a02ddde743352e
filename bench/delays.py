"""From when packets were sent and audio was handed over to what the service added.

Two delays are told apart. How long audio waits for the audio behind it (a resampler's look-ahead, a
chunk that is not full) is *buffering*: the same on any machine. From the moment the last packet was
sent that a hand-over needed until the hand-over is the *framework's* delay: what the machine does.

Which packet a hand-over needed follows from its last sample. It is learned from a few sessions on a
machine at rest: there it is the packet sent last before it, in the session where it was quickest.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.recorder import Kind, Rows

PACKET_OUT = 480
"""Samples at 24 kHz in a packet of 20 ms."""

GRAIN = 48
"""Samples (2 ms) for which the delay of all audio is looked at."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Need:
    """Which packet is needed for which audio."""

    ends: Ints
    """Samples handed over, rising."""
    packets: Ints
    """The number of the packet that completed them."""

    def of(self, ends: Ints) -> Ints:
        """The packets that hand-overs up to these samples needed; -1 where that is not known."""
        at = np.searchsorted(self.ends, ends)
        known = np.append(self.packets, -1)
        found: Ints = known[at]
        return found

    def complete(self, packets: int) -> int:
        """Samples that can have been handed over once so many packets were sent."""
        count = int(np.searchsorted(self.packets, packets - 1, side="right"))
        return int(self.ends[count - 1]) if count else 0


@dataclass(frozen=True)
class Delays:
    """What one run of real-time sessions came to; milliseconds."""

    framework: Floats
    """Of each hand-over after the warm-up, sorted."""
    mean_ms: float
    """Of all audio, from the sending of its packet to its hand-over: buffering and framework."""
    first_ms: float
    """From the first packet to the first hand-over: the median of the sessions."""
    missing: int
    """Samples that should have been handed over and were not."""

    def percentile(self, percent: float) -> float:
        """Of the framework's delay; infinite when nothing was handed over."""
        return float(np.percentile(self.framework, percent)) if len(self.framework) else np.inf


def learn(rows: Rows, sent: Ints) -> Need:
    """Learn from sessions at rest; ``sent`` is packet × session, ns."""
    best: dict[int, int] = {}
    for session, (times, ends) in enumerate(_hand_overs(rows, sent.shape[1])):
        packets = np.searchsorted(_sent(sent, session), times, side="right") - 1
        for end, packet in zip(ends.tolist(), packets.tolist(), strict=True):
            best[end] = min(packet, best.get(end, packet))
    order = sorted(best)
    # Later audio cannot need an earlier packet: one that seems to was handed over late.
    needed = np.minimum.accumulate(np.array([best[end] for end in order], np.int64)[::-1])[::-1]
    return Need(np.array(order, np.int64), needed.copy())


def measure(rows: Rows, sent: Ints, need: Need, warm_up: int) -> Delays:
    """Measure a run; the hand-overs of the first ``warm_up`` packets are left out of the first."""
    framework: list[Floats] = []
    means: list[float] = []
    firsts: list[float] = []
    missing = 0
    for session, (times, ends) in enumerate(_hand_overs(rows, sent.shape[1])):
        stamps = _sent(sent, session)
        expected = need.complete(len(stamps))
        packets = need.of(ends)
        warm = packets >= warm_up
        framework.append((times[warm] - stamps[packets[warm]]) / 1e6)
        missing += max(0, expected - (int(ends[-1]) if len(ends) else 0))
        if len(ends):
            firsts.append(float(times[0] - stamps[0]) / 1e6)
            means.append(_mean(times, ends, stamps))
    together = np.sort(np.concatenate(framework)) if framework else np.empty(0)
    mean_ms = float(np.mean(means)) if means else np.inf
    return Delays(together, mean_ms, float(np.median(firsts or [np.inf])), missing)


def _sent(sent: Ints, session: int) -> Ints:
    """When each packet of one session was sent."""
    stamps = sent[:, session]
    return stamps[stamps > 0]


def _mean(times: Ints, ends: Ints, stamps: Ints) -> float:
    """The mean delay of all audio of one session, ms."""
    samples = np.arange(0, min(int(ends[-1]), len(stamps) * PACKET_OUT), GRAIN)
    handed = times[np.searchsorted(ends, samples, side="right")]
    return float(np.mean(handed - stamps[samples // PACKET_OUT])) / 1e6


def _hand_overs(rows: Rows, sessions: int) -> list[tuple[Ints, Ints]]:
    """For each session the times of its hand-overs, and the samples handed over up to each."""
    audio = rows.of(Kind.AUDIO)
    order = np.argsort(audio.session, kind="stable")
    bounds = np.searchsorted(audio.session[order], np.arange(sessions + 1))
    found = []
    for first, last in pairwise(bounds):
        mine = order[first:last]
        found.append((audio.time[mine], np.cumsum(audio.value[mine])))
    return found
