"""A small application with sessions that end when told, for tests of ``serve``."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket

from app.runtime.journal import Journal
from app.settings import Settings


class FakeSessions:
    """Has one session for every open WebSocket; ends them when its drain is let go, or hurried."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.draining = False
        self.graces: list[float] = []
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.over = asyncio.Event()

    async def drain(self, grace_s: float) -> None:
        self.graces.append(grace_s)
        if self.broken:
            raise ValueError("cannot drain")
        self.asked.set()
        if grace_s == 0:
            self.go.set()
        await self.go.wait()
        self.over.set()


class FakeService:
    """Builds the application, and remembers what was built, opened and closed."""

    def __init__(
        self, *, cannot_start: bool = False, cannot_drain: bool = False, one_shot: bool = False
    ) -> None:
        """Fail where asked to; with ``one_shot`` signal the own process once it runs."""
        self.cannot_start = cannot_start
        self.one_shot = one_shot
        self.registry = FakeSessions(broken=cannot_drain)
        self.started = asyncio.Event()
        self.settings: Settings | None = None
        self.life: list[str] = []

    def create_app(self, settings: Settings, _journal: Journal) -> FastAPI:
        """Be what ``app.main.create_app`` is."""
        self.settings = settings

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            if self.cannot_start:
                raise ValueError("cannot start")
            self.life.append("opened")
            app.state.registry = self.registry
            self.started.set()
            if self.one_shot:
                os.kill(os.getpid(), signal.SIGTERM)
            yield
            self.life.append("closed")

        app = FastAPI(lifespan=lifespan)

        @app.get("/draining")
        async def draining() -> bool:
            return self.registry.draining

        @app.websocket("/stream")
        async def stream(ws: WebSocket) -> None:
            await ws.accept()
            await self.registry.over.wait()
            await ws.close(4503)

        return app
