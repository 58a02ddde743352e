from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import pytest

from app.core.media import Media, Picture, PictureChoice, PictureCodec, RawPicture
from app.core.picture import i420_bytes
from app.runtime.encoders import Encoder, Encoders

CHOICE = PictureChoice(PictureCodec.JPEG, 25, 640)
SLOW = PictureChoice(PictureCodec.RGB, 1, 640)


def raw(number: int, *, width: int = 64) -> RawPicture:
    """Make the picture of a moment; 25 a second."""
    return RawPicture(width, 48, bytes(i420_bytes(64, 48)), number * 40_000)


class Shown:
    """An encoder and what it has shown."""

    def __init__(self, encoders: Encoders) -> None:
        self.pictures: list[Picture] = []
        self._news = asyncio.Event()
        self.encoder: Encoder = encoders.encoder(self._show)

    def _show(self, media: Media) -> None:
        assert isinstance(media, Picture)
        assert threading.current_thread() is threading.main_thread()
        self.pictures.append(media)
        self._news.set()

    async def until(self, count: int) -> list[Picture]:
        """Wait for so many pictures."""
        async with asyncio.timeout(30):
            while len(self.pictures) < count:
                self._news.clear()
                await self._news.wait()
        return self.pictures

    async def idle(self) -> None:
        """Wait until nothing is being encoded."""
        async with asyncio.timeout(30):
            while self.encoder._busy:  # noqa: ASYNC110  # a picture that nobody gets is told nobody
                await asyncio.sleep(0.001)


@pytest.fixture
async def shown() -> AsyncIterator[Shown]:
    """An encoder with threads of its own."""
    encoders = Encoders()
    yield Shown(encoders)
    encoders.close()


async def test_pictures_come_encoded_and_in_order(shown: Shown) -> None:
    """A source that waits for each gets each, in the order of capture."""
    shown.encoder.watch(frozenset({CHOICE}))
    for number in range(5):
        shown.encoder.take(raw(number))
        await shown.until(number + 1)

    assert [(number * 40_000, 0) for number in range(5)] == [
        (picture.captured_us, picture.skipped) for picture in shown.pictures
    ]
    assert {b"\xff\xd8\xff"} == {picture.data[:3] for picture in shown.pictures}


async def test_newer_picture_takes_the_place_of_one_that_waits(shown: Shown) -> None:
    """What comes too fast is left out and counted with the next that is shown."""
    shown.encoder.watch(frozenset({CHOICE}))
    for number in range(10):
        shown.encoder.take(raw(number))
    first, last = await shown.until(2)

    assert (0, 0) == (first.captured_us, first.skipped)
    assert (360_000, 8) == (last.captured_us, last.skipped)


async def test_rare_picture_is_not_lost_with_its_turn(shown: Shown) -> None:
    """Who wants one picture a second gets a newer one when that one has to give way."""
    shown.encoder.watch(frozenset({CHOICE, SLOW}))
    for number in range(26):
        shown.encoder.take(raw(number))
    await shown.until(4)
    slow = [picture for picture in shown.pictures if picture.choice == SLOW]

    assert [(0, 0), (1_000_000, 0)] == [(each.captured_us, each.skipped) for each in slow]


async def test_rare_picture_moves_to_the_next(shown: Shown) -> None:
    """A picture that was due for somebody and gave way is not counted as skipped for them."""
    shown.encoder.watch(frozenset({CHOICE}))
    shown.encoder.take(raw(0))
    shown.encoder.watch(frozenset({CHOICE, SLOW}))
    shown.encoder.take(raw(1))
    shown.encoder.take(raw(2))
    await shown.until(3)

    assert [(SLOW, 80_000, 0)] == [
        (each.choice, each.captured_us, each.skipped)
        for each in shown.pictures
        if each.choice == SLOW
    ]
    assert [0, 1] == [each.skipped for each in shown.pictures if each.choice == CHOICE]


async def test_nothing_is_encoded_that_nobody_wants(shown: Shown) -> None:
    """Without a choice, or after it was taken back, nothing is shown."""
    shown.encoder.take(raw(0))
    assert not shown.encoder._busy
    shown.encoder.watch(frozenset({CHOICE}))
    shown.encoder.take(raw(1))
    shown.encoder.watch(frozenset())
    await shown.idle()

    assert [] == shown.pictures


async def test_closed_encoder_shows_nothing(shown: Shown) -> None:
    """What waits at the end is forgotten."""
    shown.encoder.watch(frozenset({CHOICE}))
    shown.encoder.take(raw(0))
    shown.encoder.take(raw(1))
    shown.encoder.close()
    await shown.idle()

    assert [] == shown.pictures


async def test_picture_that_is_none_costs_only_itself(
    shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    """A room that gives nonsense is logged, and its next picture is shown."""
    caplog.set_level(logging.CRITICAL)
    shown.encoder.watch(frozenset({CHOICE}))
    shown.encoder.take(raw(0, width=63))
    await shown.idle()
    shown.encoder.take(raw(1))
    await shown.until(1)

    assert [40_000] == [picture.captured_us for picture in shown.pictures]


async def test_end_of_the_threads_is_no_mistake() -> None:
    """A picture that still waits for a thread at the end is dropped quietly."""
    encoders = Encoders()
    rooms = [Shown(encoders) for _ in range(50)]
    for room in rooms:
        room.encoder.watch(frozenset({CHOICE}))
        room.encoder.take(raw(0))
    encoders.close()
    for room in rooms:
        await room.idle()

    assert len([room for room in rooms if room.pictures]) <= 50
