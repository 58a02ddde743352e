"""Where the audio comes from: a file, all at once, or a pipe, as it comes."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from app.core.pcm import AudioFormat, samples_to_ms
from app.core.wav import WavReader

Source = bytes | BinaryIO
"""All of the audio, or a pipe that it comes out of."""


def open_source(name: str) -> Source:
    """Open a file, or standard input for ``-``. Raises OSError, also for a terminal."""
    if name != "-":
        return Path(name).read_bytes()
    descriptor = sys.stdin.fileno()
    if os.isatty(descriptor):
        raise OSError(errno.EINVAL, "this is a terminal: pipe audio into it")
    mode = os.fstat(descriptor).st_mode
    # Only what may keep us waiting is worth an event loop's care, and the loop takes nothing else.
    piped = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return sys.stdin.buffer if piped else sys.stdin.buffer.read()


async def packets(source: Source, sizes: tuple[int, ...]) -> AsyncIterator[bytes]:
    """Give the audio in packets of these sizes, in turn; a pipe may give less at a time."""
    turn = itertools.cycle(sizes)
    if isinstance(source, bytes):
        at = 0
        while packet := source[at : at + (size := next(turn))]:
            yield packet
            at += size
        return
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, source)
    try:
        while packet := await reader.read(next(turn)):
            yield packet
    finally:
        transport.close()


def length_ms(audio: bytes, fmt: AudioFormat) -> int:
    """Measure a whole file. Raises FormatMismatch when it is not in this format."""
    reader = WavReader(fmt, declared=True)
    samples = 0
    for piece in itertools.chain(reader.push(audio), reader.end()):
        if isinstance(piece, AudioFormat):
            fmt = piece
        else:
            samples += fmt.samples_in(len(piece))
    return samples_to_ms(samples)
