"""The peer: Pipecat's ``TavusVideoService`` behind its own WebSocket transport.

Runs in an environment of its own (``make bench-peer``). Its Daily client is replaced by the sink,
with all that it does per message, as the room is on our side: what is left is Pipecat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.tavus.video import TavusVideoService
from pipecat.transports.tavus import transport as tavus_transport
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

from bench.recorder import Kind, Recorder
from bench.subjects.running import Running, Uvicorn, listen


class _Packets(FrameSerializer):
    """Binary is speech of a TTS, text is an interrupt."""

    def __init__(self, session: int, recorder: Recorder) -> None:
        super().__init__()
        self._session = session
        self._recorder = recorder

    async def serialize(self, frame: Frame) -> None:
        """Say nothing: there is no protocol for it."""

    async def deserialize(self, data: str | bytes) -> Frame:
        if isinstance(data, bytes):
            return TTSAudioRawFrame(audio=data, sample_rate=16_000, num_channels=1)
        self._recorder.note(self._session, Kind.READ)
        return InterruptionFrame()


class _Sink:
    """Stands for Pipecat's ``DailyTransportClient``."""

    out_sample_rate = 24_000
    in_sample_rate = 16_000

    def __init__(self, session: int, recorder: Recorder) -> None:
        self._session = session
        self._recorder = recorder

    async def setup(self, _setup: Any) -> None:
        """Have nothing to set up."""

    async def join(self) -> None:
        """Be inside."""

    async def leave(self) -> None:
        """Be outside."""

    async def cleanup(self) -> None:
        """Have nothing to let go of."""

    async def send_message(self, frame: Any) -> None:
        properties = frame.message.get("properties")
        if properties is None:
            self._recorder.note(self._session, Kind.CUT)
        elif not properties["done"]:  # what ends an utterance is silence
            audio = properties["audio"]
            octets = len(audio) // 4 * 3 - audio.count("=", len(audio) - 2)
            self._recorder.note(self._session, Kind.AUDIO, octets // 2)


class _Rest:
    """Stands for the HTTP client that asks Tavus; the room's address is the session's number."""

    def __init__(self, session: int) -> None:
        self._session = session

    @asynccontextmanager
    async def post(self, _url: str, **_: Any) -> AsyncIterator[_Rest]:
        yield self

    def raise_for_status(self) -> None:
        """Have no error."""

    async def json(self) -> dict[str, str]:
        return {"conversation_id": f"c{self._session}", "conversation_url": str(self._session)}


async def start(recorder: Recorder, options: dict[str, Any]) -> Running:
    """Serve. Option ``observers``: whether those run that Pipecat adds by default."""
    logger.remove()

    def sink(url: str, *_: Any) -> _Sink:
        return _Sink(int(url), recorder)

    tavus_transport.DailyTransportClient = sink  # there is no other way in
    extras: dict[str, Any] = {}
    if not options["observers"]:
        extras = {"enable_turn_tracking": False, "enable_rtvi": False, "idle_timeout_secs": None}
    app = FastAPI()

    @app.websocket("/{session}")
    async def stream(socket: WebSocket, session: int) -> None:
        await socket.accept()
        params = FastAPIWebsocketParams(serializer=_Packets(session, recorder))
        transport = FastAPIWebsocketTransport(socket, params)
        tavus = TavusVideoService(api_key="none", replica_id="r1", session=_Rest(session))
        worker = PipelineWorker(Pipeline([transport.input(), tavus]), **extras)

        @transport.event_handler("on_client_disconnected")
        async def leave(_transport: Any, _socket: Any) -> None:
            await worker.cancel()

        await WorkerRunner(handle_sigint=False).run(worker)

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
