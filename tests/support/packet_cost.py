"""What one packet of audio costs the service, counted and not timed: the same on any machine.

A session of the real runtime speaks in virtual time, beside the fake room: steady packets of 20 ms
of 16 kHz s16le, and a mark now and then. Counted is, once all is under way, what Python does for
them inside of ``app``: bytecode instructions, calls of functions (a coroutine that goes on counts
as called), and turns of the event loop, which nothing but a task or a future that wakes takes.

``python -m tests.support.packet_cost [echo|track]`` prints where it goes. A process of its own
keeps out whatever else traces, collects or runs.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVarTuple

from app.core.pcm import AudioFormat, Encoding
from app.core.spec import AudioPathName
from tests.support.client import Client
from tests.support.room import FakeRoom
from tests.support.world import MS, World

PACKET_MS = 20
FORMAT = AudioFormat(Encoding.S16LE, 16_000)
PACKET_BYTES = 16 * 2 * PACKET_MS

WARM_UP = 50
"""Packets before those that count: the utterance is open, the first acknowledgement is told."""

MARK_EVERY = 45
"""Packets between two marks."""

PACKETS = 180
"""Packets that count: a whole number of acknowledgements and marks, and of slices on both paths."""

SHOWN = 30
"""Functions that are printed."""

Arguments = TypeVarTuple("Arguments")


class Counted:
    """What was counted, by module and function."""

    def __init__(self) -> None:
        """Have counted nothing."""
        self.instructions: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.turns = 0
        self.handed_ms = 0.0
        """Audio that reached the room meanwhile."""
        self._is_on = False
        self._names: dict[CodeType, str] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what this thread does."""
        # Python 3.12 looks for this when a tracer is set, and never again.
        sys._getframe().f_trace_opcodes = True
        self._is_on = True
        sys.settrace(self._enter)
        yield
        sys.settrace(None)
        self._is_on = False

    def turn(self) -> None:
        """Count a turn of the event loop."""
        self.turns += self._is_on

    def figures(self) -> dict[str, float]:
        """Everything a packet, by what the budget calls it."""
        return {
            "core instructions": _within(self.instructions, "app.core.") / PACKETS,
            "core calls": _within(self.calls, "app.core.") / PACKETS,
            "instructions": self.instructions.total() / PACKETS,
            "calls": self.calls.total() / PACKETS,
            "turns": self.turns / PACKETS,
        }

    def _enter(self, frame: FrameType, _event: str, _given: object) -> Callable[..., Any] | None:
        module = str(frame.f_globals.get("__name__"))
        if not module.startswith("app."):
            return None
        name = self._names.setdefault(frame.f_code, f"{module}:{frame.f_code.co_qualname}")
        self.calls[name] += 1
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True

        def each(_frame: FrameType, event: str, _given: object) -> Callable[..., Any]:
            self.instructions[name] += event == "opcode"
            return each

        return each


def measure(path: AudioPathName) -> Counted:
    """Let a session speak on ``path``, and count."""
    counted, driver = Counted(), contextvars.copy_context()

    class Loop(asyncio.SelectorEventLoop):
        """Counts its turns but those of whoever drives the session."""

        def call_soon(
            self,
            callback: Callable[[*Arguments], object],
            *args: *Arguments,
            context: contextvars.Context | None = None,
        ) -> asyncio.Handle:
            if context is not driver:
                counted.turn()
            return super().call_soon(callback, *args, context=context)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_drive(path, counted), context=driver)
    return counted


async def _drive(path: AudioPathName, counted: Counted) -> None:
    noise = random.Random(1)
    world = World()
    async with world.session(audio_path=path) as session:
        client = await Client.connect(world, session, format=FORMAT, declared=True)

        async def speak(packets: int) -> None:
            for packet in range(packets):
                if packet % MARK_EVERY == 0:
                    await client.say("mark", name="word")
                _at_once(client.send(noise.randbytes(PACKET_BYTES)))
                await world.clock.run(PACKET_MS * MS)

        await speak(WARM_UP)
        world.room.starts()
        before = _handed_ms(world.room)
        with counted.counting():
            await speak(PACKETS)
        counted.handed_ms = _handed_ms(world.room) - before


def _at_once(taking: Coroutine[Any, Any, None]) -> None:
    """Run what must not wait. Raises RuntimeError when it does."""
    try:
        taking.send(None)
    except StopIteration:
        return
    taking.close()
    raise RuntimeError("the taking of a packet waits for a turn of the event loop")


def _handed_ms(room: FakeRoom) -> float:
    """Return what a room got."""
    base64 = sum(len(sent.message["properties"]["audio"]) for sent in room.audio)
    return base64 / 4 * 3 / 48 + sum(len(frame.pcm) for frame in room.frames) / 48


def _within(counter: Counter[str], modules: str) -> int:
    return sum(count for name, count in counter.items() if name.startswith(modules))


def main() -> None:
    """Print where it goes, or everything as JSON."""
    if sys.argv[1:] == ["--json"]:
        told = {}
        for path in AudioPathName:
            counted = measure(path)
            told[path.value] = {"handed_ms": counted.handed_ms, **counted.figures()}
        sys.stdout.write(json.dumps(told))
        return
    for path in map(AudioPathName, sys.argv[1:] or tuple(AudioPathName)):
        counted = measure(path)
        lines = [f"{path}, of one packet:"]
        lines += [f"{value:10.1f} {name}" for name, value in counted.figures().items()]
        lines += ["", "instructions  calls"]
        lines += [
            f"{count / PACKETS:12.1f} {counted.calls[name] / PACKETS:6.2f} {name}"
            for name, count in counted.instructions.most_common(SHOWN)
        ]
        sys.stdout.write("\n".join([*lines, "", ""]))


if __name__ == "__main__":
    main()
