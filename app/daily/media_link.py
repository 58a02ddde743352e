"""The worker's end of the media link: a socket of its own, so that media never sits before audio.

The service reads as fast as it likes. While the socket is full the newest picture of each choice
waits, and the sound of the last 500 ms; what is older is left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from msgspec.structs import replace

from app.core.media import Media, Picture, PictureChoice, Sound
from app.core.room_link import Heard, LinkBroken, OfMedia, Shown, encode

HIGH_BYTES = 64 * 1024
"""With more than this behind what the kernel holds, everything else waits here."""

KEPT_US = 500_000
"""Sound older than this, against the newest, is not worth sending."""

MAX_SOUNDS = 1000
"""Pieces that may wait, of all rooms together: half a second of forty people."""

log = logging.getLogger(__name__)


class MediaLink(asyncio.Protocol):
    """All rooms' way out for picture and sound; never blocks."""

    def __init__(self) -> None:
        """Lead nowhere yet."""
        self._transport: asyncio.WriteTransport | None = None
        self._full = False
        self._pictures: dict[tuple[int, PictureChoice], Picture] = {}
        """Those that wait, by their room; the one that waits longest goes first."""
        self._sounds: deque[tuple[int, Sound]] = deque()

    def show(self, room: int, media: Media) -> None:
        """Send this, soon or never."""
        if isinstance(media, Sound):
            self._sounds.append((room, media))
            oldest_us = media.captured_us - KEPT_US
            while len(self._sounds) > MAX_SOUNDS or self._sounds[0][1].captured_us < oldest_us:
                self._sounds.popleft()
        else:
            older = self._pictures.get((room, media.choice))
            if older is not None:
                media = replace(media, skipped=media.skipped + older.skipped + 1)
            self._pictures[room, media.choice] = media
        self._drain()

    def forget(self, room: int) -> None:
        """Send nothing more of a room."""
        self._sounds = deque(item for item in self._sounds if item[0] != room)
        self._pictures = {key: picture for key, picture in self._pictures.items() if key[0] != room}

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.WriteTransport)  # what a socket has
        transport.set_write_buffer_limits(HIGH_BYTES)
        self._transport = transport
        self._drain()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's name
        """The service is gone, which the other link tells as well."""
        self._transport = None

    def pause_writing(self) -> None:
        """The socket is full."""
        self._full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._full = False
        self._drain()

    # --- inside

    def _drain(self) -> None:
        while self._transport is not None and not self._full:
            report = self._next()
            if report is None:
                return
            try:
                self._transport.write(encode(report))
            except LinkBroken:
                log.warning("a picture is too large to be shown")

    def _next(self) -> OfMedia | None:
        """What goes next: sound before pictures, which would hold it up."""
        if self._sounds:
            return Heard(*self._sounds.popleft())
        for key in self._pictures:
            return Shown(key[0], self._pictures.pop(key))
        return None
