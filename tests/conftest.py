"""What holds for every test: nothing it started may outlive it."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.clock import settle

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def _no_leaked_threads_and_sockets() -> Iterator[None]:
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    leaked = set(threading.enumerate()) - threads
    for thread in leaked:
        thread.join(1)  # asyncio's own helpers are still saying goodbye

    assert [] == [thread.name for thread in leaked if thread.is_alive()]
    assert set() == _sockets() - sockets


@pytest.fixture(autouse=True)
def _tidy(request: pytest.FixtureRequest, _no_leaked_threads_and_sockets: None) -> None:
    """Look for leaked tasks, but make no event loop for a test that has none."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_leaked_tasks")


@pytest.fixture
async def _no_leaked_tasks() -> AsyncIterator[None]:
    yield
    await settle()

    leaked = asyncio.all_tasks() - {asyncio.current_task()}
    assert [] == sorted(task.get_name() for task in leaked)


def _sockets() -> set[str]:
    links = Path("/proc/self/fd")
    return {name for name in map(_target, links.iterdir()) if name.startswith("socket:")}


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # the descriptor of the listing itself
        return ""
