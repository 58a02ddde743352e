"""Units of audio and time: integer samples at 24 kHz and integer nanoseconds.

Everything behind the resampler is 24 kHz mono signed 16-bit little-endian, the rate that Tavus
recommends (``sample_rate`` of ``conversation.echo``). Milliseconds appear only at the wire, rounded
down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

SAMPLE_RATE = 24_000
"""Samples per second of everything behind the resampler, Hertz."""

SAMPLE_BYTES = 2
"""Bytes of one 24 kHz mono sample."""

MIN_RATE, MAX_RATE = 8_000, 192_000
"""Input sample rates accepted, Hertz, both included."""


def samples_to_ms(samples: int) -> int:
    """Whole milliseconds in ``samples`` at 24 kHz, rounded down."""
    return samples * 1000 // SAMPLE_RATE


def ms_to_samples(ms: int) -> int:
    """Samples at 24 kHz in ``ms`` milliseconds (exact: 24 a millisecond)."""
    return ms * SAMPLE_RATE // 1000


def samples_to_ns(samples: int) -> int:
    """Nanoseconds that ``samples`` at 24 kHz last, rounded up: a deadline never comes early."""
    return -(-samples * 1_000_000_000 // SAMPLE_RATE)


def ns_to_samples(ns: int) -> int:
    """Whole samples at 24 kHz that fit into ``ns`` nanoseconds."""
    return ns * SAMPLE_RATE // 1_000_000_000


def earliest(first: int | None, second: int | None) -> int | None:
    """The earlier of two moments, None without any; ``min`` over a generator costs more."""
    if first is None:
        return second
    return first if second is None or first < second else second


class Encoding(StrEnum):
    """How one sample is written down; ``wav`` says so itself in its header."""

    S16LE = "pcm_s16le"
    S16BE = "pcm_s16be"
    S24LE = "pcm_s24le"
    S32LE = "pcm_s32le"
    U8 = "pcm_u8"
    F32LE = "pcm_f32le"
    MULAW = "pcm_mulaw"
    ALAW = "pcm_alaw"
    WAV = "wav"


SAMPLE_WIDTH: dict[Encoding, int] = {
    Encoding.S16LE: 2,
    Encoding.S16BE: 2,
    Encoding.S24LE: 3,
    Encoding.S32LE: 4,
    Encoding.U8: 1,
    Encoding.F32LE: 4,
    Encoding.MULAW: 1,
    Encoding.ALAW: 1,
}
"""Bytes of one sample of one channel. ``wav`` has none until its header is read."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a client declared, or what a WAV header said."""

    encoding: Encoding = Encoding.S16LE
    sample_rate: int = SAMPLE_RATE
    """Hertz, 8000 to 192000."""
    channels: int = 1
    """1 or 2; two are averaged."""

    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels; for ``wav``, those of the usual 16 bits."""
        return SAMPLE_WIDTH.get(self.encoding, 2) * self.channels

    def samples_in(self, count: int) -> int:
        """Samples at 24 kHz that ``count`` bytes in this format last, rounded down."""
        return count // self.frame_bytes() * SAMPLE_RATE // self.sample_rate


class Chunk(Struct, frozen=True, gc=False):
    """A piece of one utterance, ready to be handed to the room: 24 kHz mono s16le.

    A frozen dataclass would take several times as long to make; so it is with ``Queued`` and
    ``Delivery``. None of them is ever part of a cycle of references.
    """

    pcm: bytes
    """``samples + silence`` samples."""
    samples: int
    """Samples of speech, at the front."""
    silence: int = 0
    """Samples of padding, at the end. They count in no position."""

    @property
    def length(self) -> int:
        """Samples, padding included."""
        return self.samples + self.silence

    @property
    def sounds(self) -> bool:
        """Whether there is anything but digital silence in it."""
        return bool(self.pcm.lstrip(b"\0"))

    def split(self, length: int) -> tuple[Chunk, Chunk]:
        """Cut it in two, the first ``length`` samples long."""
        cut = length * SAMPLE_BYTES
        speech = min(self.samples, length)
        left = self.samples - speech
        return (
            Chunk(self.pcm[:cut], speech, length - speech),
            Chunk(self.pcm[cut:], left, self.length - length - left),
        )
