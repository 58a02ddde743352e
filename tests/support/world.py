"""Everything a session needs, in virtual time: clock, Tavus, rooms."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.core.callbacks import Callbacks
from app.core.events import ConversationCreated
from app.core.pcm import AudioFormat
from app.core.spec import AudioPathName, NamedId, SessionSpec
from app.errors import BridgeError
from app.runtime.bills import Bills
from app.runtime.journal import Journal
from app.runtime.metrics import Metrics
from app.runtime.resources import Resources
from app.runtime.room import ReportFact, ReportMedia
from app.runtime.runner import Runner
from app.runtime.tasks import Tasks
from app.runtime.tavus_api import TavusApi
from app.settings import Settings
from tests.support.asyncapi import check_server_message
from tests.support.clock import FakeClock, settle
from tests.support.journal import AtOnce
from tests.support.room import FakeRoom
from tests.support.tavus import BASE_URL, KEY, FakeTavus

S = 1_000_000_000
MS = 1_000_000


def spec(**changes: Any) -> SessionSpec:
    """Make the spec of a session with the service's defaults."""
    given = {
        "face": None,
        "pal": None,
        "conversation_name": None,
        "audio_path": AudioPathName.ECHO,
        "lead_ms": 1500,
        "ready_timeout_s": 120.0,
        "idle_timeout_s": 300.0,
        "max_duration_s": 3600.0,
    }
    return SessionSpec(**{**given, **changes})


class World:
    """What one process lives in; ``rooms`` has every room made, ``prepare`` changes each."""

    def __init__(self, after: World | None = None, /, **given: Any) -> None:
        """Begin anew, or where a process was killed: with its Tavus, its disk and its time."""
        self.clock: FakeClock = FakeClock() if after is None else after.clock
        self.tavus: FakeTavus = FakeTavus() if after is None else after.tavus
        self.rooms: list[FakeRoom] = []
        self.prepare: Callable[[FakeRoom], None] = lambda _room: None
        self.settings = Settings(
            _env_file=None,
            **{
                "room": "sandbox",
                "tavus_base_url": BASE_URL,
                "tavus_api_key": KEY,
                **given,
            },
        )
        self.http = self.tavus.client()
        self.disk = AtOnce()
        self.database: sqlite3.Connection = (
            sqlite3.connect(":memory:") if after is None else after.database
        )
        self.journal = Journal(self.database, self.disk)
        self.metrics = Metrics()
        self.bills = Bills(
            self.journal,
            TavusApi(self.http, BASE_URL, KEY, 20.0),
            self.clock,
            self.metrics,
            instance=self.settings.instance,
            account="here",
        )
        self.callbacks = Callbacks(b"key", self.settings.public_url)
        self.resources = Resources(
            self.settings,
            self.clock,
            self.journal,
            self.bills,
            self.callbacks,
            self.make_room,
            self.metrics,
            self.name_of,
        )

    async def name_of(self, _pal: NamedId | None) -> str:
        """Be a ``NameOf``."""
        return "Anna"

    async def close(self) -> None:
        """Let go of everything."""
        await self.bills.close()
        await self.http.aclose()
        self.journal.close()

    def make_room(
        self,
        _conversation: ConversationCreated,
        _path: AudioPathName,
        report: ReportFact,
        show: ReportMedia,
        _tasks: Tasks,
    ) -> FakeRoom:
        """Be a ``RoomFactory``."""
        room = FakeRoom(report, self.clock, show=show)
        self.prepare(room)
        self.rooms.append(room)
        return room

    @property
    def room(self) -> FakeRoom:
        """The only room."""
        (room,) = self.rooms
        return room

    @asynccontextmanager
    async def session(self, **changes: Any) -> AsyncIterator[Session]:
        """Run a session, ready unless its room was prepared otherwise; end it at last."""
        session = Session(self, **changes)
        session.runner.start()
        await settle()
        try:
            yield session
        finally:
            await session.end()
            await self.close()


class Session:
    """One runner, and what it told everybody."""

    def __init__(self, world: World, **changes: Any) -> None:
        self.created: list[BridgeError | None] = []
        self.overs = 0
        self.runner = Runner(
            "sess_1",
            spec(**changes),
            world.resources,
            on_created=lambda _runner, error: self.created.append(error),
            on_over=self._on_over,
        )
        self.heard = self.runner.bus.subscribe()
        self._told: list[dict[str, Any]] = []

    def _on_over(self, _runner: Runner) -> None:
        self.overs += 1

    @property
    def told(self) -> list[dict[str, Any]]:
        """Everything told to everybody so far; each message is in the contract."""
        self._told += drain(self.heard._waiting)
        return self._told

    def types(self) -> list[str]:
        """The types of all that was told, app messages left out."""
        return [m["type"] for m in self.told if m["type"] != "tavus.event"]

    def of(self, message_type: str) -> list[dict[str, Any]]:
        """All that was told of one type."""
        return [m for m in self.told if m["type"] == message_type]

    async def end(self) -> None:
        """Stop, and let go."""
        if not self.runner.over:
            await self.runner.stop("deleted")
        await settle()
        await self.runner.close()


def drain(waiting: Any) -> list[dict[str, Any]]:
    """Take all encoded messages, checking each against the contract."""
    messages = [check_server_message(text) for text in waiting]
    waiting.clear()
    return messages


def speak(
    session: Session, seconds: int = 1, *, end: bool = True, sample: bytes = b"\x00\x00"
) -> None:
    """Let an explicit producer open an utterance and send ``seconds`` of it; by default silence."""
    intake = session.runner.speaker.voice.intake
    now = session.runner.clock.now()
    intake.start(None, AudioFormat(), None, now)
    for _ in range(seconds):
        intake.audio(sample * 24_000, now)
    if end:
        intake.end()
    session.runner.speaker.changed()


def alone(room: FakeRoom) -> None:
    """Let no replica be in the room."""
    room.present = ()
