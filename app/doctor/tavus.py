"""The way to Tavus, or to a sandbox that runs only as long as it is looked at."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.runtime.clock import SystemClock
from app.runtime.tavus_api import BASE_URL, TavusApi
from app.settings import RoomKind, Settings
from app.supervisor import SandboxChild

TIMEOUT_S = 10.0
"""Longest wait for one answer: who looks on has less patience than a service."""

log = logging.getLogger(__name__)


def needs_sandbox(settings: Settings) -> bool:
    """Whether nothing but a sandbox of our own can answer."""
    return settings.room_kind is RoomKind.SANDBOX and settings.tavus_base_url is None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[TavusApi]:
    """Open the way to whom the settings name. Raises SandboxFailed."""
    if not needs_sandbox(settings):
        async with client(settings, settings.tavus_base_url or BASE_URL) as tavus:
            yield tavus
        return
    quiet = settings.model_copy(update={"log_level": "error"})
    child = SandboxChild(quiet, SystemClock(), _report)
    try:
        await child.start()
        await child.ready()
        async with client(settings, child.base_url) as tavus:
            yield tavus
    finally:
        await child.close()


@asynccontextmanager
async def client(settings: Settings, base_url: str) -> AsyncIterator[TavusApi]:
    """Open a client of Tavus at an address."""
    proxied = settings.room_kind is RoomKind.DAILY
    timeout_s = min(settings.tavus_timeout_s, TIMEOUT_S)
    async with httpx.AsyncClient(trust_env=proxied) as http:
        yield TavusApi(http, base_url, settings.tavus_key, timeout_s)


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
