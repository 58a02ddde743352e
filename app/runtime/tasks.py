"""The only place where tasks are born: named, referenced, their exceptions routed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

ReportError = Callable[[str, BaseException], None]
"""Called with the task's name and the exception it died of."""


class Tasks:
    """The tasks of one owner, which closes them before it goes."""

    def __init__(self, on_error: ReportError) -> None:
        """Send what a task raises unexpectedly to ``on_error``, on the event loop."""
        self._on_error = on_error
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many are running."""
        return len(self._running)

    def spawn(self, name: str, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start ``coro`` as a task. Raises RuntimeError after ``close``."""
        if self._closed:
            coro.close()
            raise RuntimeError(f"task {name!r} was started after its owner was closed")
        task = asyncio.create_task(coro, name=name)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    async def finish(self) -> None:
        """Return when all tasks have ended by themselves."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Cancel all tasks and wait until each has stopped; the second time does nothing.

        A task may close its own owner: it is then left to end by itself.
        """
        self._closed = True
        others = self._running - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(task.get_name(), error)
