"""Our writer of audio, with a stopwatch on it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVarTuple, Unpack

from app.daily.audio import FRAME_SAMPLES, AudioOut
from app.daily.crossing import Crossing
from app.runtime.clock import SystemClock
from tests.support.daily_children.common import DEADLINE_S, FRAME

Ts = TypeVarTuple("Ts")


class Stopwatch(Crossing):
    """Notes the moment at which each frame was over, on the thread that says so."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.ends: list[float] = []

    def post(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, vital: bool = False
    ) -> None:
        """Note it and go on."""
        if args:  # the samples of a frame
            self.ends.append(time.monotonic())
        super().post(callback, *args, vital=vital)


class Player:
    """Our writer of audio, with a stopwatch on it."""

    def __init__(self, attic: set[object]) -> None:
        self.watch = Stopwatch()
        self.epoch = 0
        self._left = 0
        self._silent = asyncio.Event()
        self.out = AudioOut(
            self.watch,
            SystemClock(),
            attic,
            auto_silence=False,
            on_played=self._played,
            on_broken=lambda: os._exit(3),
        )

    def play(self, frames: int) -> None:
        """Play so many frames of 20 ms."""
        self._silent.clear()
        self._left += frames
        for _ in range(frames):
            self.out.write(self.epoch, FRAME)

    def cut(self) -> None:
        """Play no more than is in the source."""
        self.epoch += 1
        self._left = self.out.clear(self.epoch) // FRAME_SAMPLES - len(self.watch.ends)
        if self._left <= 0:
            self._silent.set()

    async def silence(self) -> None:
        """Wait until all is over."""
        async with asyncio.timeout(DEADLINE_S):
            await self._silent.wait()

    async def close(self) -> None:
        """Let go of it, as a room does."""
        await self.out.close()
        self.out.dispose_later()

    def _played(self, _: int) -> None:
        self._left -= 1
        if self._left <= 0:
            self._silent.set()
