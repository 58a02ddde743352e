"""``avatar-bridge serve``: from the listening socket to the exit code.

::

    listen ─▶ journal ─▶ sandbox child (room sandbox only) ─▶ application ─▶ edge server
                                           └ comes up ┄┄┄┄┄ meanwhile ┄┄┄┄┘
    first signal:  refuse new sessions, tell every client, end every session, then stop the server
    second signal: end every session now, without waiting for speech
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Protocol, Self

import uvloop
from fastapi import FastAPI

from app.edge import EdgeServer, edge_server, listen
from app.errors import CannotStart
from app.runtime.clock import SystemClock
from app.runtime.journal import Journal
from app.runtime.tasks import Tasks
from app.settings import RoomKind, Settings
from app.supervisor import SandboxChild, SandboxFailed

CreateApp = Callable[[Settings, Journal], FastAPI]
"""Builds the application; its lifespan puts a ``Drainable`` into ``app.state.registry``."""

_END_S = 3.0
"""For ending all sessions once their speech is over; with drain_s and the rest below 10 s."""

log = logging.getLogger(__name__)


class Drainable(Protocol):
    """All sessions, as a shutdown sees them."""

    draining: bool
    """Whether new sessions are refused."""

    async def drain(self, grace_s: float) -> None:
        """Tell every client, wait up to ``grace_s`` for speech to end, end every session.

        A second call hurries the first: both return when all has ended.
        """
        ...


def run(settings: Settings, create_app: CreateApp) -> int:
    """Serve until a signal ends it; returns the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings, create_app))


async def serve(settings: Settings, create_app: CreateApp) -> int:
    """Serve until a signal ends it; returns the exit code: 0, or 1 when something failed."""
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # socket repeats the address
        log.error("cannot listen on %s port %d: %s", settings.host, settings.port, reason)  # noqa: TRY400  # one clear line
        return 1
    with listener:
        try:
            with Journal.open(settings.data_dir) as journal, _Signals() as signals:
                return await _serve_with_tavus(settings, create_app, listener, journal, signals)
        except CannotStart as error:
            log.error("%s", error)  # noqa: TRY400  # one clear line
            return 1


async def _serve_with_tavus(
    settings: Settings,
    create_app: CreateApp,
    listener: socket.socket,
    journal: Journal,
    signals: _Signals,
) -> int:
    """Serve, with the sandbox beside us when nothing else is to be Tavus."""
    if settings.room_kind is not RoomKind.SANDBOX or settings.tavus_base_url is not None:
        return await _serve_app(settings, create_app(settings, journal), listener, signals)
    child = SandboxChild(settings, SystemClock(), _report)
    try:
        await child.start()
        settings = settings.model_copy(update={"tavus_base_url": child.base_url})
        app = create_app(settings, journal)
        await child.ready()
        return await _serve_app(settings, app, listener, signals)
    except SandboxFailed as error:
        log.error("%s", error)  # noqa: TRY400  # one clear line
        return 1
    except asyncio.CancelledError:
        if not signals.received:
            raise
        return 0
    finally:
        await child.close()


async def _serve_app(
    settings: Settings, app: FastAPI, listener: socket.socket, signals: _Signals
) -> int:
    server = edge_server(app, settings)
    shutdown = _Shutdown(server, app, settings.drain_s)
    signals.receiver = shutdown.signalled
    try:
        await server.serve(sockets=[listener])
    except SystemExit:  # uvicorn's way to say that the application, as logged, cannot start
        return 1
    finally:
        await shutdown.close()
    return 1 if server.lifespan.should_exit else 0


class _Signals:
    """Hands SIGTERM and SIGINT to whoever is in charge; at first that is the main task's end."""

    def __init__(self) -> None:
        main = asyncio.current_task()
        assert main is not None  # ``serve`` is a coroutine, so some task runs it
        self.received = 0
        self.receiver: Callable[[], object] = main.cancel

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _receive(self) -> None:
        self.received += 1
        self.receiver()


class _Shutdown:
    """The way from a signal to a server that stops."""

    def __init__(self, server: EdgeServer, app: FastAPI, drain_s: float) -> None:
        self._server = server
        self._app = app
        self._tasks = Tasks(_report)
        self._graces = iter((drain_s, 0.0))

    def signalled(self) -> None:
        """Drain at the first signal, hurry at the second, be under way already at any other."""
        if not self._server.started:
            self._server.should_exit = True
            return
        grace_s = next(self._graces, None)
        if grace_s is not None:
            self._tasks.spawn("drain", self._drain(grace_s))

    async def close(self) -> None:
        """Forget a drain that the server has overtaken."""
        await self._tasks.close()

    async def _drain(self, grace_s: float) -> None:
        registry: Drainable = self._app.state.registry
        registry.draining = True
        log.info("draining: no new sessions, the running ones end within %.0f s", grace_s)
        try:
            async with asyncio.timeout(grace_s + _END_S):
                await registry.drain(grace_s)
        except TimeoutError:
            log.warning("some sessions did not end in time")
        finally:
            self._server.should_exit = True


def _report(name: str, error: BaseException) -> None:
    log.error("task %r failed", name, exc_info=error)
