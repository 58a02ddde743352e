"""One subject as a process: ``python -m bench.subjects NAME RECORD OPTIONS``.

It says ``{"port": ...}`` when it serves, then answers commands, one JSON a line, on its standard
input and output: ``cpu``, ``memory``, ``stop``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from bench.recorder import Kind, Recorder

PERIOD_S = 0.02
"""How often the event loop's delay is measured. uvloop's timers have steps of 1 ms."""


async def run(name: str, recorder: Recorder, options: dict[str, Any]) -> None:
    """Serve until told to stop, or until whoever started us is gone."""
    # What a subject needs, the others need not have.
    running = await import_module(f"bench.subjects.{name}").start(recorder, options)
    watching = asyncio.create_task(_watch_loop(recorder))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    _say(port=running.port)
    while line := await lines.readline():
        match json.loads(line)["op"]:
            case "cpu":
                _say(cpu_ns=time.process_time_ns())
            case "memory":
                _say(bytes=_memory())
            case _:
                break
    watching.cancel()
    await running.stop()
    _say()


async def _watch_loop(recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        recorder.note(0, Kind.LATE, max(0, int((loop.time() - due) * 1e6)))


def _memory() -> int:
    """Bytes of this process alone, once all that is free was given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


def _say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], Recorder(Path(sys.argv[2])), json.loads(sys.argv[3])))
