"""Bytes of one audio format to float32 mono, in steps of 16-bit samples: full scale ±32768."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.pcm import AudioFormat, Encoding

Floats = NDArray[np.float32]
Read = Callable[[NDArray[Any]], Floats]


class Decoder:
    """Decodes one format; a sample split between two messages is put together again."""

    def __init__(self, fmt: AudioFormat) -> None:
        """Make one. ``fmt`` must not be ``wav``: its header says what the samples are."""
        self._dtype, self._read = _READERS[fmt.encoding]
        self._frame_bytes = fmt.frame_bytes()
        self._stereo = fmt.channels == 2
        self._rest = b""
        self.samples = 0
        """Samples of all channels decoded so far."""

    def push(self, data: bytes | memoryview) -> Floats:
        """Decode all whole samples: clipped to ±32768, NaN as 0, two channels averaged.

        The result is a copy: ``data`` may be reused at once.
        """
        mono = self._read(self.words(data))
        return (mono[::2] + mono[1::2]) * np.float32(0.5) if self._stereo else mono

    def words(self, data: bytes | memoryview) -> NDArray[Any]:
        """Return the whole samples as they are written, mostly a view of ``data``."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        whole, left = divmod(len(data), self._frame_bytes)
        if left:
            self._rest = bytes(data[-left:])
            data = data[:-left]
        self.samples += whole
        return np.frombuffer(data, self._dtype)

    def leftover(self) -> int:
        """Bytes of a sample that is not whole yet."""
        return len(self._rest)

    def drop_leftover(self) -> None:
        """Forget them: what comes next begins with a whole sample."""
        self._rest = b""


_READ_S16: Read = methodcaller("astype", np.float32)


def _read_s32(words: NDArray[np.int32]) -> Floats:
    floats: Floats = words.astype(np.float32)
    floats *= np.float32(2.0**-16)
    return floats


def _read_s24(octets: NDArray[np.uint8]) -> Floats:
    wide = np.zeros((octets.size // 3, 4), np.uint8)
    wide[:, 1:] = octets.reshape(-1, 3)
    return _read_s32(wide.view("<i4").reshape(-1))


def _read_f32(words: NDArray[np.float32]) -> Floats:
    floats: Floats = words.astype(np.float32)
    floats.clip(-1, 1, out=floats)
    floats[np.isnan(floats)] = 0
    floats *= np.float32(32768)
    return floats


def _looked_up(levels: list[int]) -> Read:
    table: Floats = np.array(levels, np.float32)
    table.flags.writeable = False
    return table.take


def _mulaw_level(code: int) -> int:
    """Decode one µ-law octet to 16 bits (ITU-T G.711, table 2a: all bits are sent inverted)."""
    code ^= 0xFF
    level = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return -level if code & 0x80 else level


def _alaw_level(code: int) -> int:
    """Decode one A-law octet to 16 bits (ITU-T G.711, table 1a: even bits are sent inverted)."""
    code ^= 0x55
    segment = code >> 4 & 7
    level = ((code & 0x0F) << 4) + 8
    if segment:
        level = (level + 0x100) << (segment - 1)
    return level if code & 0x80 else -level


_READERS: dict[Encoding, tuple[np.dtype[Any], Read]] = {
    Encoding.S16LE: (np.dtype("<i2"), _READ_S16),
    Encoding.S16BE: (np.dtype(">i2"), _READ_S16),
    Encoding.S24LE: (np.dtype("u1"), _read_s24),
    Encoding.S32LE: (np.dtype("<i4"), _read_s32),
    Encoding.U8: (np.dtype("u1"), _looked_up([(code - 128) * 256 for code in range(256)])),
    Encoding.F32LE: (np.dtype("<f4"), _read_f32),
    Encoding.MULAW: (np.dtype("u1"), _looked_up([*map(_mulaw_level, range(256))])),
    Encoding.ALAW: (np.dtype("u1"), _looked_up([*map(_alaw_level, range(256))])),
}
"""How a sample is written: its words, and how they become floats."""
