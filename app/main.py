"""The composition root: the one file that knows every layer."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import httpx
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__
from app.api import console, health, sandbox, sessions, stream, webhooks
from app.api.guard import Guard
from app.api.problems import install_problems
from app.core.callbacks import Callbacks
from app.core.events import ConversationCreated
from app.core.keys import derive
from app.core.spec import AudioPathName, NamedId
from app.core.tokens import Tokens
from app.doctor.account import examine_account
from app.errors import CannotStart
from app.runtime.bills import Bills
from app.runtime.clock import NS_PER_S, Clock, SystemClock
from app.runtime.encoders import Encoders
from app.runtime.issuer import Issuer
from app.runtime.journal import Journal
from app.runtime.metrics import Metrics
from app.runtime.persona_names import PersonaNames
from app.runtime.registry import Registry
from app.runtime.resources import Resources, RoomFactory
from app.runtime.room import ReportFact, ReportMedia, Room
from app.runtime.room_remote import RemoteRoom
from app.runtime.room_sandbox import SandboxRoom
from app.runtime.tasks import Tasks
from app.runtime.tavus_api import BASE_URL, TavusApi
from app.runtime.workers import WORKER, Workers
from app.settings import RoomKind, Settings

log = logging.getLogger(__name__)

BOT_NAME = "Avatar Bridge"
"""How we are called in the room."""

LOOP_PERIOD_NS = NS_PER_S // 4
"""How often the event loop's delay is measured."""


def create_app(
    settings: Settings,
    journal: Journal | None = None,
    *,
    clock: Clock | None = None,
    http: httpx.AsyncClient | None = None,
    make_room: RoomFactory | None = None,
) -> FastAPI:
    """Build the service; its lifespan makes what it needs and closes it in reverse.

    What is outside the process can be replaced: the journal, which ``serve`` has opened ahead,
    time, what answers HTTP, and rooms. Raises ``CannotStart``.
    """
    clock = clock or SystemClock()
    metrics = Metrics()
    workers = _workers(settings, clock, metrics)
    encoders = Encoders()
    make_room = make_room or _room_factory(settings, clock, workers, encoders)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        own = Tasks(_report)
        # A proxy that the environment names leads to Tavus, never to our own child on loopback.
        proxied = settings.room_kind is RoomKind.DAILY
        trust = _trust(settings)
        async with http or httpx.AsyncClient(trust_env=proxied, verify=trust) as client:
            with journal or Journal.open(settings.data_dir) as kept:
                tavus = _tavus(client, settings, metrics)
                bills = _bills(kept, tavus, settings, clock, metrics)
                callbacks = Callbacks(derive(kept.root_secret, "callbacks"), settings.public_url)
                # The sandbox's replicas are known by their user ids.
                is_daily = settings.room_kind is RoomKind.DAILY
                name_of = PersonaNames(tavus, clock).find if is_daily else _nobody
                registry = Registry(
                    Resources(settings, clock, kept, bills, callbacks, make_room, metrics, name_of)
                )
                await registry.restore()
                app.state.tavus = tavus
                app.state.callbacks = callbacks
                app.state.issuer = Issuer(Tokens(derive(kept.root_secret, "tokens")), clock)
                app.state.registry = registry
                app.state.sandbox = _sandbox_proxy(client, settings)
                own.spawn("measure the event loop", _measure_loop(clock, metrics))
                own.spawn("examine the account", _examine(tavus, settings))
                try:
                    yield
                finally:
                    await registry.close()
                    await bills.close()
                    await workers.close()
                    encoders.close()
                    await own.close()

    app = FastAPIOffline(
        redoc_url=None,
        title="Avatar Bridge",
        version=__version__,
        summary="Streams the speech of any text-to-speech into a Tavus avatar.",
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.version = __version__
    app.add_middleware(Guard, settings=settings)
    install_problems(app)
    for module in (sessions, stream, webhooks, health, console, sandbox):
        app.include_router(module.router)
    return app


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    """Whose certificates to believe. The sandbox speaks plain HTTP: to load them takes 20 ms."""
    if settings.room_kind is RoomKind.DAILY or (settings.tavus_base_url or BASE_URL).startswith(
        "https:"
    ):
        return True
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nobody's


def _tavus(client: httpx.AsyncClient, settings: Settings, metrics: Metrics) -> TavusApi:
    return TavusApi(
        client,
        settings.tavus_base_url or BASE_URL,
        settings.tavus_key,
        settings.tavus_timeout_s,
        report=metrics.tavus_called,
    )


async def _nobody(_pal: NamedId | None) -> str:
    return ""


def _bills(
    journal: Journal, tavus: TavusApi, settings: Settings, clock: Clock, metrics: Metrics
) -> Bills:
    # The sandbox that serve starts is at another port each time.
    where = (settings.tavus_base_url or BASE_URL) if settings.room_kind is RoomKind.DAILY else ""
    return Bills(
        journal,
        tavus,
        clock,
        metrics,
        instance=settings.instance,
        account=where or RoomKind.SANDBOX.value,
    )


def _workers(settings: Settings, clock: Clock, metrics: Metrics) -> Workers:
    """Have room workers when a Daily room wants one; none is started before."""
    form = ("--log-level", settings.log_level, "--log-format", settings.log_format)
    silence = ("--auto-silence",) if settings.track_auto_silence else ()
    return Workers(
        clock,
        (*WORKER, *form, *silence),
        rooms_per_worker=settings.rooms_per_worker,
        on_lost=metrics.worker_lost,
    )


def _room_factory(
    settings: Settings, clock: Clock, workers: Workers, encoders: Encoders
) -> RoomFactory:
    if settings.room_kind is RoomKind.DAILY and find_spec("daily") is None:
        raise CannotStart(
            "daily-python is not installed: it exists for Linux with glibc 2.28, macOS and "
            "Windows; BRIDGE_ROOM=sandbox runs without it"
        )

    def make_room(
        conversation: ConversationCreated,
        path: AudioPathName,
        report: ReportFact,
        show: ReportMedia,
        tasks: Tasks,
    ) -> Room:
        url, token = conversation.conversation_url, conversation.meeting_token
        if settings.room_kind is RoomKind.SANDBOX:
            return SandboxRoom(url, token, BOT_NAME, report, show, encoders, clock, tasks)
        is_track = path is AudioPathName.TRACK
        return RemoteRoom(
            url,
            token,
            BOT_NAME,
            conversation.replica_name,
            report,
            show,
            clock,
            workers,
            is_track=is_track,
        )

    return make_room


def _sandbox_proxy(client: httpx.AsyncClient, settings: Settings) -> sandbox.SandboxProxy | None:
    if settings.room_kind is not RoomKind.SANDBOX or settings.tavus_base_url is None:
        return None
    return sandbox.SandboxProxy(client, settings.tavus_base_url.removesuffix("/sandbox/v2"))


async def _measure_loop(clock: Clock, metrics: Metrics) -> None:
    while True:
        due = clock.now() + LOOP_PERIOD_NS
        await clock.sleep_until(due)
        metrics.loop_delayed(clock.now() - due)
        metrics.tasks_counted(len(asyncio.all_tasks()))


async def _examine(tavus: TavusApi, settings: Settings) -> None:
    """Look whether sessions can work at all; they may be created meanwhile."""
    findings = await examine_account(tavus, settings)
    trouble = [f"{bad.check}: {bad.found}; {bad.advice}" for bad in findings if bad.advice]
    if trouble:
        log.warning("sessions may fail (avatar-bridge doctor tells more): %s", " | ".join(trouble))


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
