"""Holds what a room's replica played against what its client sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.core.pcm import SAMPLE_RATE, AudioFormat
from tests.support.processes import children, starved_ns
from tests.support.service import Client, Service
from tests.support.speech import Heard

CLOSING = SAMPLE_RATE * 40 // 1000
"""Samples of silence that may follow an utterance's speech: the ``done`` of ``echo``, or what fills
the last frame of ``track``."""

PRE_BUFFER_MS = 100
"""What a replica wants before it starts, and so what it can live on."""

AHEAD_NS = 200_000_000
"""A replica whose client is this far ahead of it must never run dry."""

NS_PER_MS = 1_000_000


class Diary:
    """When a client had sent how much of an utterance, by the clock that the room's log uses."""

    def __init__(self, service: Service, fmt: AudioFormat) -> None:
        """Begin with nothing, to be sent to ``service`` in ``fmt``."""
        self._processes = (service.pid, *children(service.pid))
        self._starved = starved_ns(*self._processes)
        self._format = fmt
        self._bytes = 0
        self._entries: list[tuple[int, int]] = []

    def sent(self, piece: bytes) -> None:
        """Note that a piece was sent just now."""
        self._bytes += len(piece)
        self._entries.append((time.monotonic_ns(), self._format.samples_in(self._bytes)))

    def at(self, moment: int) -> int:
        """Samples at 24 kHz sent by this moment (monotonic ns)."""
        return max((samples for at, samples in self._entries if at <= moment), default=0)

    def excuses(self, silent_ms: float) -> bool:
        """Whether the machine, not the service, can be why a replica was silent for so long.

        A replica holds 100 ms, so one that is dry for d ms was fed 100 + d ms late. For so long the
        kernel must have let the service or its sandbox stand in line for a CPU since this diary
        began.
        """
        starved = starved_ns(*self._processes) - self._starved
        return (PRE_BUFFER_MS + silent_ms) * NS_PER_MS <= starved


async def assert_heard(client: Client, session: dict[str, Any], wanted: list[Heard]) -> None:
    """These utterances were heard in this order, whole, and nothing but a little silence else."""
    heard = await client.heard(session["conversation_id"])
    places = find(heard, wanted)
    last = places[-1] + len(wanted[-1]) if places else 0

    assert CLOSING >= len(heard) - last
    assert not heard[last:].any()


def find(heard: Heard, wanted: list[Heard]) -> list[int]:
    """Where each utterance begins in what was heard, at most 1 off at any sample.

    AssertionError when one is not there, or is kept from the one before by more than some silence.
    """
    places: list[int] = []
    end = 0
    for number, part in enumerate(wanted):
        for silence in range(CLOSING + 1 if number else 1):
            start = end + silence
            if _is_at(heard, start, part) and not heard[end:start].any():
                break
        else:
            raise AssertionError(_story(heard, end, part, number))
        places.append(start)
        end = start + len(part)
    return places


def _is_at(heard: Heard, start: int, part: Heard) -> bool:
    there = heard[start : start + len(part)].astype(np.int32)
    # Most places are wrong ones, and show it in their first samples.
    return len(there) == len(part) and bool(
        1 >= np.abs(there[:100] - part[:100]).max(initial=0)
        and 1 >= np.abs(there - part).max(initial=0)
    )


def _story(heard: Heard, end: int, part: Heard, number: int) -> str:
    there = heard[end : end + len(part)].astype(np.int32)
    short = len(part) - len(there)
    wrong = np.flatnonzero(np.abs(there - part[: len(there)]) > 1)
    first = wrong[0] if len(wrong) else None
    return (
        f"utterance {number} of {len(part)} samples is not at {end} of {len(heard)}: "
        f"{short} missing, first wrong one {first}, {len(wrong)} wrong"
    )


@dataclass(frozen=True)
class Stretch:
    """Audio heard without a break."""

    first: int
    """Its first sample, in what was heard."""
    began_ns: int
    ended_ns: int


def stretches(log: list[dict[str, Any]]) -> list[Stretch]:
    """When what was heard was heard, by the room's own clock."""
    found: list[Stretch] = []
    position = 0
    for entry in log:
        if entry["kind"] == "played":
            length = entry["samples"] + entry.get("silence", 0)
            began = entry["at_ns"] - length * 1_000_000_000 // SAMPLE_RATE
            found.append(Stretch(position, began, entry["at_ns"]))
            position += length
    return found


def silences_ms(log: list[dict[str, Any]], places: list[int], wanted: list[Heard]) -> list[float]:
    """How long it was silent between each utterance and the next, padding included."""
    timeline = stretches(log)

    def moment(sample: int) -> float:
        """When this sample began to sound."""
        stretch = next(s for s in reversed(timeline) if s.first <= sample)
        return stretch.began_ns + (sample - stretch.first) * 1_000_000_000 / SAMPLE_RATE

    ends = [start + len(part) - 1 for start, part in zip(places, wanted, strict=True)]
    sample_ns = 1_000_000_000 / SAMPLE_RATE
    return [
        (moment(start) - moment(end) - sample_ns) / NS_PER_MS
        for end, start in zip(ends, places[1:], strict=False)
    ]


async def assert_smooth(client: Client, session: dict[str, Any], diary: Diary) -> None:
    """Nothing was refused, and the replica never ran dry of what was sent in time."""
    log = await client.log(session["conversation_id"])
    dry_ms = 0
    for entry in log:
        if entry["kind"] == "underrun":
            since = entry["at_ns"] - entry["ms"] * NS_PER_MS
            played = sum(e["samples"] for e in log if e["kind"] == "played" and e["at_ns"] <= since)
            if diary.at(since - AHEAD_NS) > played:
                dry_ms += entry["ms"]

    assert [] == [entry for entry in log if entry["kind"] in {"refused", "ignored"}]
    assert not dry_ms or diary.excuses(dry_ms)
