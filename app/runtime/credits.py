"""What a room may have under way at once: messages, and frames of track audio."""

from __future__ import annotations

import asyncio
from collections import deque


class Credits:
    """So many things may be under way; who wants more waits in line, or is sent away."""

    def __init__(self, count: int) -> None:
        """Have ``count`` free."""
        self._free = count
        self._line: deque[tuple[asyncio.Future[bool], bool]] = deque()
        self._closed = False

    async def take(self, *, audio: bool) -> bool:
        """Wait for a free one and take it; False when sent away instead."""
        if self._closed:
            return False
        if self._free and not self._line:
            self._free -= 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append((turn, audio))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.give()
            raise

    def give(self) -> None:
        """Free one: the first in line gets it."""
        while self._line:
            turn, _ = self._line.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1

    def send_away(self, *, audio_only: bool) -> None:
        """Send away those who wait, or only those who wait with audio."""
        line, self._line = self._line, deque()
        for turn, audio in line:
            if audio_only and not audio:
                self._line.append((turn, audio))
            elif not turn.done():
                turn.set_result(False)

    def close(self) -> None:
        """Send everybody away, from now on too."""
        self._closed = True
        self.send_away(audio_only=False)


class Frames(Credits):
    """Frames of track audio between us and the device that plays them, oldest first."""

    def __init__(self, count: int) -> None:
        """Have none under way; at most ``count`` will be."""
        super().__init__(count)
        self.consumed = 0
        """Samples known to have sounded since joining."""
        self._under_way: deque[tuple[int, int]] = deque()
        """Epoch and samples of each."""

    def wrote(self, epoch: int, samples: int) -> None:
        """One is on its way, on a credit that was taken."""
        self._under_way.append((epoch, samples))

    def played(self, samples: int) -> None:
        """The oldest has sounded."""
        self.consumed += samples
        self._under_way.popleft()
        self.give()

    def cleared(self, epoch: int, samples: int) -> None:
        """Take back the credits of those that were dropped on the way: they never sound.

        They are those older than ``epoch`` that are not among the first ``samples`` since joining,
        which the device got.
        """
        begun = samples - self.consumed
        kept: deque[tuple[int, int]] = deque()
        for frame_epoch, length in self._under_way:
            if begun > 0 or frame_epoch >= epoch:
                kept.append((frame_epoch, length))
            else:
                self.give()
            begun -= length
        self._under_way = kept
