"""The room worker: ``python -m app.daily.worker --fd N --media-fd M``, a child of the service.

It holds a few Daily rooms and nothing else, because one mistake in the SDK ends its whole process,
and because an audio completion waits for whatever Python does at that moment. It lives as long as
the other end of its link: when that is gone, it leaves its rooms and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from typing import Any, assert_never

from daily import Daily

from app import logs
from app.core.media import Media
from app.core.room_link import (
    Clear,
    Failed,
    Join,
    Leave,
    Left,
    LinkBroken,
    Order,
    Ping,
    Pong,
    Ready,
    Report,
    Send,
    Watch,
    Write,
    encode,
    order_reader,
)
from app.daily.media_link import MediaLink
from app.daily.room import DailyRoom
from app.runtime.clock import NS_PER_S, Clock, SystemClock, deadline
from app.runtime.encoders import Encoders
from app.runtime.tasks import Tasks

MAX_WAITING = 8 * 1024 * 1024
"""Bytes that may wait for the service; one that reads nothing for so long is as good as gone."""

END_NS = 6 * NS_PER_S
"""Longest farewell to all rooms together; the service waits a little longer."""

log = logging.getLogger(__name__)


class RoomWorker(asyncio.Protocol):
    """The worker's end of the link, and its rooms."""

    def __init__(
        self, clock: Clock, attic: set[object], media: MediaLink, *, auto_silence: bool
    ) -> None:
        """Have no rooms. ``attic`` keeps what the SDK may still use, until the process ends."""
        self._clock = clock
        self._media = media
        self._encoders = Encoders(threads=1)  # audio completions need the interpreter, too
        self._auto_silence = auto_silence
        self._reader = order_reader()
        self._tasks = Tasks(self._on_bug)
        self._rooms: dict[int, DailyRoom] = {}
        self._transport: asyncio.WriteTransport | None = None
        self._attic = attic
        self.orphaned = asyncio.Event()
        """The service is gone, or wants us to go."""

    # --- the link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say that rooms can come."""
        assert isinstance(transport, asyncio.WriteTransport)  # what a socket has
        self._transport = transport
        self.tell(Ready())

    def data_received(self, data: bytes) -> None:
        """Carry out what came."""
        try:
            for order in self._reader.feed(data):
                self._take(order)
        except LinkBroken:
            log.exception("the service said something that cannot be understood")
            self.orphaned.set()

    def eof_received(self) -> bool:
        """The service wants us to go; it may still listen."""
        self.orphaned.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's name
        """The service is gone."""
        self._transport = None
        self.orphaned.set()

    def tell(self, report: Report) -> None:
        """Tell the service; never blocks. Raises ``LinkBroken`` for what is too large."""
        if self._transport is None:
            return
        self._transport.write(encode(report))
        if self._transport.get_write_buffer_size() > MAX_WAITING:
            log.error("the service does not read: leaving")
            self._transport.abort()

    # --- rooms

    async def close(self) -> None:
        """Leave all rooms, as far as they can be left in time."""
        leaving = [self._tasks.spawn("leave", self._leave(number)) for number in tuple(self._rooms)]
        if leaving:
            try:
                async with deadline(self._clock, self._clock.now() + END_NS):
                    await asyncio.wait(leaving)
            except TimeoutError:
                log.warning("%d rooms could not be left in time", len(self._rooms))

    def _take(self, order: Order) -> None:
        match order:
            case Ping():
                self.tell(Pong())
            case Join(number):
                self._spawn(number, self._make(number).join(order))
            case Leave(number):
                self._spawn(number, self._leave(number))
            case Write(number):
                if number in self._rooms:
                    self._rooms[number].write(order)
            case Send(number):
                if number in self._rooms:
                    self._rooms[number].send(order)
            case Clear(number):
                if number in self._rooms:
                    self._rooms[number].clear(order)
            case Watch(number):
                if number in self._rooms:
                    self._rooms[number].watch(order)
            case _:
                assert_never(order)

    def _make(self, number: int) -> DailyRoom:
        def show(media: Media) -> None:
            self._media.show(number, media)

        room = self._rooms[number] = DailyRoom(
            number,
            self.tell,
            self._clock,
            self._attic,
            self._encoders,
            show,
            auto_silence=self._auto_silence,
        )
        return room

    async def _leave(self, number: int) -> None:
        room = self._rooms.get(number)
        try:
            if room is not None:
                await room.leave()
        finally:
            self._rooms.pop(number, None)
            self._media.forget(number)
            self.tell(Left(number))

    def _spawn(self, number: int, coro: Coroutine[Any, Any, None]) -> None:
        self._tasks.spawn(str(number), coro)

    def _on_bug(self, name: str, error: BaseException) -> None:
        log.error("room %s broke", name, exc_info=error)
        if name.isdecimal():
            self.tell(Failed(int(name), "the room worker broke", again=True))


async def serve(
    link: socket.socket, media_link: socket.socket, attic: set[object], *, auto_silence: bool
) -> None:
    """Hold rooms until the service is gone, then leave them."""
    media = MediaLink()
    worker = RoomWorker(SystemClock(), attic, media, auto_silence=auto_silence)
    attic.add(worker)  # a client whose room could not be left may not be destroyed either
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: media, sock=media_link)
    await loop.create_connection(lambda: worker, sock=link)
    await worker.orphaned.wait()
    await worker.close()


def main() -> None:
    """Be a worker; does not return."""
    parser = argparse.ArgumentParser(prog="app.daily.worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--media-fd", type=int, required=True)
    parser.add_argument("--auto-silence", action="store_true")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="text")
    options = parser.parse_args()
    logs.configure(level=options.log_level, form=options.log_format)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the service decides when rooms are left
    attic: set[object] = set()
    code = 1
    try:
        Daily.init()
        link, media_link = (socket.socket(fileno=fd) for fd in (options.fd, options.media_fd))
        asyncio.run(serve(link, media_link, attic, auto_silence=options.auto_silence))
        code = 0
    except Exception:
        log.exception("the room worker broke")
    finally:
        # Never the usual way out: with a write pending or a join running the SDK crashes there.
        logging.shutdown()
        os._exit(code)


if __name__ == "__main__":
    main()
