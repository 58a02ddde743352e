"""The service's end of the link to a real room worker, with the fake SDK in it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from app.core import room_link as link
from app.core.media import Media
from tests.support.daily_cloud import FakeCloud
from tests.support.service import clean_environment

DEADLINE_S = 20.0
"""Only what never comes meets it."""

URL = "https://x.daily.co/room"

T = TypeVar("T")


class DailyLink:
    """A worker, from its start to its end. Reports are kept in order, signs of life left out."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Run with ``options``; ``cloud`` is what its SDK meets."""
        self.cloud = FakeCloud(folder)
        self.reports: list[link.Report] = []
        self.media: list[Media] = []
        """What was to be seen and heard in any room."""
        self._options = options
        self._news = asyncio.Condition()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Start it, and wait until it is ready."""
        (ours, theirs), (our_media, their_media) = socket.socketpair(), socket.socketpair()
        with theirs, their_media:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app.daily.worker",
                "--fd",
                str(theirs.fileno()),
                "--media-fd",
                str(their_media.fileno()),
                *self._options,
                pass_fds=[theirs.fileno(), their_media.fileno()],
                env=clean_environment() | self.cloud.environment,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._media_reader, self._media_writer = await asyncio.open_connection(sock=our_media)
        self._reading = asyncio.gather(self._read(), self._watch())
        await self.wait(link.Ready)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up; it leaves its rooms, ends well, and has broken no rule of the SDK."""
        self._writer.close()
        code = await self.wait_ended()
        await self._reading
        self._media_writer.close()
        if error is None:
            assert 0 == code
            assert [] == self.cloud.log("fatal")

    async def wait_ended(self) -> int:
        """Wait for its end; returns its exit code."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    def send(self, *orders: link.Order) -> None:
        """Give orders."""
        self._writer.write(b"".join(map(link.encode, orders)))

    def send_raw(self, data: bytes) -> None:
        """Say something that is no order."""
        self._writer.write(data)

    async def join(self, room: int = 1, *, url: str = URL, track: bool = False) -> link.Joined:
        """Enter a room."""
        before = len(self.of(link.Joined))
        self.send(link.Join(room, url, "a-token", "Bridge", track))
        return (await self.wait(link.Joined, before + 1))[-1]

    def of(self, kind: type[T]) -> list[T]:
        """The reports of this type so far."""
        return [report for report in self.reports if isinstance(report, kind)]

    async def wait(self, kind: type[T], count: int = 1) -> list[T]:
        """The reports of this type, once there are so many."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._news:
                await self._news.wait_for(lambda: len(self.of(kind)) >= count or self._closed)
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} came: {self.reports[-20:]}") from None
        assert len(self.of(kind)) >= count, f"it ended before: {self.reports[-20:]}"
        return self.of(kind)

    async def wait_media(self, enough: Callable[[list[Media]], object]) -> list[Media]:
        """What was to be seen and heard, once it is enough."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._news:
                await self._news.wait_for(lambda: enough(self.media))
        except TimeoutError:
            raise AssertionError(f"never enough: {len(self.media)} pieces") from None
        return self.media

    async def _watch(self) -> None:
        reader = link.media_reader()
        while data := await self._media_reader.read(65536):
            async with self._news:
                for report in reader.feed(data):
                    if isinstance(report, link.Shown):
                        self.media.append(report.picture)
                    else:
                        self.media.append(report.sound)
                self._news.notify_all()

    async def _read(self) -> None:
        reader = link.report_reader()
        try:
            while data := await self._reader.read(65536):
                async with self._news:
                    self.reports += reader.feed(data)
                    self._news.notify_all()
        except ConnectionError:
            pass  # it ended with something of ours unread
        async with self._news:
            self._closed = True
            self._news.notify_all()
