"""What the sandbox's pictures and sound cost: ``python -m bench.face [--sessions 20]``.

Starts the sandbox, lets so many replicas speak while each is watched by somebody who reads all, and
prints the share of one core that the sandbox used, hearing, painting and sending included.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

WATCH = '{"op": "watch", "video": true, "audio": true}'
RATE = 24_000
STEP = RATE // 5
"""Samples of a message."""


async def speak(room: str, seconds: int) -> None:
    """Let the replica speak noise that swells and ebbs."""
    times = np.arange(RATE * (seconds + 10)) / RATE
    noise = np.random.default_rng(1).normal(0, 3000, len(times))
    pcm = (noise * (1 + np.sin(times * 12))).astype("<i2").tobytes()
    async with (
        connect(f"{room}/link?name=bench", compression=None) as link,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(read(link), name="reader")
        begun = time.monotonic()
        for number in range(len(pcm) // (2 * STEP)):
            audio = base64.b64encode(pcm[number * 2 * STEP : (number + 1) * 2 * STEP]).decode()
            properties = {"modality": "audio", "audio": audio, "sample_rate": RATE}
            properties |= {"inference_id": "bench", "done": False}
            message = {"event_type": "conversation.echo", "properties": properties}
            operation = {"op": "message", "id": number, "message": json.dumps(message)}
            await link.send(json.dumps(operation))
            await asyncio.sleep(max(0, begun + number * 0.2 - 1 - time.monotonic()))


async def read(link: ClientConnection) -> None:
    """Take all and keep nothing."""
    async for _ in link:
        pass


async def watch(room: str, counts: list[int]) -> None:
    """Count pictures and pieces of sound."""
    async with connect(f"{room}/media", compression=None, max_size=None) as media:
        await media.send(WATCH)
        async for message in media:
            assert isinstance(message, bytes)
            counts[message[0]] += 1


def used_s(pid: int) -> float:
    """Return the processor time of a process, all its threads, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(url: str, pid: int, sessions: int, seconds: int, picture: str) -> None:
    """Print what it costs."""
    counts = [0, 0, 0]
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": "bench"}) as http:
        faults = {"replica_join_ms": 0, "strict_bytes": False, "picture": picture}
        (await http.put("/sandbox/faults", json=faults)).raise_for_status()
        rooms = []
        for _ in range(sessions):
            answer = await http.post("/sandbox/v2/conversations", json={"replica_id": "rbench"})
            rooms.append(answer.json()["conversation_url"].replace("http", "ws", 1))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(speak(room, seconds)) for room in rooms]
        await asyncio.sleep(2)
        before = used_s(pid)
        await asyncio.sleep(seconds)
        unwatched = (used_s(pid) - before) / seconds
        tasks += [group.create_task(watch(room, counts)) for room in rooms]
        await asyncio.sleep(2)
        before, counts[:] = used_s(pid), [0, 0, 0]
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        lasted = time.monotonic() - begun
        watched, seen = (used_s(pid) - before) / lasted, list(counts)
        for task in tasks:
            task.cancel()
    print(f"{sessions} sessions, {picture}, {lasted:.1f} s")
    print(f"pictures a second and session: {seen[1] / sessions / lasted:.2f}")
    print(f"20 ms of sound a second and session: {seen[2] / sessions / lasted:.2f}")
    print(f"share of a core: {watched:.3f} watched, {unwatched:.3f} unwatched")


def main() -> None:
    """Start the sandbox, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--picture", default="640x360")
    wish = parser.parse_args()
    command = [sys.executable, "-m", "app", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stderr is not None
            found = (re.search(r"http://[\d.:]+", line) for line in sandbox.stderr)
            url = next(match[0] for match in found if match)
            asyncio.run(measure(url, sandbox.pid, wish.sessions, wish.seconds, wish.picture))
        finally:
            sandbox.terminate()


if __name__ == "__main__":
    main()
