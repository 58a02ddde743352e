"""What a room may have under way at once: messages, and frames of track audio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Credits:
    """So many things may be under way. Who wants more waits in line; audio comes behind the line.

    Audio does not wait here: who has some looks whether it is ``ready`` and is called when it is
    so again.
    """

    def __init__(self, count: int) -> None:
        """Have ``count`` free."""
        self._free = count
        self._line: deque[tuple[asyncio.Future[int], Callable[[], int]]] = deque()
        self._on_ready: Callable[[], None] | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether one is free, and nobody waits for it."""
        return self._free > 0 and not self._closed

    def attend(self, on_ready: Callable[[], None]) -> None:
        """Call this, from ``give``, whenever it is ``ready`` again."""
        self._on_ready = on_ready

    def grab(self) -> None:
        """Take one, which must be ``ready``."""
        self._free -= 1

    async def use(self, act: Callable[[], int]) -> int:
        """Take one and ``act``, at once or when the turn has come; 0 when sent away instead.

        It is done from inside ``give`` then, so that nothing comes between.
        """
        if self._closed:
            return 0
        if self._free:
            self._free -= 1
            return act()
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._line.append((turn, act))
        return await turn

    def give(self) -> None:
        """Free one: the first in line gets it."""
        while self._line:
            turn, act = self._line.popleft()
            if not turn.done():  # else whoever waited was cancelled
                turn.set_result(act())
                return
        self._free += 1
        if self._free == 1 and self._on_ready is not None and not self._closed:
            self._on_ready()

    def close(self) -> None:
        """Send everybody away, from now on too."""
        self._closed = True
        while self._line:
            turn, _ = self._line.popleft()
            if not turn.done():
                turn.set_result(0)


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
        """One is on its way; it must have been ``ready``."""
        self.grab()
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
        dropped = 0
        for frame_epoch, length in self._under_way:
            if begun > 0 or frame_epoch >= epoch:
                kept.append((frame_epoch, length))
            else:
                dropped += 1
            begun -= length
        self._under_way = kept
        for _ in range(dropped):
            self.give()
