from __future__ import annotations

import asyncio
import sys

import pytest

from app.sandbox.voice import MOST, Espeak

ECHO = "import sys; sys.stdout.write(sys.stdin.read().upper())"
HANG = "import time; time.sleep(60)"
FAIL = "import sys; sys.exit('no voice')"


def child(program: str) -> tuple[str, ...]:
    """Make a command that stands for espeak-ng."""
    return (sys.executable, "-S", "-c", program)


async def hear(voice: Espeak, text: str) -> bytes | None:
    """Speak one text and wait for it."""
    heard: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    voice.speak(text, heard.set_result)
    async with asyncio.timeout(30):
        return await heard


async def test_what_the_child_makes_of_a_text_is_heard() -> None:
    """Texts go in and speech comes out, each for itself."""
    voice = Espeak(child(ECHO))

    assert [b"ONE", b"TWO", b"THREE"] == await asyncio.gather(
        *(hear(voice, text) for text in ("one", "two", "three"))
    )
    await voice.close()


@pytest.mark.parametrize(
    "command", [child(HANG), child(FAIL), ("/nowhere/python",)], ids=["hangs", "fails", "missing"]
)
async def test_a_child_that_does_not_speak_leaves_the_text_without_a_voice(
    command: tuple[str, ...],
) -> None:
    """Whatever is wrong with it, whoever waits is told in time."""
    voice = Espeak(command, timeout_s=1.0)

    assert await hear(voice, "hello") is None
    await voice.close()


async def test_too_many_texts_stay_without_a_voice() -> None:
    """What waits is bounded; closing ends all of it, and nothing of it is heard."""
    voice = Espeak(child(HANG))
    heard: list[bytes | None] = []

    for _ in range(MOST + 3):
        voice.speak("hello", heard.append)
    await asyncio.sleep(0)
    await voice.close()

    assert [None] * 3 == heard
