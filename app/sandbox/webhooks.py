"""Tavus's callbacks: posted once, soon, and forgotten when nobody answers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

TIMEOUT_S = 5.0
"""Longest wait for a callback's answer."""

MAX_PENDING = 256
"""Callbacks under way; further ones are not sent."""


class Webhooks:
    """Posts callbacks, those of one conversation in order."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Connect when the first callback is due, through ``transport`` if given."""
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}

    def post(self, url: str, event: dict[str, Any]) -> None:
        """Post an event to a callback URL, after those posted to it before."""
        if len(self._pending) >= MAX_PENDING:
            return
        task = asyncio.create_task(self._post(url, event, self._last.get(url)), name="webhook")
        self._pending.add(task)
        self._last[url] = task
        task.add_done_callback(lambda task: self._finished(url, task))

    async def close(self) -> None:
        """Give what is under way a moment, then drop it."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=1.0)
        for task in list(self._pending):
            task.cancel()
        if self._client is not None:
            await self._client.aclose()

    async def _post(
        self, url: str, event: dict[str, Any], before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, transport=self._transport)
        try:
            await self._client.post(url, json=event)
        except (httpx.HTTPError, httpx.InvalidURL):
            return  # Tavus documents no retry

    def _finished(self, url: str, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        if self._last.get(url) is task:
            del self._last[url]
