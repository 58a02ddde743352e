from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from app.supervisor import SandboxChild, SandboxFailed
from tests.support.clock import FakeClock
from tests.support.edge import settings_with

SECOND = 1_000_000_000


def fail(name: str, error: BaseException) -> None:
    """Nothing in these tests may end in an unexpected exception."""
    raise AssertionError(f"{name}: {error!r}")


def child(how: str, clock: FakeClock, start_s: float = 30, **settings: Any) -> SandboxChild:
    """Make a child that behaves as ``tests.support.child`` says under ``how``."""
    command = (sys.executable, "-P", "-m", "tests.support.child", how)
    return SandboxChild(settings_with(**settings), clock, fail, command, start_s=start_s, stop_s=1)


@asynccontextmanager
async def started(how: str, clock: FakeClock, **settings: Any) -> AsyncIterator[SandboxChild]:
    """Start a child and stop it at the end."""
    sandbox = child(how, clock, **settings)
    try:
        await sandbox.start()
        await sandbox.ready()
        yield sandbox
    finally:
        await sandbox.close()


async def ask(sandbox: SandboxChild, method: str = "GET") -> dict[str, Any]:
    """Return what the child says of itself."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.request(method, sandbox.base_url, timeout=10)
    said: dict[str, Any] = answer.json()
    return said


async def test_child_answers_with_our_settings_and_stops() -> None:
    """Once it is ready the child answers and knows its settings; after ``close`` it is gone."""
    async with started(
        "good", FakeClock(), sandbox_api_key="k", log_level="debug", log_format="json"
    ) as sandbox:
        said = await ask(sandbox)

    assert sandbox.base_url.startswith("http://127.0.0.1:")
    assert sandbox.base_url.endswith("/sandbox/v2")
    assert ("k", "debug", "json") == (
        said["BRIDGE_SANDBOX_API_KEY"],
        said["BRIDGE_LOG_LEVEL"],
        said["BRIDGE_LOG_FORMAT"],
    )
    with pytest.raises(ProcessLookupError):
        os.kill(said["pid"], 0)


async def test_dead_child_comes_back_at_the_same_address() -> None:
    """A child that dies is started again after a wait that doubles; callers queue meanwhile."""
    clock = FakeClock()
    async with started("good", clock) as sandbox:
        pids = [(await ask(sandbox))["pid"]]
        for wait_s in (0.1, 0.2):
            with suppress(httpx.TransportError):
                await ask(sandbox, "DELETE")
            await clock.until_waited_for()
            next_answer = asyncio.create_task(ask(sandbox))
            clock.advance(int(wait_s * SECOND) - 1)
            assert 1 == clock.waiting
            clock.advance(1)
            pids.append((await next_answer)["pid"])

    assert 3 == len(set(pids))


async def test_long_life_resets_the_wait() -> None:
    """A child that ran for half a minute is started again after the first, short wait."""
    clock = FakeClock()
    async with started("good", clock) as sandbox:
        for _ in range(2):
            await ask(sandbox)
            clock.advance(30 * SECOND)
            with suppress(httpx.TransportError):
                await ask(sandbox, "DELETE")
            await clock.until_waited_for()
            clock.advance(SECOND // 10)
            assert 0 == clock.waiting


@pytest.mark.parametrize(
    ("how", "start_s", "reason"),
    [("broken", 30, "ended with 7"), ("mute", 0.5, "did not answer in 0.5 s")],
)
async def test_child_that_does_not_start_is_reported(how: str, start_s: float, reason: str) -> None:
    """A child that dies or stays mute fails the start, and leaves nothing behind."""
    with pytest.raises(SandboxFailed, match=reason):
        async with started(how, FakeClock(), start_s=start_s):
            pass


async def test_child_that_ignores_the_request_is_killed() -> None:
    """A child that does not stop when asked is made to."""
    async with started("stubborn", FakeClock()) as sandbox:
        pid = (await ask(sandbox))["pid"]

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_close_needs_no_start_and_works_twice() -> None:
    """Closing is safe before a start and after a close."""
    sandbox = child("good", FakeClock())

    await sandbox.close()
    await sandbox.close()
