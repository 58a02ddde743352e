"""What lives and ends leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import threading
import time
from pathlib import Path

import daily

from app.core.pcm import SAMPLE_RATE as RATE
from tests.support.daily_children.common import DEADLINE_S, FRAME, Listener, finish, settle
from tests.support.daily_children.player import Player


async def lifetimes(count: str) -> None:
    """Threads, descriptors and kilobytes before and after so many writers and clients."""
    daily.Daily.init()
    random.seed(1)
    await _live_and_die(40)  # what is made once is there before we count
    before = _held()
    began = time.monotonic()
    await _live_and_die(int(count))
    finish({"before": before, "after": _held(), "s": round(time.monotonic() - began, 1)})


async def _live_and_die(count: int) -> None:
    """Twenty at a time play, are cut or cancelled at any moment, and go."""
    attic: set[object] = set()
    for _ in range(0, count, 20):
        await asyncio.gather(*(_one_life(attic) for _ in range(20)))
    async with asyncio.timeout(DEADLINE_S):
        while attic:  # noqa: ASYNC110  # nobody tells when the last one goes
            await asyncio.sleep(0.02)
    gc.collect()


async def _one_life(attic: set[object]) -> None:
    player = Player(attic)
    client = daily.CallClient(event_handler=Listener())
    track = player.out.track
    assert track is not None  # there until it is closed
    client.add_custom_audio_track("stream", track, ignore_audio_level=True)

    async def speak() -> None:
        for _ in range(random.randrange(1, 6)):
            player.play(random.randrange(1, 4))
            await asyncio.sleep(random.random() * 0.02)
            if random.random() < 0.3:
                player.cut()
        await player.silence()

    speaking = asyncio.create_task(speak())
    await asyncio.sleep(random.random() * 0.1)
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    await player.close()
    left = threading.Event()
    client.leave(completion=lambda _: left.set())
    assert left.wait(DEADLINE_S)
    client.release()


def _held() -> dict[str, int]:
    own = Path("/proc/self")
    pages = int((own / "statm").read_text().split()[1])
    return {
        "threads": len(list((own / "task").iterdir())),
        "descriptors": len(list((own / "fd").iterdir())),
        "kb": pages * resource.getpagesize() // 1024,
    }


def exit_pending() -> None:
    """End at once with a second of audio pending."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, False)
    source.write_frames(FRAME * 50, completion=lambda _: None)
    time.sleep(0.05)
    os._exit(0)


def exit_drained() -> None:
    """End plainly once all audio is over, with everything still there."""
    daily.Daily.init()
    globals()["source"] = source = daily.CustomAudioSource(RATE, 1, False)
    globals()["track"] = daily.CustomAudioTrack(source)
    globals()["client"] = daily.CallClient(event_handler=Listener())
    played = threading.Event()
    source.write_frames(FRAME * 5, completion=lambda _: played.set())
    assert played.wait(DEADLINE_S)
    settle()


def exit_joining(port: str) -> None:
    """End plainly while a join runs that is abandoned to a thread."""
    daily.Daily.init()
    client = daily.CallClient()
    client.set_proxy_url(f"https://127.0.0.1:{port}")
    client.join("https://test.daily.co/room")
    threading.Thread(target=client.release, daemon=True).start()
    time.sleep(0.3)
