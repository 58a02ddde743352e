"""A thousand barge-ins: nothing stale is ever handed over, and every position is honest.

Twenty-five sessions at once, on both paths and under both presets of the sandbox, are interrupted
at the moments that matter, from a seed. What is stale and what was played is judged by the room's
log.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from app.core.pcm import SAMPLE_RATE
from tests.support.service import Client, Service, Stream

SESSIONS, ROUNDS = 25, 40
"""25 × 40 = 1000 interrupts, some of them twice at once."""

PACKET_MS = 20


@dataclass
class Story:
    """One session, as its client and the room saw it."""

    preset: str
    path: str
    dones: list[dict[str, Any]] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    """Utterance id → the epoch it was opened under."""
    log: list[dict[str, Any]] = field(default_factory=list)


class Speaker:
    """A backend's reply: speaks on one stream, from a seed, until it is interrupted."""

    def __init__(self, client: Client, session: dict[str, Any], stream: Stream, seed: int) -> None:
        """Speak in ``session``."""
        self._client = client
        self._session_id = session["id"]
        self._stream = stream
        self._random = random.Random(seed)
        self._tone = _tone(10_000)
        self._count = 0
        self._accepted = 0
        self.epoch = 0
        self.epochs: dict[str, int] = {}

    async def before_ready(self) -> None:
        """Interrupt what waits for the replica."""
        await self._say(300)
        await self._interrupt()

    async def sending(self) -> None:
        """Interrupt a TTS that still sends, in real time and ahead of it."""
        await self._open()
        await self._audio(self._random.choice((0, 200, 2000)))
        until = self._random.uniform(0, 0.5)
        sending = asyncio.create_task(self._go_on(until + 0.1))
        await asyncio.sleep(until)
        await self._interrupt()
        await sending

    async def several_utterances(self) -> None:
        """Interrupt a reply of short utterances, the last one still open."""
        for _ in range(self._random.randint(2, 6)):
            await self._say(self._random.randint(20, 300))
        await self._open()
        await self._audio(100)
        await asyncio.sleep(self._random.uniform(0, 0.6))
        await self._interrupt()

    async def before_the_first_hand_over(self) -> None:
        """Interrupt when less than one chunk has come."""
        await self._open()
        await self._stream.send(self._tone[:200])
        await self._interrupt()

    async def between_end_and_done(self) -> None:
        """Interrupt what has been handed over whole and still sounds."""
        await self._say(600)
        await asyncio.sleep(self._random.uniform(0.05, 0.55))
        await self._interrupt()

    async def paused(self) -> None:
        """Interrupt what is held; the interrupt ends the pause."""
        await self._say(200)
        await self._stream.send({"type": "playback.pause"})
        await self._open()
        await self._audio(400)
        await asyncio.sleep(self._random.uniform(0, 0.2))
        await self._interrupt()

    async def twice_at_once(self) -> None:
        """Interrupt on the stream and over HTTP in the same moment."""
        await self._open()
        await self._audio(500)
        await asyncio.sleep(self._random.uniform(0, 0.3))
        await asyncio.gather(self._interrupt(), self._interrupt(by_http=True))

    async def at_the_last_sample(self) -> None:
        """Interrupt just as the utterance ends."""
        await self._say(200)
        await asyncio.sleep(0.2 + self._random.uniform(-0.03, 0.08))
        await self._interrupt()

    async def finish_round(self) -> None:
        """Wait until every interrupt and every utterance is accounted for."""
        accepted = await self._stream.wait_for("interrupt.accepted", nth=self._accepted)
        self.epoch = accepted["epoch"]
        for utterance_id in self.epochs:
            if not self._stream.all("utterance.done", utterance_id=utterance_id):
                await self._stream.wait_for("utterance.done", utterance_id=utterance_id)

    async def last_words(self) -> None:
        """Say something nobody interrupts: it must be heard whole."""
        await self._say(300)
        last = next(reversed(self.epochs))
        done = await self._stream.wait_for("utterance.done", utterance_id=last)

        assert ("played", 300, 300) == (done["status"], done["sent_ms"], done["played_ms"])

    async def _say(self, ms: int) -> None:
        await self._open()
        await self._audio(ms)
        await self._stream.send({"type": "utterance.end"})

    async def _open(self) -> None:
        self._count += 1
        utterance_id = f"u{self._count}"
        self.epochs[utterance_id] = self.epoch
        await self._stream.send({"type": "utterance.start", "utterance_id": utterance_id})

    async def _audio(self, ms: int) -> None:
        for start in range(0, ms, PACKET_MS):
            size = min(PACKET_MS, ms - start) * SAMPLE_RATE // 1000 * 2
            await self._stream.send(self._tone[:size])

    async def _go_on(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await self._audio(PACKET_MS)
            await asyncio.sleep(PACKET_MS / 1000)

    async def _interrupt(self, *, by_http: bool = False) -> None:
        self._accepted += 1
        if by_http:
            await self._client.interrupt(self._session_id)
        else:
            await self._stream.send({"type": "interrupt"})


async def test_a_thousand_interrupts(tmp_path: Path) -> None:
    """Nothing stale after an interrupt, one done an utterance, positions as far off as allowed."""
    configurations = list(product(("friendly", "hostile"), ("echo", "track")))
    with Service(tmp_path) as service:
        async with service.client() as client:
            stories = await asyncio.gather(
                *(
                    _run(client, seed, *configurations[seed % len(configurations)])
                    for seed in range(SESSIONS)
                )
            )

    for story in stories:
        _nothing_is_stale(story)
        _one_done_each(story)
    friendly = [error for s in stories if s.preset == "friendly" for error in _errors_ms(s)]
    hostile = sorted(error for s in stories if s.preset == "hostile" for error in _errors_ms(s))
    assert 20 >= max(friendly)
    assert 150 >= hostile[len(hostile) * 95 // 100]


async def _run(client: Client, seed: int, preset: str, path: str) -> Story:
    story = Story(preset, path)
    async with _creating:
        await client.faults(next={"preset": preset, "replica_join_ms": 500})
        session = await client.create_session(audio_path=path)
    async with client.connect(session) as stream:
        speaker = Speaker(client, session, stream, seed)
        await speaker.before_ready()
        await speaker.finish_round()
        await stream.wait_for("session.ready")
        moments: list[Callable[[], Awaitable[None]]] = [
            speaker.sending,
            speaker.several_utterances,
            speaker.before_the_first_hand_over,
            speaker.between_end_and_done,
            speaker.paused,
            speaker.twice_at_once,
            speaker.at_the_last_sample,
        ]
        shuffle = random.Random(seed)
        for number in range(ROUNDS - 1):
            if number % len(moments) == 0:
                shuffle.shuffle(moments)
            await moments[number % len(moments)]()
            await speaker.finish_round()
        await speaker.last_words()
        story.dones = stream.all("utterance.done")
    story.epochs = speaker.epochs
    story.log = await client.log(session["conversation_id"])
    await client.end(session["id"])
    return story


_creating = asyncio.Lock()
"""Faults for the next conversation and that conversation belong together."""


def _nothing_is_stale(story: Story) -> None:
    """After an interrupt in the log no audio comes of an epoch seen before it."""
    newest, stale_below = 0, 0
    for entry in story.log:
        if entry["kind"] == "audio":
            assert entry["epoch"] >= stale_below, entry
            newest = max(newest, entry["epoch"])
        elif entry["kind"] == "interrupt":
            stale_below = newest + 1


def _one_done_each(story: Story) -> None:
    assert Counter(story.epochs.keys()) == Counter(d["utterance_id"] for d in story.dones)
    for done in story.dones:
        assert 0 <= done["played_ms"] <= done["sent_ms"] <= done["received_ms"], json.dumps(done)
        assert done["dropped_ms"] == done["received_ms"] - done["sent_ms"], json.dumps(done)
        if story.preset == "hostile" and done["status"] == "interrupted":
            assert "clock" == done["source"], json.dumps(done)


def _errors_ms(story: Story) -> list[float]:
    """How far each epoch's told positions are from what the replica played of it."""
    played: dict[int, int] = defaultdict(int)
    for entry in story.log:
        if entry["kind"] == "played":
            played[entry["epoch"]] += entry["samples"]
    told: dict[int, int] = defaultdict(int)
    for done in story.dones:
        told[story.epochs[done["utterance_id"]]] += done["played_ms"]
    return [abs(ms - played[epoch] * 1000 / SAMPLE_RATE) for epoch, ms in told.items()]


def _tone(ms: int) -> bytes:
    time = np.arange(ms * SAMPLE_RATE // 1000) / SAMPLE_RATE
    return (np.sin(2 * np.pi * 440 * time) * 8000).astype("<i2").tobytes()
