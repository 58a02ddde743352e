"""How audio is paced, cut and refused."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import daily

from app.core.media import Media, PictureChoice, PictureCodec, RawPicture
from app.core.pcm import SAMPLE_RATE as RATE
from app.core.picture import i420_bytes
from app.runtime.encoders import Encoders
from tests.support.daily_children.common import FRAME, finish, settle
from tests.support.daily_children.player import Player


async def stalls(frames: str) -> None:
    """How late (ms) each frame is over while the event loop is blocked for 80 ms at times."""
    daily.Daily.init()
    player = Player(set())
    began = time.monotonic()
    player.play(int(frames))
    for _ in range(int(frames) // 10):
        await asyncio.sleep(0.12)
        time.sleep(0.08)  # noqa: ASYNC251  # a blocked loop is the point
    await player.silence()
    finish([(end - began) * 1000 - 20 * count for count, end in enumerate(player.watch.ends, 1)])
    await player.out.close()
    os._exit(0)  # as a worker ends


async def pictures(frames: str) -> None:
    """How late (ms) each frame is over while pictures are made into JPEG, and how many were."""
    daily.Daily.init()
    made: list[Media] = []
    encoder = Encoders(threads=1).encoder(made.append)
    choice = PictureChoice(PictureCodec.JPEG, 30, 1280)
    encoder.watch(frozenset({choice}))
    noise = os.urandom(i420_bytes(1280, 720))
    player = Player(set())
    began = time.monotonic()
    player.play(int(frames))
    for number in range(int(frames) * 20 * 30 // 1000):
        encoder.take(RawPicture(1280, 720, noise, number * 33_333))
        await asyncio.sleep(1 / 30)
    await player.silence()
    late = [(end - began) * 1000 - 20 * count for count, end in enumerate(player.watch.ends, 1)]
    finish({"late": late, "pictures": len(made)})
    await player.out.close()
    os._exit(0)  # as a worker ends


async def interrupts() -> None:
    """How long (ms) audio went on after each of ten interrupts, none at a frame's edge.

    Twice: what the source had not played by then; and when it fell silent by its own clock, which
    is that of the least late of its completions, a busy machine being able to delay all but few.
    """
    daily.Daily.init()
    player = Player(set())
    tails = []
    for number in range(10):
        before = len(player.watch.ends)
        player.play(100)
        await asyncio.sleep(0.06 + number * 0.002)
        player.cut()
        at = time.monotonic()
        played = sum(end <= at for end in player.watch.ends)
        await player.silence()
        ends = player.watch.ends[before:]
        began = min(end - 0.02 * count for count, end in enumerate(ends, 1))
        silent = began + 0.02 * len(ends)
        tails.append([20 * (len(player.watch.ends) - played), (silent - at) * 1000])
    finish(tails)
    await player.out.close()
    os._exit(0)  # as a worker ends


def writes() -> None:
    """What every kind of write answers, and on whose thread it completes."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, auto_silence=False)
    main = threading.get_ident()
    found: dict[str, Any] = {"rate": source.sample_rate, "channels": source.channels}

    def write(name: str, frames: Any) -> None:
        done: list[Any] = []
        event = threading.Event()

        def completed(samples: int) -> None:
            done.extend([samples, threading.get_ident() == main])
            event.set()

        try:
            answer = source.write_frames(frames, completion=completed)
        except (TypeError, ValueError) as error:
            found[name] = type(error).__name__
            return
        event.wait(1)
        found[name] = [answer, *done]

    write("whole", FRAME)
    write("empty", b"")
    write("odd", b"abc")
    write("bytearray", bytearray(960))
    write("half a frame", bytes(240))
    write("whole after half", FRAME)
    write("the other half", bytes(240))

    inside: list[str] = []

    def again(_: int) -> None:
        for attempt in (
            lambda: source.write_frames(FRAME, completion=again),
            lambda: source.sample_rate,
            lambda: daily.CustomAudioTrack(source),
        ):
            try:
                attempt()
            except RuntimeError as error:
                inside.append(str(error).split(":", 1)[0])

    source.write_frames(b"", completion=again)
    began = time.monotonic()
    found["blocking"] = source.write_frames(FRAME * 5)
    found["blocked ms"] = round((time.monotonic() - began) * 10) * 100
    finish(found | {"inside": inside})
    settle()


def borrowed() -> None:
    """What a write and a look get while another thread is inside of a write."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, False)
    writing = threading.Thread(target=source.write_frames, args=(FRAME * 25,))
    writing.start()
    time.sleep(0.1)
    errors = []
    attempts: list[Callable[[], int]] = [
        lambda: source.write_frames(FRAME, completion=lambda _: None),
        lambda: source.sample_rate,
    ]
    for attempt in attempts:
        try:
            attempt()
        except RuntimeError as error:
            errors.append(str(error))
    writing.join()
    finish(errors)
    settle()
