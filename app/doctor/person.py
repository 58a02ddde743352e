"""Who runs the live test: asked before money is spent, and for what only ears can tell."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Protocol

from rich.console import Console


class Person(Protocol):
    """Somebody to ask."""

    async def agrees(self, question: str) -> bool:
        """Ask for a yes."""
        ...

    async def tells(self, question: str) -> str:
        """Ask for a line, which may be empty."""
        ...


class Nobody:
    """Agrees to everything and hears nothing: ``--yes``."""

    async def agrees(self, question: str) -> bool:  # noqa: ARG002  # the interface
        """Agree."""
        return True

    async def tells(self, question: str) -> str:  # noqa: ARG002  # the interface
        """Say nothing."""
        return ""


class Typist:
    """Somebody at the keyboard, or a script at the other end of a pipe.

    Lines are read when there are some, without a thread: a signal must be able to end the wait.
    """

    def __init__(self, console: Console, descriptor: int) -> None:
        """Read from a terminal or a pipe."""
        self._console = console
        self._descriptor = descriptor
        self._typed = b""
        self._is_over = False

    async def agrees(self, question: str) -> bool:
        """Ask for a yes; the end of the input is none."""
        return (await self.tells(f"{question} Type yes:")).lower() in {"y", "yes"}

    async def tells(self, question: str) -> str:
        """Ask for a line; empty at the end of the input."""
        self._console.print(question, markup=False, end=" ")
        loop = asyncio.get_running_loop()
        while b"\n" not in self._typed and not self._is_over:
            with suppress(PermissionError):  # a file: it never keeps anybody waiting
                readable = asyncio.Event()
                loop.add_reader(self._descriptor, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self._descriptor)
            piece = os.read(self._descriptor, 4096)
            self._typed += piece
            self._is_over = not piece
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode(errors="replace").strip()
