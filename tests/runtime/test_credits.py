from __future__ import annotations

import asyncio
from functools import partial

from app.runtime.credits import Credits, Frames


async def test_who_waits_acts_when_the_turn_comes() -> None:
    """In line, from inside of what frees one; who was cancelled is passed over."""
    credits_ = Credits(1)
    acts: list[int] = []

    def act(number: int) -> int:
        acts.append(number)
        return number

    first = await credits_.use(lambda: act(1))
    gone, second, third = (
        asyncio.ensure_future(credits_.use(partial(act, number))) for number in (2, 3, 4)
    )
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    credits_.give()
    at_once = list(acts)
    credits_.close()

    assert (1, 3, 0) == (first, await second, await third)
    assert [1, 3] == at_once == acts
    assert 0 == await credits_.use(lambda: act(5))


async def test_audio_comes_behind_the_line() -> None:
    """It is called when one is free that nobody waits for, and never after the end."""
    credits_ = Credits(1)
    calls: list[bool] = []
    credits_.attend(lambda: calls.append(credits_.ready))
    credits_.grab()
    waiting = asyncio.ensure_future(credits_.use(lambda: 7))
    await asyncio.sleep(0)
    credits_.give()
    first = list(calls)
    credits_.give()
    second = list(calls)
    credits_.grab()
    credits_.close()
    credits_.give()

    assert 7 == await waiting
    assert ([], [True], [True]) == (first, second, calls)
    assert not credits_.ready


def test_frames_keep_what_the_device_got() -> None:
    """A clear gives back the credits of what it dropped, and only of that."""
    frames, ready = Frames(3), []
    for _ in range(3):
        frames.wrote(0, 480)
    ready.append(frames.ready)
    frames.played(480)
    frames.cleared(1, 960)
    frames.wrote(1, 480)
    ready.append(frames.ready)
    frames.wrote(1, 480)
    frames.cleared(1, 960)  # what is not older stays
    ready.append(frames.ready)

    assert 480 == frames.consumed
    assert [False, True, False] == ready
