from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from app.doctor.person import Nobody, Typist
from tests.support.clock import settle


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe: what is written to the second is typed on the first."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def typist(descriptor: int) -> Typist:
    """Ask somebody behind a descriptor."""
    return Typist(Console(file=io.StringIO()), descriptor)


@pytest.mark.parametrize(
    ("typed", "agreed"), [("yes\n", True), ("Y \n", True), ("no\n", False), ("\n", False)]
)
async def test_only_a_yes_spends_money(typed: str, agreed: bool) -> None:
    """Whatever else is typed is a no."""
    with pipe() as (reading, writing):
        os.write(writing, typed.encode())

        assert agreed is await typist(reading).agrees("Spend?")


async def test_lines_are_told_one_by_one() -> None:
    """Lines that come together answer one question each."""
    with pipe() as (reading, writing):
        person = typist(reading)
        os.write(writing, b"one\ntwo\nthr")
        told = [await person.tells("?"), await person.tells("?")]
        waiting = asyncio.ensure_future(person.tells("?"))
        await settle()
        assert not waiting.done()
        os.write(writing, b"ee\n")

        assert ["one", "two", "three"] == [*told, await waiting]


async def test_wait_can_be_cancelled() -> None:
    """A signal ends the test although nobody types."""
    with pipe() as (reading, _):
        waiting = asyncio.ensure_future(typist(reading).tells("?"))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_end_of_the_input_is_an_empty_line(tmp_path: Path) -> None:
    """A file, or a script that has no more to say, keeps nobody waiting and agrees to nothing."""
    file = tmp_path / "typed"
    file.write_text("heard")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        person = typist(descriptor)

        assert ("heard", "") == (await person.tells("?"), await person.tells("?"))
        assert not await person.agrees("Spend?")
    finally:
        os.close(descriptor)


async def test_nobody_agrees_and_says_nothing() -> None:
    """``--yes`` is the consent."""
    assert await Nobody().agrees("Spend?")
    assert "" == await Nobody().tells("?")
