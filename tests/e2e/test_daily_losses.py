"""What Daily rooms survive: their workers' death, an ejection, the death of the service."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.daily.audio import DEPTH
from app.runtime.room_remote import FRAMES_AHEAD, MESSAGES_AHEAD
from tests.support.daily_stage import (
    Daily,
    assert_one_seam,
    ramp,
    run_daily,
    say,
    session_of,
    speak_through,
    speech,
)
from tests.support.processes import children, starved_ns, together, until
from tests.support.service import Client, Service

BACK_NS = 5_000_000_000
"""What a worker's death may cost its rooms: 2.5 s until it is seen to hang, then about 0.7 s for a
fresh one, the join and the replica. The time for which the kernel let our processes stand in line
for a CPU is added."""

KNOWN_WITHIN = 5
"""Frames: a busy machine may take 100 ms to tell us that we were put out."""

PATHS = pytest.mark.parametrize("path", ["echo", "track"])


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daily]:
    """Start everything, once."""
    with run_daily(tmp_path_factory.mktemp("daily")) as daily:
        yield daily


@pytest.fixture(autouse=True)
def _no_faults(daily: Daily) -> None:
    daily.cloud.faults()


@pytest.mark.parametrize(
    ("blow", "path"),
    [
        ("kill", "echo"),
        ("kill", "track"),
        ("stop", "track"),
        ("freeze", "echo"),
        pytest.param("stop", "echo", marks=pytest.mark.soak),
        pytest.param("freeze", "track", marks=pytest.mark.soak),
    ],
)
async def test_a_dead_worker_takes_nothing_with_it(daily: Daily, blow: str, path: str) -> None:
    """Killed, stopped or frozen in mid-speech: its sessions come back and go on where they were.

    Sessions in the other worker notice nothing.
    """
    await until("no worker of a test before", lambda: not daily.workers())
    async with daily.clients() as (client, sandbox):
        sessions = [await session_of(client, path) for _ in range(4)]
        struck, spared = daily.workers()
        starved = starved_ns(daily.service.pid, spared)

        all_speak = asyncio.Barrier(len(sessions))
        blown_at = 0

        async def strike() -> None:
            nonlocal blown_at
            if await all_speak.wait():
                return  # another one does it
            blown_at = time.monotonic_ns()
            match blow:
                case "kill":
                    os.kill(struck, signal.SIGKILL)
                case "stop":
                    os.kill(struck, signal.SIGSTOP)
                case "freeze":  # longer than anybody waits
                    daily.cloud.steer("freeze_gil", pid=struck, s=60)

        results = await together(
            *(speak_through(client, sandbox, session, 4, strike) for session in sessions)
        )
        fresh = set(daily.workers()) - {spared}
        starved = starved_ns(daily.service.pid, spared, *fresh) - starved
        rooms = [session["conversation_id"] for session in sessions]
        dry_ns = [await _dry_ns(sandbox, room, blown_at) for room in rooms]
        for session in sessions:
            await client.end(session["id"])

    assert struck not in daily.workers()
    for number, (done, told, heard) in enumerate(results):
        assert ("played", 4000) == (done["status"], done["sent_ms"])
        if number < 2:
            assert ["replica.left", "replica.joined"] == told
            # What the dead worker had not answered for may have been heard: it comes again.
            most = FRAMES_AHEAD * 480 if path == "track" else MESSAGES_AHEAD * 960
            got = _got(daily, rooms[number]) if path == "track" else heard
            assert_one_seam(speech(got), ramp(4), range(-most, 1))
            assert _away_ns(daily, rooms[number], struck) <= BACK_NS + starved
        else:
            assert [] == told
            assert np.array_equal(ramp(4), speech(heard))
            assert dry_ns[number] <= starved


def _got(daily: Daily, room: str) -> NDArray[np.int16]:
    """What a room got from our tracks: what its replica has not played of one dies with it."""
    return np.frombuffer(daily.cloud.heard(room), "<i2")


def _away_ns(daily: Daily, room: str, struck: int) -> int:
    """From the last audio that a worker gave to a room to the first of another one."""
    given: list[tuple[int, int]] = [
        (entry["pid"], entry["at_ns"])
        for entry in daily.cloud.log("audio", "message", room=room)
        if entry.get("message", {}).get("event_type", "conversation.echo") == "conversation.echo"
    ]
    last = max(at for pid, at in given if pid == struck)
    return min(at for pid, at in given if pid != struck) - last


async def _dry_ns(sandbox: Client, room: str, since: int) -> int:
    """How long in all a replica fell silent in the middle of its speech, since a moment."""
    dry = [entry for entry in await sandbox.log(room) if entry["kind"] == "underrun"]
    lengths = [(entry["at_ns"], entry["ms"] * 1_000_000) for entry in dry]
    return sum(length for at, length in lengths if at - length >= since)


@PATHS
async def test_being_put_out_is_no_end(daily: Daily, path: str) -> None:
    """The room is joined again; no sample is said twice, and only what was under way may be lost.

    That is a gap of whole pieces: messages that nobody confirmed, or frames that the device played
    to nobody, of which it had begun two when we were put out and the others before we knew.
    """
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)

        async def eject() -> None:
            daily.cloud.steer("eject", room=session["conversation_id"])

        done, told, heard = await speak_through(client, sandbox, session, 2, eject)
        await client.end(session["id"])

    assert ["replica.left", "replica.joined"] == told
    assert "played" == done["status"]
    piece, most = (960, MESSAGES_AHEAD) if path == "echo" else (480, DEPTH + KNOWN_WITHIN)
    got = _got(daily, session["conversation_id"]) if path == "track" else heard
    assert_one_seam(speech(got), ramp(2), {count * piece for count in range(most + 1)})


async def test_a_worker_that_does_not_stop_in_time_is_replaced(daily: Daily) -> None:
    """An interrupt waits 250 ms for its word: then nobody knows what it plays, and it is killed.

    It is counted, the interrupt is answered, and the session speaks on in another worker.
    """
    await until("no worker of a test before", lambda: not daily.workers())
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "track")
        (slow,) = daily.workers()
        async with client.connect(session) as stream:
            await say(stream, ramp(3))
            await stream.wait_for("utterance.started")
            before = await _workers_lost(client)
            daily.cloud.steer("freeze_gil", pid=slow, s=60)
            await until("it is frozen", lambda: daily.cloud.log("freeze"))
            await stream.send({"type": "interrupt"})
            accepted = await stream.wait_for("interrupt.accepted")
            cut = await stream.wait_for("utterance.done", status="interrupted")
            await say(stream, ramp(0.5), "b")
            done = await stream.wait_for("utterance.done", utterance_id="b")
        heard = speech(await sandbox.heard(session["conversation_id"]))
        after = await _workers_lost(client)
        await client.end(session["id"])

    assert (1, True) == (accepted["epoch"], accepted["interrupted"])
    assert cut["played_ms"] <= cut["sent_ms"] < 3000
    assert ("played", 500) == (done["status"], done["played_ms"])
    assert np.array_equal(ramp(0.5), heard[-12_000:])
    assert 1 == after - before


async def _workers_lost(client: Client) -> int:
    text = (await client.http.get("/metrics")).text
    (count,) = re.findall(r"^avatar_bridge_workers_lost_total (\d+)", text, re.MULTILINE)
    return int(count)


async def test_a_service_that_is_killed_leaves_no_worker(daily: Daily, tmp_path: Path) -> None:
    """The workers see that their link has ended, leave their rooms and go."""
    environment = daily.service.environment
    async with daily.clients() as (_, _):
        with Service(tmp_path, **environment) as service:
            async with service.client() as client:
                session = await session_of(client, "track")
            (worker,) = children(service.pid)
            service.send_signal(signal.SIGKILL)
            await until("the worker is gone", lambda: not Path(f"/proc/{worker}").exists())

    left = daily.cloud.log("left", room=session["conversation_id"])
    assert 1 == len(left)
