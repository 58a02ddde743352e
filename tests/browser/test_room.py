"""The sandbox's room page in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.async_api import ViewportSize, expect
from websockets.asyncio.client import ClientConnection, connect

from app.core.pcm import AudioFormat
from app.sandbox.face import MOUTH
from tests.support.audio import wav
from tests.support.browser import PHONE, WIDE, browsing, count, grey, page_in
from tests.support.processes import until
from tests.support.sandbox import echo_message, running_sandbox
from tests.support.speech import speech

LEFT, TOP, RIGHT, BOTTOM = MOUTH


def spoken() -> bytes:
    """Some seconds of speech, 24 kHz s16le."""
    words = speech("The quick brown fox jumps over the lazy dog, and it does so again.", 24_000)
    return (words[:, 0] * 32767).astype("<i2").tobytes()


@contextlib.asynccontextmanager
async def a_room(**faults: Any) -> AsyncIterator[tuple[httpx.AsyncClient, str, str]]:
    """A private room: a client of its sandbox, its page with the token, its WebSockets' base."""
    async with running_sandbox() as tavus:
        await tavus.put("/sandbox/faults", json={"strict_bytes": False, **faults})
        body = {
            "replica_id": "r1",
            "require_auth": True,
            "properties": {"participant_left_timeout": 60},
        }
        shown = (await tavus.post("/sandbox/v2/conversations", json=body)).json()
        room, token = shown["conversation_url"], shown["meeting_token"]
        yield tavus, f"{room}?t={token}", f"{room.replace('http', 'ws', 1)}/{{}}?token={token}"


class Other:
    """Somebody else in the room, who lets the replica speak and hears of everybody."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self.told: list[tuple[str, str]] = []

    async def listen(self) -> None:
        """Note who comes and goes."""
        async for text in self._link:
            operation = json.loads(text)
            if "participant" in operation:
                self.told.append((operation["op"], operation["participant"]["name"]))

    async def speak(self, pcm: bytes) -> None:
        """Let the replica say something."""
        for at in range(0, len(pcm), 9600):
            text = echo_message(pcm[at : at + 9600], done=at + 9600 >= len(pcm))
            operation = {"op": "message", "id": at, "message": text, "epoch": 0}
            await self._link.send(json.dumps(operation))


async def test_a_visitor_sees_hears_and_is_heard(tmp_path: Path) -> None:
    """The mouth moves with the sound and rests in silence; the visitor comes, speaks and goes."""
    pcm = spoken()
    said = tmp_path / "said.wav"
    said.write_bytes(wav(AudioFormat(), pcm))
    heard: list[int] = []
    async with (
        a_room(replica_join_ms=0) as (_, address, sockets),
        connect(sockets.format("link") + "&name=other", proxy=None) as link,
        connect(sockets.format("media"), proxy=None) as media,
        browsing(said) as browser,
        page_in(browser) as page,
        asyncio.TaskGroup() as group,
    ):
        other = Other(link)

        async def hear() -> None:
            async for message in media:
                assert isinstance(message, bytes)
                pcm = message[20 + message[1] :]
                heard.append(int(np.abs(np.frombuffer(pcm, "<i2").astype(int)).max()))

        async def shows(samples: int) -> bool:
            return await count(page, "#picture") == samples

        tasks = [group.create_task(other.listen()), group.create_task(hear())]
        await media.send('{"op":"watch","people":true}')
        await page.goto(address)
        await page.get_by_label("Your name").fill("Ada")
        await page.get_by_role("button", name="Join").click()
        await expect(page.get_by_role("status")).to_have_text("Live")
        await until("a picture", lambda: shows(0))

        rest = await grey(page, "#picture")
        await other.speak(pcm)
        moved, loud = 0.0, 0.0
        while not await shows(len(pcm) // 2):
            picture = await grey(page, "#picture")
            differs = picture[TOP:BOTTOM, LEFT:RIGHT].astype(int) - rest[TOP:BOTTOM, LEFT:RIGHT]
            moved = max(moved, float((np.abs(differs) > 40).mean()))
            level = await page.get_by_label("The avatar's sound").evaluate("(it) => it.value")
            loud = max(loud, level)

        async def rests() -> bool:
            picture = await grey(page, "#picture")
            return np.array_equal(picture[TOP:BOTTOM, LEFT:RIGHT], rest[TOP:BOTTOM, LEFT:RIGHT])

        await until("a resting mouth", rests)
        await page.get_by_role("button", name="Microphone").click()
        await until("the visitor's voice", lambda: heard and max(heard) > 1000)
        await page.get_by_role("button", name="Microphone", pressed=True).click()
        await page.get_by_role("button", name="Leave").click()
        await until("the visitor gone", lambda: other.told[-1:] == [("participant_left", "Ada")])
        for task in tasks:
            task.cancel()

    assert ("participant_joined", "Ada") in other.told
    assert moved > 0.05
    assert loud > 0.5


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_a_room_can_be_left_to_itself(size: ViewportSize) -> None:
    """Its end is told; by keyboard alone one gets in, and nothing is wider than the screen."""
    async with (
        a_room(replica_join_ms=0, video_stalls_after_ms=0) as (tavus, address, _),
        browsing() as browser,
        page_in(browser, size, dark=size is PHONE) as page,
    ):
        await page.goto(address)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Echo Assistant (the avatar)")).to_be_visible()
        width = await page.evaluate("document.documentElement.scrollWidth")
        room = address.partition("?")[0].rsplit("/", 1)[1]
        await tavus.post(f"/sandbox/v2/conversations/{room}/end")
        await expect(page.get_by_text("The conversation is over")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("This conversation is over.")).to_be_visible()

    assert width <= size["width"]
