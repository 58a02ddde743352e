"""Audio written by hand: noise in every encoding, WAV files of every kind, and ways to cut them."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from app.core.audio_path import AudioPath
from app.core.pcm import SAMPLE_RATE, AudioFormat, Chunk, Encoding

TAGS = {
    Encoding.U8: 1,
    Encoding.S16LE: 1,
    Encoding.S24LE: 1,
    Encoding.S32LE: 1,
    Encoding.F32LE: 3,
    Encoding.ALAW: 6,
    Encoding.MULAW: 7,
}
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def noise(fmt: AudioFormat, samples: int, seed: int = 1) -> bytes:
    """Full-scale noise; for floats also values beyond ±1, infinities and NaN."""
    count = samples * fmt.channels
    if fmt.encoding is not Encoding.F32LE:
        return random.Random(seed).randbytes(samples * fmt.frame_bytes())
    values = np.random.default_rng(seed).uniform(-1.5, 1.5, count).astype("<f4")
    values[::101], values[1::103], values[2::107] = np.nan, np.inf, -np.inf
    return values.tobytes()


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """One RIFF chunk, padded to an even length; ``size`` lies about its length."""
    return (
        struct.pack("<4sI", name, len(body) if size is None else size)
        + body
        + b"\0" * (len(body) % 2)
    )


def fmt_body(
    tag: int, channels: int, rate: int, bits: int, *, block: int | None = None, extra: bytes = b""
) -> bytes:
    """The body of a ``fmt `` chunk."""
    block = channels * bits // 8 if block is None else block
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block % 2**32, block, bits) + extra


def extensible(tag: int, channels: int, rate: int, bits: int, tail: bytes = GUID_TAIL) -> bytes:
    """The body of a ``fmt `` chunk in the WAVE_FORMAT_EXTENSIBLE form."""
    extra = struct.pack("<HHIH", 22, bits, 3, tag) + tail
    return fmt_body(0xFFFE, channels, rate, bits, extra=extra)


def riff(*chunks: bytes, kind: bytes = b"WAVE", magic: bytes = b"RIFF") -> bytes:
    """A RIFF file of these chunks."""
    return chunk(magic, kind + b"".join(chunks))


def wav(fmt: AudioFormat, audio: bytes, size: int | None = None) -> bytes:
    """A plain WAV file; ``size`` is what its data chunk claims, if not the truth."""
    bits = fmt.frame_bytes() // fmt.channels * 8
    body = fmt_body(TAGS[fmt.encoding], fmt.channels, fmt.sample_rate, bits)
    return riff(chunk(b"fmt ", body), chunk(b"data", audio, size))


def pieces(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """``data`` cut into pieces of these sizes, and whatever is left in one."""
    start = 0
    for size in sizes:
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size
    yield data[start:]


def speak(path: AudioPath, parts: Iterable[bytes]) -> list[Chunk]:
    """Feed everything and end."""
    chunks = [made for part in parts for made in path.feed(part) or ()]
    return chunks + path.end()


def speech(chunks: Iterable[Chunk]) -> bytes:
    """The chunks' samples without their padding."""
    return b"".join(made.pcm[: 2 * made.samples] for made in chunks)


def one_shot(mono: NDArray[np.float32], rate: int) -> bytes:
    """The reference: one float32 HQ resampling of the whole (full scale ±32768), rounded once."""
    whole = soxr.resample(mono, rate, SAMPLE_RATE, "HQ")
    rounded: bytes = np.clip(np.rint(whole), -32768, 32767).astype("<i2").tobytes()
    return rounded
