from __future__ import annotations

import asyncio

from app.runtime.credits import Credits, Frames


async def test_a_cancelled_wait_keeps_no_credit() -> None:
    """Whether it was still in line or had just been let through."""
    credits_ = Credits(1)

    assert await credits_.take(audio=True)
    in_line, let_through = (asyncio.ensure_future(credits_.take(audio=True)) for _ in range(2))
    await asyncio.sleep(0)
    in_line.cancel()
    await asyncio.sleep(0)
    credits_.give()
    let_through.cancel()
    await asyncio.gather(in_line, let_through, return_exceptions=True)

    assert await credits_.take(audio=True)


async def test_frames_keep_what_the_device_got() -> None:
    """A clear gives back the credits of what it dropped, and only of that."""
    frames = Frames(3)
    for _ in range(3):
        assert await frames.take(audio=True)
        frames.wrote(0, 480)

    frames.played(480)
    frames.cleared(1, 960)

    assert 480 == frames.consumed
    assert await frames.take(audio=True)
    assert await frames.take(audio=True)
    frames.wrote(1, 480)
    frames.wrote(1, 480)
    frames.cleared(1, 960)  # what is not older stays
    waiting = asyncio.ensure_future(frames.take(audio=True))
    await asyncio.sleep(0)

    assert not waiting.done()
    frames.close()

    assert not await waiting
