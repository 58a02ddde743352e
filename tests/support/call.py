"""A ``Call`` without a service: what it is asked to do sets off what it is then told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from functools import partial
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection

from app.doctor.call import Call
from tests.support.clock import FakeClock
from tests.support.world import MS, S

Script = list[tuple[int, dict[str, Any]]]
"""When, in ms from the deed, and what is told."""

SESSION = {
    "id": "sess_1",
    "room": "sandbox",
    "conversation_id": "c1",
    "conversation_url": "http://room.test/c1",
}


class ScriptedCall(Call):
    """Tells ``after[deed]`` each time something is done; deeds are speak, say and interrupt."""

    def __init__(self, clock: FakeClock, **after: list[Script]) -> None:
        nothing: Any = None  # neither a service nor a stream is ever reached
        http: httpx.AsyncClient = nothing
        socket: ClientConnection = nothing
        super().__init__(SESSION, http, socket, clock)
        self.clock = clock
        self.after = after
        self.deeds: list[tuple[str, ...]] = []

    async def speak(self, utterance_id: str, pcm: bytes) -> None:
        """Set off what follows speech."""
        self._do("speak", utterance_id)

    async def say(self, inference_id: str, text: str) -> None:
        """Set off what follows a text echo."""
        self._do("say", inference_id)

    async def interrupt(self) -> int:
        """Set off what follows an interrupt."""
        self._do("interrupt")
        return self.clock.now()

    def _do(self, deed: str, *names: str) -> None:
        self.deeds.append((deed, *names))
        script = self.after[deed].pop(0) if self.after.get(deed) else []
        for after_ms, message in script:
            self.clock.call_at(self.clock.now() + after_ms * MS, partial(self.take, message))


async def outcome(call: ScriptedCall, coro: Awaitable[str], seconds: int = 200) -> str:
    """Let time pass until an experiment is over; returns its verdict."""
    asking = asyncio.ensure_future(coro)
    await call.clock.run(seconds * S)

    assert asking.done(), "the experiment waits for ever"
    return await asking


def started(inference_id: str | None = "ab-1", *, as_text: bool = False) -> dict[str, Any]:
    """Tavus's word that the replica speaks."""
    return _room("started_speaking", inference_id, {"role": "pal"}, as_text=as_text)


def stopped(
    inference_id: str | None = "ab-1", duration: float | None = 2.0, *, as_text: bool = False
) -> dict[str, Any]:
    """Tavus's word that it is silent."""
    properties = {"role": "pal", "duration": duration, "interrupted": False}
    return _room("stopped_speaking", inference_id, properties, as_text=as_text)


def done(utterance_id: str, **changes: Any) -> dict[str, Any]:
    """The service's word on two seconds of speech."""
    return {
        "type": "utterance.done",
        "utterance_id": utterance_id,
        "status": "played",
        "received_ms": 2000,
        "played_ms": 2000,
        "source": "replica",
        "latency": {"first_sent_ms": 1, "started_ms": 90},
        **changes,
    }


def _room(
    verb: str, inference_id: str | None, properties: dict[str, Any], *, as_text: bool
) -> dict[str, Any]:
    event = {
        "message_type": "conversation",
        "event_type": f"conversation.{verb}",
        "inference_id": inference_id,
        "properties": properties,
    }
    return {"type": "tavus.event", "event": json.dumps(event) if as_text else event}
