from __future__ import annotations

import asyncio

import pytest

from app.core import room_link as link
from app.core.media import Media, Picture, PictureChoice, PictureCodec, Sound
from app.daily.media_link import KEPT_US, MAX_SOUNDS, MediaLink

SMALL = PictureChoice(PictureCodec.JPEG, 25, 320)
LARGE = PictureChoice(PictureCodec.JPEG, 25, 1280)


class Pipe(asyncio.Transport):
    """A socket that takes what it is given until it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[link.OfMedia] = []
        self._reader = link.media_reader()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += self._reader.feed(bytes(data))


def picture(at: int, choice: PictureChoice = LARGE, data: bytes = b"") -> Picture:
    """One that tells its time."""
    return Picture(choice, 16, 10, data, at)


def sound(at: int) -> Sound:
    """One that tells its time."""
    return Sound(b"ab", 24_000, at)


@pytest.fixture(name="pipe")
def _pipe() -> Pipe:
    return Pipe()


@pytest.fixture(name="media")
def _media(pipe: Pipe) -> MediaLink:
    media = MediaLink()
    media.connection_made(pipe)
    return media


def test_all_goes_at_once_while_there_is_room(media: MediaLink, pipe: Pipe) -> None:
    """In the order in which it came."""
    media.show(1, picture(1))
    media.show(2, sound(2))
    media.show(1, picture(3))

    assert [
        link.Shown(1, picture(1)),
        link.Heard(2, sound(2)),
        link.Shown(1, picture(3)),
    ] == pipe.written


def test_the_newest_waits_for_room(media: MediaLink, pipe: Pipe) -> None:
    """Of each room and choice, and it tells how many it replaced; sound goes first."""
    media.pause_writing()
    shown: list[tuple[int, Media]] = [
        (1, picture(1)),
        (1, picture(2, SMALL)),
        (2, picture(3)),
        (1, picture(4)),
        (1, picture(5)),
        (1, sound(6)),
    ]
    for room, media_ in shown:
        media.show(room, media_)
    before = len(pipe.written)
    media.resume_writing()

    assert 0 == before
    assert [
        link.Heard(1, sound(6)),
        link.Shown(1, Picture(LARGE, 16, 10, b"", 5, skipped=2)),
        link.Shown(1, picture(2, SMALL)),
        link.Shown(2, picture(3)),
    ] == pipe.written


def test_old_sound_is_left_out(media: MediaLink, pipe: Pipe) -> None:
    """And what is too much, whatever its age."""
    media.pause_writing()
    for at in (0, 1, KEPT_US + 1):
        media.show(1, sound(at))
    media.resume_writing()
    aged = list(pipe.written)
    media.pause_writing()
    for _ in range(MAX_SOUNDS + 5):
        media.show(1, sound(KEPT_US))
    media.resume_writing()

    assert [link.Heard(1, sound(1)), link.Heard(1, sound(KEPT_US + 1))] == aged
    assert MAX_SOUNDS == len(pipe.written) - len(aged)


def test_a_room_that_was_left_is_forgotten(media: MediaLink, pipe: Pipe) -> None:
    """The others are not."""
    media.pause_writing()
    for room in (1, 2):
        media.show(room, picture(1))
        media.show(room, sound(1))
    media.forget(1)
    media.resume_writing()

    assert [link.Heard(2, sound(1)), link.Shown(2, picture(1))] == pipe.written


def test_what_is_too_large_is_left_out(media: MediaLink, pipe: Pipe) -> None:
    """What follows is not."""
    media.show(1, picture(1, data=bytes(link.MEDIA_MAX_BYTES)))
    media.show(1, picture(2))

    assert [link.Shown(1, picture(2))] == pipe.written


def test_nothing_is_sent_where_nobody_listens(media: MediaLink, pipe: Pipe) -> None:
    """Once the service is gone."""
    media.connection_lost(None)
    media.show(1, picture(1))

    assert [] == pipe.written
