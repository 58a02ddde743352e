"""The service itself, whole, but for two things outside of it: Tavus's REST API and the room."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from app.cli import NEW_OBJECTS, lasting
from app.core.events import ConversationCreated, Participant, RoomJoined
from app.core.media import Picture, Sound, Wants
from app.core.pcm import Chunk
from app.core.spec import AudioPathName
from app.edge import edge_server, listen
from app.main import create_app
from app.runtime.room import ReportFact, ReportMedia, Room
from app.runtime.tasks import Tasks
from app.settings import Settings
from bench.recorder import Kind, Recorder
from bench.subjects.running import Running, Uvicorn
from bench.without import undo

REPLICA = Participant("p-replica", "tavus-replica-r1", "Anna")

PICTURE = bytes(20_000)
"""As long as a JPEG of 640 by 360; nobody here looks at it."""

_AUDIO = '"audio":"'
"""Where in an echo message the base64 begins."""

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class SinkRoom:
    """A ``Room`` that takes all at once and only notes it. The replica is there from the start."""

    def __init__(
        self, session: int, report: ReportFact, show: ReportMedia, recorder: Recorder
    ) -> None:
        """Be outside."""
        self._session = session
        self._report = report
        self._show = show
        self._wants = Wants()
        self._showing: asyncio.TimerHandle | None = None
        self._recorder = recorder
        self._messages = 0
        self._track = 0

    async def join(self) -> None:
        """Be inside."""
        asyncio.get_running_loop().call_soon(self._report, RoomJoined((REPLICA,)))

    async def leave(self) -> None:
        """Be outside."""
        self.watch(Wants())

    def attend(self, on_ready: Callable[[], None]) -> None:
        """Be ready always."""

    def ready_for(self, path: AudioPathName) -> bool:  # noqa: ARG002  # on both
        """Be ready always: the device is as fast as can be."""
        return True

    def write_audio(self, epoch: int, chunk: Chunk) -> None:  # noqa: ARG002  # nothing is kept
        """Take a frame."""
        self._recorder.note(self._session, Kind.AUDIO, chunk.samples)
        self._track += chunk.length

    def send_audio(self, message: str, epoch: int, silence: int) -> int:  # noqa: ARG002
        """Take a message, counting its samples by the length of its base64."""
        start = message.index(_AUDIO) + len(_AUDIO)
        end = message.index('"', start)
        octets = (end - start) // 4 * 3 - message.count("=", end - 2, end)
        self._recorder.note(self._session, Kind.AUDIO, octets // 2 - silence)
        self._messages += 1
        return self._messages

    async def send_message(self, message: str) -> int:  # noqa: ARG002  # for nobody
        """Take it."""
        self._messages += 1
        return self._messages

    def clear_audio(self, epoch: int) -> asyncio.Future[int]:  # noqa: ARG002  # nothing is held
        """Hold nothing, so there is nothing to drop."""
        self._recorder.note(self._session, Kind.CUT)
        cleared: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        cleared.set_result(self._track)
        return cleared

    def watch(self, wants: Wants) -> None:
        """Show the same picture 25 times a second, and silence."""
        self._wants = wants
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None
        if wants:
            self._show_all()

    async def ping(self) -> None:
        """Be well."""

    def _show_all(self) -> None:
        now_us = time.time_ns() // 1000
        for choice in self._wants.pictures:
            self._show(Picture(choice, 640, 360, PICTURE, now_us))
        for piece in range(2 if self._wants.sound else 0):
            self._show(Sound(bytes(960), 24_000, now_us + piece * 20_000))
        self._showing = asyncio.get_running_loop().call_later(0.04, self._show_all)


async def start(recorder: Recorder, options: dict[str, Any]) -> Running:
    """Serve.

    Options: ``data_dir``; ``settings`` (fields of ``Settings``); ``stamp_reads``: note when an
    interrupt reaches the application, which costs a coroutine a message; the session's number is
    then ``bench`` in the address of its stream; ``without``: a trick to leave out.
    """
    settings = Settings(
        _env_file=None,
        room="sandbox",
        tavus_base_url="http://tavus.invalid/v2",
        data_dir=Path(options["data_dir"]),
        max_sessions=1000,
        log_level="warning",
        **options.get("settings", {}),
    )

    def make_room(
        conversation: ConversationCreated,
        _path: AudioPathName,
        report: ReportFact,
        show: ReportMedia,
        _tasks: Tasks,
    ) -> Room:
        return SinkRoom(session_number(conversation.conversation_id), report, show, recorder)

    with lasting():  # as the command does
        app: Any = create_app(settings, http=_tavus(), make_room=make_room)
    gc.set_threshold(NEW_OBJECTS)
    undo(options.get("without"))
    server = edge_server(_Stamped(app, recorder) if options.get("stamp_reads") else app, settings)
    running = Uvicorn(server, listen("127.0.0.1", 0))
    await running.started()
    return running


def session_number(conversation_id: str) -> int:
    """The number of a session in the record; conversations are numbered as they are made."""
    return int(conversation_id.removeprefix("c"))


def _tavus() -> httpx.AsyncClient:
    """Tavus's REST API, as far as a session needs it, in no time."""
    numbers = count()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/conversations"):
            conversation_id = f"c{next(numbers)}"
            url = f"https://tavus.daily.co/{conversation_id}"
            row = {"conversation_id": conversation_id, "conversation_url": url, "status": "active"}
            return httpx.Response(200, json=row)
        return httpx.Response(200, json={"data": [], "total_count": 0})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


class _Stamped:
    """Notes when the application gets an interrupt."""

    def __init__(self, app: _App, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode()
        session = int(query.partition("bench=")[2].partition("&")[0])

        async def stamped() -> _Message:
            message = await receive()
            if "interrupt" in (message.get("text") or ""):
                self._recorder.note(session, Kind.READ)
            return message

        await self._app(scope, stamped, send)
