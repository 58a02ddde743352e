from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from app.core import room_link as link
from tests.support.daily_link import DailyLink


async def test_it_shows_that_it_lives(tmp_path: Path) -> None:
    """And starts the SDK once."""
    async with DailyLink(tmp_path) as worker:
        worker.send(link.Ping(), link.Ping())
        await worker.wait(link.Pong, 2)

    assert 1 == len(worker.cloud.log("init"))


async def test_it_holds_several_rooms(tmp_path: Path) -> None:
    """What is left is left alone."""
    async with DailyLink(tmp_path) as worker:
        for room in (1, 2):
            await worker.join(room, url=f"https://x.daily.co/r{room}")
        worker.send(link.Leave(1))
        (left,) = await worker.wait(link.Left)
        worker.send(link.Send(2, 1, '{"event_type":"x"}'))
        (sent,) = await worker.wait(link.Sent)

    assert (1, 2) == (left.room, sent.room)


async def test_at_the_end_of_its_link_it_leaves_and_goes(tmp_path: Path) -> None:
    """With its rooms left in good order."""
    async with DailyLink(tmp_path) as worker:
        await worker.join(track=True)

    names = [entry.get("name") for entry in worker.cloud.log("request")]
    assert ["remove_custom_audio_track", "leave"] == names[-2:]
    assert 1 == len(worker.cloud.log("released"))


async def test_an_end_in_mid_speech_is_a_good_one(tmp_path: Path) -> None:
    """With audio in the source and a message that nobody has answered."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(messages={"conversation.echo": ["unconfirmed"]})
        await worker.join(track=True)
        worker.send(link.Send(1, 1, '{"event_type":"conversation.echo"}'))
        worker.send(*[link.Write(1, 0, bytes(960))] * 50)
        await worker.wait(link.Consumed)

    assert 1 == len(worker.cloud.log("released"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_are_for_the_service(tmp_path: Path, number: signal.Signals) -> None:
    """One that is sent to all processes of the service leaves the rooms to the service."""
    async with DailyLink(tmp_path) as worker:
        os.kill(worker.process.pid, number)
        worker.send(link.Ping())
        await worker.wait(link.Pong)


async def test_what_cannot_be_understood_ends_it(tmp_path: Path) -> None:
    """There is no way to find the next message."""
    async with DailyLink(tmp_path) as worker:
        worker.send_raw(b"\xff\xff\xff\xff")
        code = await worker.wait_ended()

    assert 0 == code


async def test_orders_for_rooms_that_are_not_there(tmp_path: Path) -> None:
    """They may have crossed with the room's end: only a leave is answered."""
    async with DailyLink(tmp_path) as worker:
        worker.send(link.Write(7, 0, b""), link.Send(7, 1, "{}"), link.Clear(7, 1), link.Leave(7))
        worker.send(link.Ping())
        await worker.wait(link.Pong)
        await worker.wait(link.Left)

    assert {link.Ready(), link.Pong(), link.Left(7)} == set(worker.reports)


async def test_a_join_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """Neither another room nor the end."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(rooms={"/r1": {"join_never": True}})
        worker.send(link.Join(1, "https://x.daily.co/r1", None, "Bridge", track=False))
        joined = await worker.join(2, url="https://x.daily.co/r2")

    assert 2 == joined.room
