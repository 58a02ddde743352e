"""A real edge server around any application, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp

from app.edge import edge_server, listen
from app.settings import Settings


def settings_with(**values: Any) -> Settings:
    """Make settings that read no ``.env`` file."""
    return Settings(_env_file=None, **values)


@asynccontextmanager
async def serving(
    app: ASGIApp, settings: Settings, *, ping_s: float | None = None
) -> AsyncIterator[int]:
    """Serve ``app`` on a free loopback port, which is yielded; ``ping_s`` makes pings quick."""
    server = edge_server(app, settings)
    if ping_s is not None:
        server.config.ws_ping_interval = server.config.ws_ping_timeout = ping_s
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not (server.started or task.done()):  # noqa: ASYNC110  # uvicorn has no Event
                await asyncio.sleep(0.001)
            yield port
        finally:
            server.should_exit = True
            await task
