"""A person in a sandbox room: comes in as the room's page does, and speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect

from app.core.pcm import AudioFormat, Encoding
from app.runtime.room_sandbox import link_url
from tests.support.service import DEADLINE_S
from tests.support.speech import Signal, encode

MICROPHONE_RATE = 48_000
"""Hertz; what most microphones have."""

PIECE_S = 0.02


class Visitor:
    """One person."""

    def __init__(self, link: ClientConnection, participant_id: str) -> None:
        self._link = link
        self.participant_id = participant_id

    async def say(self, signal: Signal) -> None:
        """Speak into a microphone of ``MICROPHONE_RATE``, in real time."""
        await self._link.send(json.dumps({"op": "microphone", "sample_rate": MICROPHONE_RATE}))
        pcm = encode(signal, Encoding.S16LE)
        step = int(MICROPHONE_RATE * PIECE_S) * AudioFormat().frame_bytes()
        clock = asyncio.get_running_loop()
        begun = clock.time()
        for number, at in enumerate(range(0, len(pcm), step), 1):
            await asyncio.sleep(begun + number * PIECE_S - clock.time())
            await self._link.send(pcm[at : at + step])


@asynccontextmanager
async def visiting(conversation_url: str, name: str) -> AsyncIterator[Visitor]:
    """Come in, and leave at last."""
    async with connect(link_url(conversation_url, None, name), proxy=None) as link:
        async with asyncio.timeout(DEADLINE_S):
            joined = json.loads(await link.recv())
        listening = asyncio.create_task(_listen(link))
        try:
            yield Visitor(link, joined["id"])
        finally:
            listening.cancel()


async def _listen(link: ClientConnection) -> None:
    """Take what the room says: who does not is put out."""
    async for _ in link:
        pass
