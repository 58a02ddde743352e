"""Tavus's own voice, for text echoes: eSpeak NG stands in for it.

Each text is spoken by a child process of its own (``app.sandbox.espeak``), so that nothing of it
runs on the loop that rooms live by.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Protocol

COMMAND = (sys.executable, "-P", "-m", "app.sandbox.espeak")

AT_ONCE = 2
"""Texts that are made into sound at the same time; the others wait."""

MOST = 32
"""Texts under way and waiting; further ones stay without a voice."""

TIMEOUT_S = 10.0
"""Longest time for one text; eSpeak NG makes a minute of speech in well under a second."""

Heard = Callable[[bytes | None], None]
"""Gets 24 kHz mono s16le; None for a text that has no voice."""

log = logging.getLogger(__name__)


class Voice(Protocol):
    """Makes text into speech."""

    def speak(self, text: str, heard: Heard) -> None:
        """Call ``heard`` with the speech, now or later, once."""
        ...


class Espeak:
    """Speaks with eSpeak NG, several texts at once and each in its own time."""

    def __init__(self, command: tuple[str, ...] = COMMAND, *, timeout_s: float = TIMEOUT_S) -> None:
        """Speak by running ``command``: text on its standard input, speech on its output."""
        self._command = command
        self._timeout_s = timeout_s
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def speak(self, text: str, heard: Heard) -> None:
        """Speak soon; ``heard(None)`` when that fails, takes too long, or too much waits."""
        if len(self._tasks) >= MOST:
            heard(None)
            return
        task = asyncio.create_task(self._speak(text, heard), name="sandbox-voice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; what is not spoken by now is never heard."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _speak(self, text: str, heard: Heard) -> None:
        pcm: bytes | None = None
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    pcm = await self._run(text.encode(errors="replace"))
            except (OSError, TimeoutError) as error:
                log.warning("a text stays without a voice: %r", error)
        heard(pcm)

    async def _run(self, text: bytes) -> bytes | None:
        """Run the child to its end; whatever happens here, nothing of it stays behind."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            pcm, complaint = await child.communicate(text)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            log.warning("a text stays without a voice: %s", last)
            return None
        return pcm
