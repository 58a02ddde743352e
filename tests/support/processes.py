"""What the kernel knows about the service's processes (Linux's ``/proc``)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

_PROC = Path("/proc")
_T = TypeVar("_T")


async def together(*coros: Coroutine[Any, Any, _T]) -> list[_T]:
    """Run all at once and return their results; the first failure ends the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coro) for coro in coros]
    return [task.result() for task in tasks]


async def until(what: str, is_so: Any, timeout_s: float = 30.0) -> None:
    """Wait until ``is_so()`` holds, for what nobody announces.

    ``is_so`` may be a coroutine function. AssertionError when it never holds.
    """
    end = time.monotonic() + timeout_s
    while True:
        held = is_so()
        if asyncio.iscoroutine(held):
            held = await held
        if held:
            return
        assert time.monotonic() < end, f"never came about: {what}"
        await asyncio.sleep(0.02)


def children(pid: int) -> list[int]:
    """Return the processes that this one started and that still live."""
    found = []
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def descriptors(pid: int) -> int:
    """Count the open descriptors of a process."""
    return len(list((_PROC / str(pid) / "fd").iterdir()))


def threads(pid: int) -> int:
    """Count the threads of a process."""
    return len(list((_PROC / str(pid) / "task").iterdir()))


def starved_ns(*pids: int) -> int:
    """Return how long the main threads of these processes stood in line for a CPU so far.

    Source: the second field of ``/proc/PID/schedstat`` (Linux, Documentation/scheduler).
    """
    return sum(int((_PROC / str(pid) / "schedstat").read_text().split()[1]) for pid in pids)
