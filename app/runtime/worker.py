"""One room worker: a child process, the links to it, and the watch over it.

A worker is dead when its process is, when its link ends, and also when it hangs: it is asked for a
sign of life by this process, so a freeze of its own interpreter lock shows as well. A dead worker
is killed for good and whoever had a room in it is told, once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from app.core.room_link import (
    Leave,
    Left,
    LinkBroken,
    LinkReader,
    OfMedia,
    OfRoom,
    Order,
    Ping,
    Pong,
    Ready,
    Report,
    encode,
    media_reader,
    report_reader,
)
from app.errors import RoomFailed
from app.runtime.clock import NS_PER_S, Clock, Handle, deadline

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Report | OfMedia)

START_NS = 10 * NS_PER_S
"""Longest wait for a new worker; a cold start on a slow machine takes 2 s."""

BEAT_NS = NS_PER_S // 2
"""Between two requests for a sign of life."""

MISSED_BEATS = 4
"""So many in a row without any sign are the end: nothing that a worker does takes 2 s."""

LEFT_NS = 20 * NS_PER_S
"""Longest wait for a room to be left; the worker's own deadlines add up to less."""

STOP_NS = 8 * NS_PER_S
"""Longest wait for a worker that was asked to leave its rooms and end; then it is killed."""


class Tenant(Protocol):
    """Who has a room in a worker."""

    def take(self, report: OfRoom) -> None:
        """Something happened in the room."""
        ...

    def see(self, media: OfMedia) -> None:
        """Something is to be seen or heard in the room."""
        ...

    def worker_lost(self, why: str) -> None:
        """The worker is dead; nothing more comes."""
        ...


class Worker:
    """A process that holds a few rooms."""

    def __init__(
        self,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        clock: Clock,
        *,
        on_empty: Callable[[Worker], None],
        on_gone: Callable[[Worker], None],
    ) -> None:
        """Make one that does not run.

        ``on_empty`` is called when its last room was left, ``on_gone`` once, when it is dead.
        """
        self._command = command
        self._environment = environment
        self._clock = clock
        self._on_empty = on_empty
        self._on_gone = on_gone
        self._tenants: dict[int, Tenant] = {}
        self._overdue: dict[int, Handle] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None
        self._media_transport: asyncio.Transport | None = None
        self._started = asyncio.Event()
        """It takes rooms, or never will."""
        self._over = asyncio.Event()
        self._finished = asyncio.Event()
        self._why: str | None = None
        """Why it is dead, if it is."""
        self._heard = False
        """Something came since the last beat."""
        self.stopping = False
        """It was asked to end."""
        self.retired = False
        """It takes no more rooms."""
        self.seated = 0
        """How many rooms it ever had."""

    @property
    def rooms(self) -> int:
        """How many it has."""
        return len(self._tenants)

    @property
    def pid(self) -> int | None:
        """Its process, once there is one."""
        return None if self._process is None else self._process.pid

    @property
    def dead(self) -> bool:
        """Whether it takes no orders any more."""
        return self._why is not None

    # --- rooms

    def seat(self, room: int, tenant: Tenant) -> None:
        """Let ``tenant`` hear of this room."""
        self._tenants[room] = tenant
        self.seated += 1

    def leave(self, room: int) -> None:
        """Have the worker leave a room; its place is free when it says so.

        One that never says so is stuck inside the SDK: then its worker takes no more rooms.
        """
        if room not in self._tenants or room in self._overdue:
            return
        self.send(Leave(room))
        at = self._clock.now() + LEFT_NS
        self._overdue[room] = self._clock.call_at(at, lambda: self._give_up(room))

    def vacate(self, room: int) -> None:
        """Free the place of a room that the worker has left, or was never told of."""
        overdue = self._overdue.pop(room, None)
        if overdue is not None:
            overdue.cancel()
        if self._tenants.pop(room, None) is not None and not self._tenants:
            self._on_empty(self)

    def send(self, order: Order) -> None:
        """Send an order, unless it is to end. Never blocks: credits bound what may wait."""
        if self._transport is not None and not self.dead and not self.stopping:
            self._transport.write(encode(order))

    async def wait_started(self) -> None:
        """Return when it takes rooms. Raises ``RoomFailed`` when it never will."""
        await self._started.wait()
        if self._why is not None:
            raise RoomFailed(f"the room worker is gone: {self._why}")

    # --- life

    async def run(self) -> None:
        """Start it and watch it until it is dead; then nothing of it is left."""
        try:
            if not self.dead:  # it was stopped while it waited for its turn
                await self._start()
            await self._watch()
        except TimeoutError:
            self._die("it did not start in time")
        except OSError as error:
            self._die(f"it cannot be started: {error.strerror}")
        finally:
            self._die("it was let go")
            if self._process is not None:
                await self._process.wait()
            self._finished.set()

    async def stop(self) -> None:
        """Have it leave its rooms and end; it is killed when that takes too long.

        Returns when ``run`` has.
        """
        self.stopping = True
        if self._transport is not None and not self.dead:
            self._transport.write_eof()
            with suppress(TimeoutError):
                async with deadline(self._clock, self._clock.now() + STOP_NS):
                    await self._over.wait()
        self._die("it was stopped")
        await self._finished.wait()

    def kill(self, why: str) -> None:
        """Kill it: it does not do what it must. Its tenants are told soon, not from in here."""
        self._die(why)

    # --- inside

    async def _start(self) -> None:
        (ours, theirs), (our_media, their_media) = socket.socketpair(), socket.socketpair()
        with theirs, their_media:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    "--fd",
                    str(theirs.fileno()),
                    "--media-fd",
                    str(their_media.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), their_media.fileno()],
                    env=dict(self._environment),
                    start_new_session=True,  # Ctrl-C is for us: rooms are left in good order
                )
            except BaseException:
                ours.close()
                our_media.close()
                raise
        loop = asyncio.get_running_loop()
        self._media_transport, _ = await loop.create_connection(
            lambda: _Link(media_reader(), self._see, self._lost), sock=our_media
        )
        self._transport, _ = await loop.create_connection(
            lambda: _Link(report_reader(), self._take, self._lost), sock=ours
        )
        if self.dead:  # killed before there was anything to kill
            self._end_process()
            return
        async with deadline(self._clock, self._clock.now() + START_NS):
            await self._started.wait()

    async def _watch(self) -> None:
        missed = 0
        while not self._over.is_set():
            self._heard = False
            self.send(Ping())
            try:
                async with deadline(self._clock, self._clock.now() + BEAT_NS):
                    await self._over.wait()
            except TimeoutError:
                # Counted in turns of our own loop: a stall of ours is one beat, however long.
                missed = 0 if self._heard else missed + 1
            if missed >= MISSED_BEATS and not self.stopping:
                self._die("it hangs")

    def _take(self, report: Report) -> None:
        self._heard = True
        match report:
            case Ready():
                self._started.set()
            case Pong():
                pass
            case _:
                tenant = self._tenants.get(report.room)
                if isinstance(report, Left):
                    self.vacate(report.room)
                if tenant is not None and not self.dead:
                    tenant.take(report)

    def _see(self, media: OfMedia) -> None:
        tenant = self._tenants.get(media.room)
        if tenant is not None and not self.dead:
            tenant.see(media)

    def _give_up(self, room: int) -> None:
        log.warning("a room worker did not leave a room in time and takes no more")
        self.retired = True
        self.vacate(room)

    def _lost(self, why: str) -> None:
        """The link has ended."""
        self._die("it was stopped" if self.stopping else why)

    def _die(self, why: str) -> None:
        """It is dead, whatever of it still runs; the first cause counts."""
        if self.dead:
            return
        self._why = why
        if not self.stopping:
            log.error("a room worker with %d rooms is lost: %s", self.rooms, why)
        for overdue in self._overdue.values():
            overdue.cancel()
        self._overdue.clear()
        self._end_process()
        self._started.set()
        self._over.set()
        self._on_gone(self)
        asyncio.get_running_loop().call_soon(self._tell_tenants, why)

    def _tell_tenants(self, why: str) -> None:
        tenants = list(self._tenants.values())
        self._tenants.clear()
        for tenant in tenants:
            tenant.worker_lost(why)

    def _end_process(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself
                self._process.kill()
        for transport in (self._transport, self._media_transport):
            if transport is not None:
                transport.abort()


class _Link(asyncio.Protocol, Generic[T]):
    """Our end of a link."""

    def __init__(
        self, reader: LinkReader[T], take: Callable[[T], None], lost: Callable[[str], None]
    ) -> None:
        """Hand every message to ``take``, and the link's end, once, to ``lost``."""
        self._reader = reader
        self._take = take
        self._lost = lost

    def data_received(self, data: bytes) -> None:
        """Take a piece of what it says."""
        try:
            for report in self._reader.feed(data):
                self._take(report)
        except LinkBroken as error:
            self._lost(str(error))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's name
        """Nothing more comes."""
        self._lost("its process ended")
