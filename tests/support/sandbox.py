"""The sandbox inside a test: driven by a clock that stands still, or served on a loopback port."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from app.sandbox.app import SandboxServer, create_sandbox
from app.sandbox.faults import parse_faults
from app.sandbox.log import HeardShelf
from app.sandbox.media import Piece, Sight, Wants
from app.sandbox.rooms import Room, Timing
from app.sandbox.voice import Heard
from tests.support.clock import FakeClock

MS = 1_000_000

PCM = bytes(range(1, 241)) * 20
"""100 ms of audio without a zero in it."""


class FakeOutbox:
    """Keeps what a room sends to one participant."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.closed = False

    def post(self, operation: dict[str, Any]) -> None:
        """Keep it."""
        self.posted.append(operation)

    def close(self) -> None:
        """Note the end."""
        self.closed = True

    def ops(self) -> list[str]:
        """What kinds of operations came."""
        return [operation["op"] for operation in self.posted]

    def messages(self) -> list[Any]:
        """The app messages among them."""
        return [operation["message"] for operation in self.posted if operation["op"] == "message"]


class Mute:
    """No voice at all."""

    def speak(self, text: str, heard: Heard) -> None:
        """Say so at once."""
        heard(None)


class SlowVoice:
    """A voice that speaks when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Heard]] = []

    def speak(self, text: str, heard: Heard) -> None:
        """Keep what is to be spoken."""
        self.asked.append((text, heard))

    def finish(self, pcm: bytes | None) -> None:
        """Have spoken the oldest text."""
        _, heard = self.asked.pop(0)
        heard(pcm)


class Watcher:
    """Keeps what it sees and hears in a room."""

    def __init__(self) -> None:
        self.sights: list[Sight] = []
        self.pieces: list[Piece] = []
        self.closed = False

    def see(self, sight: Sight) -> None:
        """Keep it."""
        self.sights.append(sight)

    def hear(self, piece: Piece) -> None:
        """Keep it."""
        self.pieces.append(piece)

    def close(self) -> None:
        """Note the end."""
        self.closed = True

    def sound(self) -> bytes:
        """All that was heard, in one."""
        return b"".join(piece.pcm for piece in self.pieces)


def echo_message(
    pcm: bytes,
    *,
    inference_id: str | None = "u1",
    done: bool | str = False,
    sample_rate: int | None = 24_000,
) -> str:
    """An audio echo as a client sends it."""
    properties: dict[str, Any] = {"modality": "audio", "audio": base64.b64encode(pcm).decode()}
    if inference_id is not None:
        properties["inference_id"] = inference_id
    if sample_rate is not None:
        properties["sample_rate"] = sample_rate
    properties["done"] = done
    return message("conversation.echo", properties)


def message(event_type: str, properties: dict[str, Any] | None = None) -> str:
    """An app message of a client."""
    body: dict[str, Any] = {"message_type": "conversation", "event_type": event_type}
    if properties is not None:
        body["properties"] = properties
    return json.dumps(body)


def kinds(log: list[dict[str, Any]], *wanted: str) -> list[dict[str, Any]]:
    """The entries of these kinds."""
    return [entry for entry in log if entry["kind"] in wanted]


class Stage:
    """A room on a clock that stands still."""

    def __init__(
        self, *, max_participants: int | None = None, voice: SlowVoice | None = None, **faults: Any
    ) -> None:
        self.clock = FakeClock()
        self.people: list[int] = []
        self.replicas = 0
        self.room = Room(
            "c1",
            replica_id="r1",
            replica_name="Echo",
            max_participants=max_participants,
            faults=parse_faults({"strict_bytes": False, **faults}),
            timing=Timing(self.clock.now, self.clock.call_at),
            shelf=HeardShelf(),
            voice=voice or Mute(),
            on_people=lambda _, count: self.people.append(count),
            on_replica=self._count,
        )
        self.outbox = FakeOutbox()
        self.me = self.room.join("me", self.outbox)

    def send(self, text: str, *, epoch: int | None = None, silence: int = 0) -> None:
        """Send a message."""
        self.room.message(self.me, 7, text, epoch=epoch, silence=silence)

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.clock.advance(ms * MS)

    def watch(self, wants: Wants) -> Watcher:
        """Somebody who watches from now on."""
        watcher = Watcher()
        self.room.watch(watcher, wants)
        return watcher

    def entries(self) -> list[dict[str, Any]]:
        """The whole log."""
        entries: list[dict[str, Any]] = json.loads(self.room.log_json())
        return entries

    def log(self, *wanted: str) -> list[dict[str, Any]]:
        """The log's entries of these kinds, without their time."""
        entries = kinds(self.entries(), *wanted)
        return [{k: v for k, v in entry.items() if k != "at_ns"} for entry in entries]

    def events(self) -> list[str]:
        """What Tavus has said to us."""
        return [
            (json.loads(body) if isinstance(body, str) else body)["event_type"]
            for body in self.outbox.messages()
        ]

    def _count(self) -> None:
        self.replicas += 1


@contextlib.asynccontextmanager
async def running_sandbox(api_key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """The sandbox on a loopback port; yields a client with its address and a good key."""
    async with listening(create_sandbox(api_key=api_key)) as base_url:
        headers = {"x-api-key": api_key or "any"}
        async with httpx.AsyncClient(base_url=base_url, headers=headers) as client:
            yield client


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """An application on a loopback port; yields its address."""
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_config=None,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    server = SandboxServer(config)
    serving = asyncio.create_task(server.serve([sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        sock.close()
