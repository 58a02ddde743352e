"""Runs one trial."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.daily_children import audio, clients, lives, misuse, rooms

CHILDREN: dict[str, Callable[..., Coroutine[Any, Any, None] | None]] = {
    child.__name__: child
    for child in (
        *(audio.stalls, audio.pictures, audio.interrupts, audio.writes, audio.borrowed),
        *(clients.requests, clients.threads_of_callbacks, clients.lookup),
        *(rooms.rooms, rooms.worker_joining),
        *(lives.lifetimes, lives.exit_pending, lives.exit_drained, lives.exit_joining),
        *(misuse.init_twice, misuse.client_first, misuse.watch_nobody),
        *(misuse.drop_pending, misuse.drop_inside, misuse.exit_undrained),
        *(misuse.call_in_release, misuse.release_in_callback),
        *(misuse.ask_who, misuse.end_it, misuse.drop_client),
    )
}


if __name__ == "__main__":
    work = CHILDREN[sys.argv[1]](*sys.argv[2:])
    if work is not None:
        asyncio.run(work)
