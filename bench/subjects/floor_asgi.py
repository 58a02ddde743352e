"""Floor A: what uvicorn and soxr cost by themselves. A raw ASGI application, resample and slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from bench.recorder import Kind, Recorder
from bench.subjects.running import Running, Uvicorn, listen

SLICE = 960
"""Samples at 24 kHz handed over at once: 40 ms, as the service does on ``echo``."""


class Floor:
    """One session's work: 16 kHz in, slices at 24 kHz to the sink."""

    def __init__(self, session: int, recorder: Recorder) -> None:
        """Make a silent one."""
        self._session = session
        self._recorder = recorder
        self._held = bytearray()
        self._stream = _resampler()

    def audio(self, data: bytes | memoryview) -> None:
        """Take a packet."""
        held = self._held
        held += self._stream.resample_chunk(np.frombuffer(data, "<i2")).data
        while len(held) >= 2 * SLICE:
            self.hand(bytes(held[: 2 * SLICE]))
            del held[: 2 * SLICE]

    def hand(self, pcm: bytes) -> None:
        """Be the sink."""
        self._recorder.note(self._session, Kind.AUDIO, len(pcm) // 2)

    def interrupt(self) -> str:
        """Drop what is held; returns the answer."""
        self._recorder.note(self._session, Kind.READ)
        self._held.clear()
        self._stream = _resampler()
        self._recorder.note(self._session, Kind.CUT)
        return '{"type":"interrupt.accepted"}'


def _resampler() -> Any:
    return soxr.ResampleStream(16_000, 24_000, 1, dtype="int16", quality="HQ")


async def start(recorder: Recorder, options: dict[str, Any]) -> Running:  # noqa: ARG001  # has none
    """Serve; the path of a WebSocket is the number of its session."""

    async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "websocket"  # nothing else is asked of it
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        floor = Floor(int(scope["path"][1:]), recorder)
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            data = message.get("bytes")
            if data is not None:
                floor.audio(data)
            else:
                await send({"type": "websocket.send", "bytes": None, "text": floor.interrupt()})

    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = Uvicorn(uvicorn.Server(config), listen())
    await server.started()
    return server
