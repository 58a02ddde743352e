"""The writer as the worker uses it; its pace and its end are in ``test_contract.py``."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from app.core import room_link as link
from app.daily.audio import DEPTH, FRAME_BYTES, FRAME_SAMPLES
from tests.support.daily_link import DailyLink


def frame(number: int) -> bytes:
    """20 ms that tell their number."""
    return number.to_bytes(2, "little") * FRAME_SAMPLES


def heard(worker: DailyLink) -> list[int]:
    """The numbers of the frames that the room heard, in order."""
    pcm = b"".join(base64.b64decode(entry["pcm"]) for entry in worker.cloud.log("audio"))
    numbers = [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), FRAME_BYTES)]
    return [number for number in numbers if number]


async def test_every_frame_sounds_once_and_is_told(tmp_path: Path) -> None:
    """In order, and each as it was."""
    async with DailyLink(tmp_path) as worker:
        await worker.join(track=True)
        worker.send(*(link.Write(1, 0, frame(number)) for number in range(1, 11)))
        consumed = await worker.wait(link.Consumed, 10)

    assert [link.Consumed(1, FRAME_SAMPLES)] * 10 == consumed
    assert list(range(1, 11)) == heard(worker)


async def test_a_clear_leaves_what_the_source_has(tmp_path: Path) -> None:
    """It says how much that is; older frames that come late are dropped, newer ones play."""
    async with DailyLink(tmp_path) as worker:
        await worker.join(track=True)
        worker.send(*(link.Write(1, 0, frame(number)) for number in range(1, 11)))
        worker.send(link.Clear(1, 1), link.Write(1, 0, frame(50)), link.Write(1, 1, frame(60)))
        (cleared,) = await worker.wait(link.Cleared)
        frames = cleared.samples // FRAME_SAMPLES
        await worker.wait(link.Consumed, frames + 1)

    assert DEPTH <= frames < 10
    assert [*range(1, frames + 1), 60] == heard(worker)


@pytest.mark.parametrize(("options", "silence"), [((), False), (("--auto-silence",), True)])
async def test_silence_is_sent_only_when_it_is_wanted(
    tmp_path: Path, options: tuple[str, ...], silence: bool
) -> None:
    """The source is mono and has our rate."""
    async with DailyLink(tmp_path, *options) as worker:
        await worker.join(track=True)

    (source,) = worker.cloud.log("source")
    assert (24_000, 1, silence) == tuple(
        source[name] for name in ("sample_rate", "channels", "auto_silence")
    )


async def test_rooms_without_a_track_have_no_audio(tmp_path: Path) -> None:
    """A frame for one is dropped, a clear answered."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        worker.send(link.Write(1, 0, frame(1)), link.Clear(1, 1))
        (cleared,) = await worker.wait(link.Cleared)

    assert 0 == cleared.samples
    assert [] == worker.cloud.log("source", "audio")


async def test_a_room_that_is_left_while_it_speaks_falls_silent(tmp_path: Path) -> None:
    """The source gets no more, and outlives its use."""
    async with DailyLink(tmp_path) as worker:
        await worker.join(track=True)
        worker.send(*(link.Write(1, 0, frame(number)) for number in range(1, 100)))
        await worker.wait(link.Consumed, 2)
        worker.send(link.Leave(1))
        await worker.wait(link.Left)

    assert len(heard(worker)) < 50
