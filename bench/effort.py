"""How much is measured: for results, or to see that the benchmark works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Sizes of everything."""

    rounds: int = 5
    """Alternating runs of each subject; medians and spread are over them."""
    levels: tuple[int, ...] = (1, 10, 50, 100, 200, 400)
    """Real-time sessions at once."""
    level_rounds: int = 2
    """In so many of the rounds all levels are run; in the others what is compared."""
    compared: tuple[int, ...] = (50,)
    """Those of the levels at which subjects are held against each other."""
    most: int = 1500
    """Sessions that are open when the most is looked for."""
    precision: float = 0.05
    """To which part of itself the most is found."""
    repeats: int = 40
    """Real-time runs that are repeated since others on the machine disturbed them."""
    packets: int = 75
    """Of 20 ms, in one run."""
    warm_up: int = 25
    """Of them, those whose delays are not counted."""
    busy: int = 100
    """Speaking sessions while some of them interrupt."""
    interrupts: int = 100
    bursts: int = 5
    """Interrupts right behind a burst."""
    burst_s: int = 8
    """Sound in a burst: with a lead of 10 s all of it is handed over at once."""
    cycles: int = 6
    """Bursts to measure the throughput with."""
    crowd: int = 50
    """Sessions whose memory is measured."""
    speech: int = 750
    """Packets of each meanwhile: long enough to fill what is remembered of a speech."""
    audience: int = 10
    """Sessions that are watched meanwhile."""
    crowds: int = 8
    """How often as many more come and go, to see what is kept of them."""
    tricked: int = 250
    """Sessions that speak when tricks are left out."""
    starts: int = 5
    profile_s: int = 8


FULL = Effort()
PEER = Effort(levels=(50,), starts=3)
"""Twice as many subjects in the same time."""

QUICK = Effort(
    rounds=1,
    levels=(1, 2),
    level_rounds=1,
    compared=(),
    most=4,
    precision=1.0,
    repeats=0,
    packets=25,
    warm_up=5,
    busy=2,
    interrupts=2,
    bursts=1,
    burst_s=1,
    cycles=1,
    crowd=2,
    speech=25,
    audience=1,
    crowds=1,
    tricked=1,
    starts=1,
    profile_s=1,
)
