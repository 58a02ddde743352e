"""How our own rooms, and a whole worker, take what the SDK does."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import daily

import app.daily.room
from app.core.room_link import Join, encode
from app.daily import worker
from app.daily.room import DailyRoom
from app.runtime.clock import Handle, SystemClock
from app.runtime.encoders import Encoders
from tests.support.daily_children.common import finish


class Hasty(SystemClock):
    """A clock on which whatever is waited for comes ten times sooner."""

    def call_at(self, at: int, callback: Callable[[], None]) -> Handle:
        """Call soon."""
        now = self.now()
        return super().call_at(now + (at - now) // 10, callback)


def through_proxy(port: str) -> None:
    """Have every client ask a local server instead of Daily."""

    def proxied(event_handler: daily.EventHandler) -> daily.CallClient:
        client = daily.CallClient(event_handler=event_handler)
        client.set_proxy_url(f"https://127.0.0.1:{port}")
        return client

    vars(app.daily.room)["CallClient"] = proxied


async def rooms(port: str, *names: str) -> None:
    """What our rooms tell of joins whose look-ups a local server answers, or never does."""
    through_proxy(port)
    daily.Daily.init()
    told: dict[str, list[Any]] = {name: [] for name in names}
    encoders = Encoders(threads=1)
    ours = {
        name: DailyRoom(1, told[name].append, Hasty(), set(), encoders, print, auto_silence=False)
        for name in names
    }
    began = time.monotonic()
    await asyncio.gather(
        *(
            room.join(Join(1, f"https://test.daily.co/{name}", None, "Bridge", track=True))
            for name, room in ours.items()
        )
    )
    joined = time.monotonic()
    await asyncio.gather(*(room.leave() for room in ours.values()))
    found = {name: [[report.reason, report.again] for report in told[name]] for name in names}
    finish({"told": found, "join s": joined - began, "leave s": time.monotonic() - joined})


def worker_joining(port: str) -> None:
    """Be a whole worker whose service goes away while a join runs that never ends."""
    through_proxy(port)
    ours, theirs = socket.socketpair()

    def be_the_service() -> None:
        ours.sendall(encode(Join(1, "https://test.daily.co/slow", None, "Bridge", track=True)))
        time.sleep(0.5)
        ours.close()

    threading.Thread(target=be_the_service, daemon=True).start()
    _, media = socket.socketpair()
    sys.argv[1:] = ["--fd", str(theirs.detach()), "--media-fd", str(media.detach())]
    worker.main()
