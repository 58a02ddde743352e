"""One session of the running service, as a backend has it, and all that is told in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.core.tavus import AppEvent, ReplicaStarted, ReplicaStopped, read_app_message
from app.doctor.experiment import LiveFailed
from app.runtime.clock import NS_PER_S, Clock, deadline

REQUEST_S = 10.0
"""Longest wait for the service's answer."""

READY_S = 120.0
"""Tavus's own tool waits 300 s for a replica; most come in a few."""

PACKET_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Told:
    """One message of the stream."""

    at: int
    """Monotonic ns."""
    number: int
    """Its place among all that was told."""
    message: dict[str, Any]

    @property
    def event(self) -> AppEvent | None:
        """What Tavus says with it, if it is one of the room's messages that we know."""
        if self.message["type"] != "tavus.event":
            return None
        return read_app_message(self.message["event"])


class Call:
    """A session with its stream open; somebody has to run ``read``."""

    def __init__(
        self,
        session: dict[str, Any],
        http: httpx.AsyncClient,
        socket: ClientConnection,
        clock: Clock,
    ) -> None:
        """Speak in ``session``."""
        self.session = session
        self.opened = clock.now()
        """Monotonic ns."""
        self.told: list[Told] = []
        self._http = http
        self._socket = socket
        self._clock = clock
        self._news = asyncio.Event()
        self._is_closed = False

    async def read(self) -> None:
        """Take what is told until the stream ends."""
        try:
            async for text in self._socket:
                self.take(json.loads(text))
        except ConnectionClosed:
            pass  # whoever waits sees that nothing more comes
        self._is_closed = True
        self._news.set()

    # --- what is told

    def take(self, message: dict[str, Any]) -> None:
        """Note a message, for whoever waits for it."""
        self.told.append(Told(self._clock.now(), len(self.told), message))
        self._news.set()

    @property
    def now_told(self) -> int:
        """How much was told so far: a place to look on from."""
        return len(self.told)

    async def until(
        self, wanted: Callable[[Told], bool], timeout_s: float, *, since: int = 0
    ) -> Told | None:
        """Return the first such message from ``since`` on; None when none comes in time."""
        at = since
        try:
            async with deadline(self._clock, self._clock.now() + int(timeout_s * NS_PER_S)):
                while True:
                    for told in self.told[at:]:
                        if wanted(told):
                            return told
                    at = len(self.told)
                    if self._is_closed:
                        return None
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None

    async def until_type(self, kind: str, timeout_s: float, *, since: int = 0) -> Told | None:
        """Return the first message of a type from ``since`` on."""
        return await self.until(lambda told: told.message["type"] == kind, timeout_s, since=since)

    async def until_ready(self) -> Told:
        """Wait until the replica listens. Raises LiveFailed when it never does."""
        ready = await self.until_type("session.ready", READY_S)
        if ready is None:
            raise LiveFailed(f"the session did not become ready: {self.end()}")
        return ready

    async def until_started(self, timeout_s: float, *, since: int) -> Told | None:
        """Return the room's first word that the replica speaks."""
        return await self.until(
            lambda told: isinstance(told.event, ReplicaStarted), timeout_s, since=since
        )

    async def until_stopped(self, timeout_s: float, *, since: int) -> Told | None:
        """Return the room's first word that the replica is silent."""
        return await self.until(
            lambda told: isinstance(told.event, ReplicaStopped), timeout_s, since=since
        )

    def speaking(self, since: int) -> list[tuple[dict[str, Any] | str, AppEvent]]:
        """Return every speaking event from ``since`` on: as it came, and as it was understood."""
        return [
            (told.message["event"], told.event)
            for told in self.told[since:]
            if isinstance(told.event, ReplicaStarted | ReplicaStopped)
        ]

    # --- what is done

    async def rest(self, seconds: float) -> None:
        """Let time pass."""
        await self._clock.sleep_until(self._clock.now() + int(seconds * NS_PER_S))

    async def speak(self, utterance_id: str, pcm: bytes) -> None:
        """Send a whole utterance of 24 kHz mono s16le, as fast as it goes."""
        start = {
            "type": "utterance.start",
            "utterance_id": utterance_id,
            "format": {"encoding": "pcm_s16le", "sample_rate": 24_000, "channels": 1},
        }
        try:
            await self._socket.send(json.dumps(start))
            for at in range(0, len(pcm), PACKET_BYTES):
                await self._socket.send(pcm[at : at + PACKET_BYTES])
            end = {"type": "utterance.end", "utterance_id": utterance_id}
            await self._socket.send(json.dumps(end))
        except ConnectionClosed:
            raise LiveFailed(f"the stream was closed: {self.end()}") from None

    async def done(self, utterance_id: str, timeout_s: float) -> dict[str, Any]:
        """Wait for what became of an utterance. Raises LiveFailed when nobody says it."""
        told = await self.until(
            lambda told: (
                told.message["type"] == "utterance.done"
                and told.message["utterance_id"] == utterance_id
            ),
            timeout_s,
        )
        if told is None:
            raise LiveFailed(f"the service never said what became of the speech: {self.end()}")
        return told.message

    async def say(self, inference_id: str, text: str) -> None:
        """Have the replica speak text with its own voice, under an id that we choose."""
        properties = {"modality": "text", "text": text, "inference_id": inference_id, "done": True}
        body = {"event_type": "conversation.echo", "properties": properties}
        await self._post("messages", body)

    async def interrupt(self) -> int:
        """Barge in; returns the moment it was asked for, ns."""
        asked = self._clock.now()
        await self._post("interrupt", {})
        return asked

    async def _post(self, what: str, body: dict[str, Any]) -> None:
        try:
            answer = await self._http.post(
                f"/sessions/{self.session['id']}/{what}", json=body, timeout=REQUEST_S
            )
        except httpx.HTTPError as error:
            raise LiveFailed(f"the service does not answer: {type(error).__name__}") from None
        if not answer.is_success:
            raise LiveFailed(f"the service refused: {answer.text[:200]}")

    def end(self) -> str:
        """Say how the session ended, if it did."""
        for told in reversed(self.told):
            if told.message["type"] == "session.ended":
                detail = told.message.get("detail")
                return f"{told.message['reason']}{f' ({detail})' if detail else ''}"
        return "the stream was lost" if self._is_closed else "the session goes on"
