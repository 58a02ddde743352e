from __future__ import annotations

import asyncio

import pytest

from app.runtime.tasks import Tasks
from tests.support.clock import settle


class Errors:
    """What died, and of what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.seen.append((name, repr(error)))


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def test_task_has_its_name_and_is_let_go() -> None:
    """A task carries its name, is counted while it runs, and forgotten after."""
    tasks = Tasks(Errors())
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()

    task = tasks.spawn("work", work())
    assert 1 == len(tasks)
    go.set()
    await task
    await settle()

    assert "work" == task.get_name()
    assert 0 == len(tasks)


async def test_exception_is_routed_by_name() -> None:
    """What a task dies of reaches the handler, with the task's name."""
    tasks = Tasks(errors := Errors())

    async def fail() -> None:
        raise ValueError("broken")

    tasks.spawn("fail", fail())
    await settle()

    assert [("fail", "ValueError('broken')")] == errors.seen


async def test_close_waits_for_each_last_word() -> None:
    """Closing cancels every task and returns after their clean-up; cancelling is no error."""
    tasks, cleaned = Tasks(errors := Errors()), list[int]()

    async def work(number: int) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append(number)

    for number in range(3):
        tasks.spawn(f"work {number}", work(number))
    await settle()
    await tasks.close()
    await tasks.close()

    assert [0, 1, 2] == sorted(cleaned)
    assert [] == errors.seen


async def test_error_while_closing_is_routed() -> None:
    """A task that fails while it is being cancelled does not fail in silence."""
    tasks = Tasks(errors := Errors())

    async def work() -> None:
        try:
            await forever()
        finally:
            raise ValueError("clean-up")

    tasks.spawn("work", work())
    await settle()
    await tasks.close()

    assert [("work", "ValueError('clean-up')")] == errors.seen


async def test_task_may_close_its_own_owner() -> None:
    """Closing from inside one of the tasks cancels the others and comes back."""
    tasks = Tasks(Errors())
    other = tasks.spawn("other", forever())
    closed = asyncio.Event()

    async def close() -> None:
        await tasks.close()
        closed.set()

    tasks.spawn("closer", close())
    await closed.wait()

    assert other.cancelled()


async def test_nothing_starts_after_close() -> None:
    """A closed owner takes no new task, and leaves no coroutine behind that never ran."""
    tasks = Tasks(Errors())
    await tasks.close()

    with pytest.raises(RuntimeError, match="'late' was started after its owner was closed"):
        tasks.spawn("late", forever())


async def test_finish_waits_for_all() -> None:
    """Also for what those that run have started; and nothing is cancelled."""
    tasks, done = Tasks(lambda *_: None), []

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    async def first() -> None:
        tasks.spawn("second", second())
        done.append("first")

    tasks.spawn("first", first())
    await tasks.finish()

    assert ["first", "second"] == done
    assert 0 == len(tasks)
