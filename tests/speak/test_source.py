from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from app.core.pcm import AudioFormat, Encoding
from app.errors import FormatMismatch
from app.speak.source import length_ms, open_source, packets
from app.speak.wish import WAV
from tests.support.audio import wav


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, int]]:
    """Make a pipe: its reading end, and the descriptor of the other."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reader:  # noqa: PTH123  # a descriptor has no path
        yield reader, writing


async def test_file_is_cut_into_the_sizes_in_turn() -> None:
    """Packets have the sizes asked for, again and again, and lose nothing."""
    made = [packet async for packet in packets(bytes(range(20)), (1, 7))]

    assert [1, 7, 1, 7, 1, 3] == [len(packet) for packet in made]
    assert bytes(range(20)) == b"".join(made)


async def test_pipe_gives_what_it_has(pipe: tuple[BinaryIO, int]) -> None:
    """A packet does not wait until it is full: speech goes on its way as it is made."""
    reader, writing = pipe
    made = packets(reader, (1000,))
    os.write(writing, b"ab")

    assert b"ab" == await anext(made)
    os.write(writing, b"cd")
    os.close(writing)
    assert b"cd" == await anext(made)
    assert [] == [packet async for packet in made]


async def test_unfinished_pipe_is_given_up(pipe: tuple[BinaryIO, int]) -> None:
    """Who stops in the middle leaves nothing open behind."""
    reader, writing = pipe
    waiting = asyncio.ensure_future(anext(packets(reader, (10,))))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.close(writing)
    await asyncio.sleep(0)
    assert reader.closed


@pytest.mark.parametrize(
    ("audio", "fmt", "expected"),
    [
        (bytes(32_000), AudioFormat(Encoding.S16LE, 16_000, 1), 1000),
        (bytes(8000), AudioFormat(Encoding.MULAW, 8000, 2), 500),
        (wav(AudioFormat(Encoding.F32LE, 48_000, 2), bytes(384_000)), WAV, 1000),
        (wav(AudioFormat(Encoding.S16LE, 22_050, 1), bytes(44_100), 0xFFFFFFFF), WAV, 1000),
        (b"", WAV, 0),
    ],
)
def test_length_is_that_of_the_speech(audio: bytes, fmt: AudioFormat, expected: int) -> None:
    """Headers count for nothing, and the format is the one that they name."""
    assert expected == length_ms(audio, fmt)


def test_length_of_other_things_is_refused() -> None:
    """What the service would refuse is refused before."""
    with pytest.raises(FormatMismatch, match="Ogg"):
        length_ms(b"OggS" + bytes(100), WAV)


def test_file_is_read_whole(tmp_path: Path) -> None:
    """A file is there all at once."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"audio")

    assert b"audio" == open_source(str(path))
    with pytest.raises(FileNotFoundError):
        open_source(str(tmp_path / "none.wav"))
