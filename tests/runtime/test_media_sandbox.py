from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from app.core.media import Media, Picture, PictureChoice, PictureCodec, Sound, Wants
from app.core.picture import i420_bytes
from app.runtime.clock import SystemClock, wall_us
from app.runtime.encoders import Encoders
from app.runtime.media_sandbox import PERSON, PICTURE, SOUND, SandboxMedia
from app.runtime.tasks import Tasks
from tests.support.clock import FakeClock, settle
from tests.support.media_link import FakeMediaLink
from tests.support.world import S

CHOICE = PictureChoice(PictureCodec.JPEG, 25, 640)
ALL = Wants(frozenset({CHOICE}), sound=True, people=True)
I420 = bytes(i420_bytes(64, 48))


class Watching:
    """A ``SandboxMedia`` and what it has shown."""

    def __init__(self, url: str, clock: SystemClock | FakeClock) -> None:
        self.clock = clock
        self.broken: list[BaseException] = []
        self.tasks = Tasks(lambda _, error: self.broken.append(error))
        self.encoders = Encoders()
        self.shown: list[Media] = []
        self._news = asyncio.Event()
        self.media = SandboxMedia(url, self._show, self.encoders, clock, self.tasks)

    def _show(self, media: Media) -> None:
        self.shown.append(media)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what is shown."""
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        """Let go; nothing may have broken."""
        self.media.close()
        await self.tasks.close()
        self.encoders.close()

        assert [] == self.broken


@asynccontextmanager
async def watching(
    url: str, clock: SystemClock | FakeClock | None = None
) -> AsyncIterator[Watching]:
    """Watch what is at this address."""
    watched = Watching(url, clock or SystemClock())
    try:
        yield watched
    finally:
        await watched.close()


@pytest.fixture
async def link() -> AsyncIterator[FakeMediaLink]:
    """A media link."""
    async with FakeMediaLink().running() as running:
        yield running


def operation(*, video: bool, audio: bool, people: bool) -> dict[str, object]:
    """Write down what is asked for."""
    return {"op": "watch", "video": video, "audio": audio, "people": people}


async def test_it_asks_for_what_is_wanted_when_it_is(link: FakeMediaLink) -> None:
    """Without a wish there is no link; each change is said on the same one."""
    async with watching(link.url) as watched:
        watched.media.watch(Wants())
        await settle()
        assert [] == link.paths
        for count, wants in enumerate((Wants(sound=True), ALL, Wants()), 1):
            watched.media.watch(wants)
            await link.until(lambda count=count: len(link.asked) >= count)  # type: ignore[misc]

    assert [
        operation(video=False, audio=True, people=False),
        operation(video=True, audio=True, people=True),
        operation(video=False, audio=False, people=False),
    ] == link.asked[:3]
    assert ["/sandbox/rooms/c1/media?name=bridge"] == link.paths


async def test_what_comes_is_shown(link: FakeMediaLink) -> None:
    """A picture is encoded, the replica's sound and a person's keep their rate, time and name."""
    now = wall_us(SystemClock())
    async with watching(link.url) as watched:
        watched.media.watch(ALL)
        await link.until(lambda: bool(link.asked))
        await link.send(PICTURE, I420, captured_us=now, size=(64, 48))
        await link.send(SOUND, b"\1\2", captured_us=now + 20, rate=24_000)
        await link.send(PERSON, b"\3\4", captured_us=now + 40, rate=48_000, who="p-alice")
        await watched.until(lambda: len(watched.shown) == 3)
    pictures = [media for media in watched.shown if isinstance(media, Picture)]

    assert [(CHOICE, 64, 48, now)] == [
        (each.choice, each.width, each.height, each.captured_us) for each in pictures
    ]
    assert [
        Sound(b"\1\2", 24_000, now + 20),
        Sound(b"\3\4", 48_000, now + 40, "p-alice"),
    ] == [media for media in watched.shown if isinstance(media, Sound)]


async def test_what_is_no_longer_wanted_is_not_shown(link: FakeMediaLink) -> None:
    """What was on its way when a wish was taken back concerns nobody."""
    now = wall_us(SystemClock())
    async with watching(link.url) as watched:
        watched.media.watch(ALL)
        await link.until(lambda: bool(link.asked))
        watched.media.watch(Wants(people=True))
        await link.send(PICTURE, I420, captured_us=now, size=(64, 48))
        await link.send(SOUND, b"\1\2", captured_us=now, rate=24_000)
        await link.send(PERSON, b"\3\4", captured_us=now, rate=24_000, who="p")
        await watched.until(lambda: bool(watched.shown))

    assert [Sound(b"\3\4", 24_000, now, "p")] == watched.shown


async def test_what_cannot_be_understood_is_left_out(link: FakeMediaLink) -> None:
    """A short message, text, or one of an unknown kind does not cost us the link."""
    now = wall_us(SystemClock())
    async with watching(link.url) as watched:
        watched.media.watch(Wants(sound=True))
        await link.until(lambda: bool(link.asked))
        await link.send_raw(b"\1")
        await link.send_raw("hello")
        await link.send(9, b"", captured_us=now)
        await link.send(SOUND, b"\1\2", captured_us=now, rate=24_000)
        await watched.until(lambda: bool(watched.shown))

    assert 1 == len(link.paths)


async def test_lost_link_is_made_again(link: FakeMediaLink) -> None:
    """After a second it is asked again for what is wanted by then."""
    async with watching(link.url, FakeClock()) as watched:
        watched.media.watch(ALL)
        await link.until(lambda: bool(link.asked))
        await link.hang_up()
        await link.until(lambda: {"op": "gone"} in link.asked)
        watched.media.watch(Wants(sound=True))
        while len(link.paths) < 2:
            assert isinstance(watched.clock, FakeClock)
            await watched.clock.run(S // 10)
        await link.until(lambda: len(link.asked) == 3)

    assert operation(video=False, audio=True, people=False) == link.asked[2]


async def test_room_without_media_is_asked_in_vain() -> None:
    """Nobody there: it is tried again every second, and nothing breaks."""
    async with watching("ws://127.0.0.1:1/sandbox/rooms/c1/media", FakeClock()) as watched:
        watched.media.watch(ALL)
        await settle()

    assert [] == watched.shown


async def test_closed_for_good(link: FakeMediaLink) -> None:
    """After ``close`` the link is gone, and no wish brings it back."""
    async with watching(link.url) as watched:
        watched.media.watch(ALL)
        await link.until(lambda: bool(link.asked))
        watched.media.close()
        await link.until(lambda: {"op": "gone"} in link.asked)
        watched.media.watch(ALL)
        watched.media.close()
        await settle()

    assert 1 == len(link.paths)
