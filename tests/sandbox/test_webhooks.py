from __future__ import annotations

import asyncio
import json

import httpx

from app.sandbox.webhooks import MAX_PENDING, Webhooks


class Hook(httpx.AsyncBaseTransport):
    """A receiver of callbacks that can be slow or broken."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.open = asyncio.Event()
        self.broken = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Take a callback."""
        await self.open.wait()
        if self.broken:
            raise httpx.ConnectError("nobody there")
        self.got.append(json.loads(request.content)["n"])
        return httpx.Response(200)


async def test_callbacks_keep_their_order() -> None:
    """A slow receiver gets them one after another."""
    hook = Hook()
    webhooks = Webhooks(hook)

    for number in range(5):
        webhooks.post("http://me/hook", {"n": number})
    hook.open.set()
    await webhooks.close()

    assert [0, 1, 2, 3, 4] == hook.got


async def test_a_broken_receiver_is_nobodys_problem() -> None:
    """Neither is an address that is none."""
    hook = Hook()
    hook.broken = True
    hook.open.set()
    webhooks = Webhooks(hook)

    webhooks.post("http://me/hook", {"n": 1})
    webhooks.post("http://[", {"n": 2})
    await webhooks.close()

    assert [] == hook.got


async def test_pending_callbacks_are_bounded() -> None:
    """Beyond the limit they are not sent."""
    hook = Hook()
    webhooks = Webhooks(hook)

    for number in range(MAX_PENDING + 1):
        webhooks.post("http://me/hook", {"n": number})
    hook.open.set()
    await webhooks.close()

    assert list(range(MAX_PENDING)) == hook.got


async def test_closing_without_callbacks_is_easy() -> None:
    """There may never have been any."""
    await Webhooks().close()
