"""A ``Bench`` in virtual time: a service in miniature beside the fake Tavus."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from app.doctor.bench import Bench
from app.runtime.tavus_api import TavusApi
from tests.support.clock import FakeClock
from tests.support.edge import settings_with
from tests.support.tavus import BASE_URL, KEY, FakeTavus


class BenchWorld:
    """The service has sessions, each with a conversation at Tavus; ``hold`` keeps its answers."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.tavus = FakeTavus()
        self.sessions: dict[str, dict[str, Any]] = {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.refuses = False
        self.is_lost = False
        """The next creation works, but its answer never comes."""
        self._http = self.tavus.client()
        service = httpx.AsyncClient(
            transport=httpx.MockTransport(self._serve), base_url="http://bridge.test"
        )
        given = {"room": "sandbox", "tavus_api_key": KEY, **settings}
        self.bench = Bench(
            service,
            {},
            TavusApi(self._http, BASE_URL, KEY, 5.0),
            settings_with(**given),
            self.clock,
        )

    async def close(self) -> None:
        """Close the bench, letting time pass."""
        closing = asyncio.ensure_future(self.bench.close())
        while not closing.done():
            await self.clock.run(1_000_000_000)
        await closing

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        await self.hold.wait()
        match request.method, request.url.path.rpartition("/")[2]:
            case "POST", "sessions":
                return await self._create(json.loads(request.content))
            case "GET", "sessions":
                return httpx.Response(200, json={"data": list(self.sessions.values())})
            case "DELETE", session_id:
                session = self.sessions[session_id]
                session["end_reason"] = "deleted"
                row = self.tavus.conversations.get(session["conversation_id"])
                if row is not None:
                    row["status"] = "ended"
                return httpx.Response(204)
        return httpx.Response(404)

    async def _create(self, body: dict[str, Any]) -> httpx.Response:
        if self.refuses:
            return httpx.Response(400, text="tavus_rejected")
        wish = {"conversation_name": f"{body['conversation_name']} [bridge/x]"}
        made = await self._http.post(
            f"{BASE_URL}/conversations", json=wish, headers={"x-api-key": KEY}
        )
        session = {
            "id": f"sess_{len(self.sessions) + 1}",
            "room": "sandbox",
            "conversation_id": made.json()["conversation_id"],
            "stream_url": "ws://127.0.0.1:9/",  # discard: nobody listens there
            "metadata": body["metadata"],
        }
        self.sessions[session["id"]] = session
        if self.is_lost:
            raise httpx.ReadTimeout("lost")
        return httpx.Response(201, json=session)
