"""Audio out: the source, its track, and the writer that keeps the source fed.

Facts about the source (daily-python 0.36.0, measured): it takes any amount at once and plays it in
real time; it cannot be told to stop; the completion of a write comes from a thread of its own when
the write's last sample was played; and it ends the process when it is destroyed while a write is
pending, or right after a completion was told. Hence two frames in it and no more, the next one
written from the completion, and references that are kept longer than needed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable

from daily import CustomAudioSource, CustomAudioTrack

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE, ms_to_samples
from app.daily.crossing import Crossing
from app.runtime.clock import NS_PER_S, Clock, deadline

FRAME_SAMPLES = ms_to_samples(20)
FRAME_BYTES = FRAME_SAMPLES * SAMPLE_BYTES

DEPTH = 2
"""Frames in the source: 40 ms survive an interrupt, and one wake-up may be 20 ms late."""

IDLE_NS = NS_PER_S
"""Longest wait for the last completions."""

REST_NS = NS_PER_S
"""How long source and track are kept after the last completion."""

log = logging.getLogger(__name__)


class AudioOut:
    """One room's. All methods but the completions belong to the event loop."""

    def __init__(
        self,
        crossing: Crossing,
        clock: Clock,
        attic: set[object],
        *,
        auto_silence: bool,
        on_played: Callable[[int], None],
        on_broken: Callable[[], None],
    ) -> None:
        """Make a silent one.

        ``on_played`` is called for every frame that has sounded, with its samples; ``on_broken``
        when the source takes no more. ``attic`` keeps what must not be destroyed yet.
        """
        self._crossing = crossing
        self._clock = clock
        self._attic = attic
        self._on_played = on_played
        self._on_broken = on_broken
        self._lock = threading.Lock()
        """Held across ``write_frames``, which lets one writer in at a time. That is safe only
        because whole frames complete on the source's thread, never inside of the call."""
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._in_source = 0
        self._given = 0
        self._epoch = 0
        self._closing = False
        self._idle = asyncio.Event()
        attic.add(self)
        source = CustomAudioSource(SAMPLE_RATE, 1, auto_silence)
        self._source: CustomAudioSource | None = source
        self.track: CustomAudioTrack | None = CustomAudioTrack(source)

    def write(self, epoch: int, pcm: bytes) -> None:
        """Take one frame, unless it is of an epoch that was cleared. Raises ValueError."""
        if len(pcm) != FRAME_BYTES:
            raise ValueError(f"a frame has {FRAME_BYTES} bytes, not {len(pcm)}")
        with self._lock:
            if epoch >= self._epoch and not self._closing:
                self._waiting.append((epoch, pcm))
                self._fill()

    def clear(self, epoch: int) -> int:
        """Drop what waits of older epochs; returns the samples that the source ever got."""
        with self._lock:
            self._epoch = max(self._epoch, epoch)
            self._waiting = deque(item for item in self._waiting if item[0] >= self._epoch)
            return self._given

    async def close(self) -> None:
        """Drop what waits and return when the source is silent; it is let go of later."""
        with self._lock:
            self._closing = True
            self._waiting.clear()
            if not self._in_source:
                self._idle.set()
        try:
            async with deadline(self._clock, self._clock.now() + IDLE_NS):
                await self._idle.wait()
        except TimeoutError:
            log.warning("an audio source never became idle; it is kept: a leak is no crash")

    def dispose_later(self) -> None:
        """Let go of source and track after a rest, once nobody else holds them."""
        if self._idle.is_set():
            self._clock.call_at(self._clock.now() + REST_NS, self._dispose)

    def _dispose(self) -> None:
        self.track = None
        self._source = None
        self._attic.discard(self)

    def _fill(self) -> None:
        """Give the source what it may have; with the lock, on any thread."""
        source = self._source
        if source is None:
            return
        try:
            while self._in_source < DEPTH and self._waiting:
                _, pcm = self._waiting.popleft()
                self._in_source += 1
                self._given += FRAME_SAMPLES
                source.write_frames(pcm, completion=self._completed)
        except BaseException:  # noqa: BLE001  # the SDK's panics are no Exceptions
            self._in_source -= 1
            self._closing = True
            self._waiting.clear()
            self._crossing.post(self._on_broken, vital=True)

    def _completed(self, samples: int) -> None:
        """One frame has sounded; on the source's thread, which may not be kept waiting."""
        with self._lock:
            self._in_source -= 1
            if not self._closing:
                self._fill()
            is_idle = self._closing and not self._in_source
        self._crossing.post(self._on_played, samples, vital=True)
        if is_idle:
            self._crossing.post(self._idle.set, vital=True)
