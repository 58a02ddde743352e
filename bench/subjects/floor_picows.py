"""Floor B: the same as floor A on picows, a WebSocket server in Cython."""

from __future__ import annotations

import asyncio
from typing import Any

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from bench.recorder import Recorder
from bench.subjects.floor_asgi import Floor
from bench.subjects.running import Running


class _Listener(WSListener):
    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self._floor = floor

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        match frame.msg_type:
            case WSMsgType.BINARY:
                self._floor.audio(frame.get_payload_as_memoryview())
            case WSMsgType.TEXT:
                transport.send(WSMsgType.TEXT, self._floor.interrupt().encode())
            case WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()


class _Picows:
    def __init__(self, server: asyncio.Server) -> None:
        self.port: int = server.sockets[0].getsockname()[1]
        self._server = server

    async def stop(self) -> None:
        self._server.close()


async def start(recorder: Recorder, options: dict[str, Any]) -> Running:  # noqa: ARG001  # has none
    """Serve; the path of a WebSocket is the number of its session."""

    def listen_to(request: WSUpgradeRequest) -> _Listener:
        return _Listener(Floor(int(request.path[1:]), recorder))

    return _Picows(await ws_create_server(listen_to, "127.0.0.1", 0, backlog=2048))
