"""A viewer beside the one who speaks: it records what the avatar shows and says.

It has a connection of its own, so that pictures never hold up speech, and reads the next frame
when the last one is written: who is too slow for all of them gets fewer pictures.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.core.frame_header import FrameHeader, FrameKind
from app.core.pcm import SAMPLE_RATE
from app.runtime.clock import NS_PER_S, Clock, Handle, deadline
from app.runtime.tasks import Tasks
from app.speak.recording import Recording
from app.speak.stream import SpeakFailed, opened

WISH = {
    "type": "frames.subscribe",
    "video": {"codec": "jpeg"},
    "audio": {"sample_rate": SAMPLE_RATE},
}

FIRST_NS = 5 * NS_PER_S
"""Longest wait for the first picture of an avatar that is there; one of 1280x720 takes a second."""

TAIL_NS = 2 * NS_PER_S
"""Longest wait for the sound up to the end of the speech: that it is over is told on its own."""

Stop = Callable[[BaseException | None], None]


@asynccontextmanager
async def watching(
    session: dict[str, Any], recording: Recording, clock: Clock, stop: Stop
) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Record what happens in the block, and what is then still on its way.

    Gives what to wait for before speaking, so that nothing is missed: the first picture; the wait
    ends without it when none comes. ``stop`` is called with what breaks off the recording. Raises
    SpeakFailed when it cannot begin, and when there was no picture to the end.
    """
    shown = {"Authorization": f"Bearer {session['tokens']['observe']}"}
    async with opened(session["stream_url"], shown) as socket:
        viewer = _Viewer(socket, recording, clock, stop)
        tasks = Tasks(lambda _, error: stop(error))
        tasks.spawn("viewer", viewer.read())
        try:
            yield viewer.began.wait
            with suppress(TimeoutError):
                async with deadline(clock, clock.now() + TAIL_NS):
                    await viewer.complete.wait()
        finally:
            # Not cancelled: a picture that is being written would go on being so in its thread.
            await socket.close()
            await tasks.finish()
    if not recording.pictures:
        raise SpeakFailed("there was no picture to save")


class _Viewer:
    """Reads one connection."""

    def __init__(
        self, socket: ClientConnection, recording: Recording, clock: Clock, stop: Stop
    ) -> None:
        self._socket = socket
        self._recording = recording
        self._clock = clock
        self._stop = stop
        self.began = asyncio.Event()
        """There is a picture, or none is waited for any more."""
        self.complete = asyncio.Event()
        """There is sound up to the moment at which the utterance was done."""
        self._patience: Handle | None = None
        self._done_us: int | None = None
        self._over = False
        self._failed = False

    async def read(self) -> None:
        """Record until the connection ends; says so when it should not have."""
        try:
            await self._socket.send(json.dumps(WISH))
            async for message in self._socket:
                if isinstance(message, str):
                    self._take(json.loads(message))
                elif not self._failed:
                    await self._record(message)
        except ConnectionClosed:
            pass  # told below, whether with a close frame or without
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self.began.set()
            self.complete.set()
        if not self._over:  # else the one who speaks tells why
            code, reason = self._socket.close_code, self._socket.close_reason
            self._stop(SpeakFailed(f"the pictures broke off: {code} {reason or ''}".rstrip()))

    async def _record(self, frame: bytes) -> None:
        """Write a frame. After a failure the rest is only read, so that the end is not held up."""
        try:
            await asyncio.to_thread(self._recording.take, frame)
        except SpeakFailed as failed:
            self._failed = True
            self._stop(failed)
        if self._recording.pictures:
            self.began.set()
        header = FrameHeader.unpack(frame)
        is_sound = header.kind == FrameKind.AUDIO
        if is_sound and self._done_us is not None and header.captured_us >= self._done_us:
            self.complete.set()

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "session.ready"} if self._patience is None:
                first = self._clock.now() + FIRST_NS
                self._patience = self._clock.call_at(first, self.began.set)
            case {"type": "utterance.done", "ts_ms": int(ts_ms)}:
                self._done_us = ts_ms * 1000
            case {"type": "session.ended"}:
                self._over = True
