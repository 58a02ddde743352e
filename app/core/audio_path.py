"""Client bytes to chunks of 24 kHz speech: decode ▸ resample ▸ chunk.

No queue between the stages, and nothing is held but what cannot make a chunk yet: a header or a
sample that is not whole, the resampler's look-ahead, a chunk that is not full. So packets wait, as
they came, until a chunk may come of them: each stage then works on all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.core.chunk import Chunker, Framing
from app.core.decode import Decoder
from app.core.pcm import SAMPLE_RATE, AudioFormat, Chunk, Encoding
from app.core.resample import Resampler, resampled_length, to_s16
from app.core.wav import Piece, WavReader

MOST_AT_ONCE_MS = 320
"""How much audio that comes all at once is worked on together. The stages take little longer for
it than for a packet; for much more they do, since it does not fit into the processor's cache."""

_AS_IT_IS = AudioFormat(Encoding.S16LE, SAMPLE_RATE, 1)
"""What needs neither decoding nor resampling."""


class AudioPath:
    """One utterance at a time; where its bytes were cut changes no sample.

    Call ``begin``, ``feed`` as often as there is data, then ``end`` or, for what must not be heard,
    ``clear``.
    """

    def __init__(self, framing: Framing, quality: str = "HQ") -> None:
        """Make an empty one. ``quality`` is soxr's name, see ``BRIDGE_RESAMPLE_QUALITY``."""
        self._chunker = Chunker(framing)
        self._quality = quality
        self.begin(_AS_IT_IS, declared=False)

    def begin(self, fmt: AudioFormat, *, declared: bool) -> None:
        """Start a new utterance and forget the one before entirely.

        ``declared`` says that the client chose ``fmt``: a WAV header that says something else is
        then a mismatch. Otherwise the header is believed.
        """
        self._announced, self._declared = fmt, declared
        self._wav = WavReader(fmt, declared=declared)
        self._segment = _Segment(_AS_IT_IS, self._quality)
        self._bare = False
        """All that comes is audio: there is no header to look for."""
        self._before = 0
        self.received = 0
        """Samples at 24 kHz of the speech taken so far; after ``end``, of all chunks together."""
        self.format = fmt
        """The format in effect: the announced one, or what the last WAV header said."""
        self._chunker.clear()
        self.partial = False
        """After ``end``: a part of a sample was left, at the end or before a later header."""

    def feed(self, data: bytes | memoryview, *, more: bool = False) -> list[Chunk] | None:
        """Take the next bytes; returns the chunks that are now full, None when they wait for more.

        They do when no chunk can come of them yet, and mostly when there is ``more``, which the
        caller has at hand.

        Raises FormatMismatch when this is not the audio that was announced. The utterance is then
        dead: call ``clear``.
        """
        if not self._bare:
            return self._take(self._wav.push(data))
        segment = self._segment
        samples = segment.push(data, more=more)
        self.received = self._before + segment.received
        return None if samples is None else self._cut(samples)

    def end(self) -> list[Chunk]:
        """Finish the utterance: returns the resampler's tail and the last chunk. Call it once.

        Raises FormatMismatch when a header was needed and never came.
        """
        return self._take(self._wav.end()) + self._end_segment() + self._chunker.flush()

    def clear(self) -> None:
        """Drop everything held in any stage, and the counts with it."""
        self.begin(self._announced, declared=self._declared)

    def _take(self, pieces: Iterable[Piece]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for piece in pieces:
            if isinstance(piece, AudioFormat):
                chunks += self._set_format(piece)
            else:
                samples = self._segment.push(piece, more=False)
                chunks += () if samples is None else self._cut(samples)
        self.received = self._before + self._segment.received
        self._bare = self._wav.is_bare
        return chunks

    def _set_format(self, fmt: AudioFormat) -> list[Chunk]:
        """Begin a new signal, unless the header says what is in effect: that one goes on."""
        self.format = fmt
        if fmt != self._segment.format:
            chunks = self._end_segment()
            self._before += self._segment.received
            self._segment = _Segment(fmt, self._quality)
            return chunks
        samples = self._segment.drop_part()
        if samples is None:
            return []
        self.partial = True
        return self._cut(samples)

    def _cut(self, samples: NDArray[np.int16]) -> list[Chunk]:
        chunks = self._chunker.push(samples)
        self._segment.wait_for(self._chunker.missing)
        return chunks

    def _end_segment(self) -> list[Chunk]:
        chunks = self._chunker.push(self._segment.end())
        self.partial |= self._segment.partial
        return chunks


class _Segment:
    """Audio of one format, whatever headers were in it: one signal, sample-exact by itself."""

    def __init__(self, fmt: AudioFormat, quality: str) -> None:
        self.format = fmt
        self._decoder = Decoder(fmt)
        self._resampler = Resampler(fmt.sample_rate, quality)
        self._rate = fmt.sample_rate
        self._frame_bytes = fmt.frame_bytes()
        self._at_once = fmt.sample_rate * MOST_AT_ONCE_MS // 1000 * self._frame_bytes
        self._as_it_is = fmt == _AS_IT_IS
        self._held: list[bytes] = []
        """What waits for more."""
        self._size = 0
        """Bytes taken so far, without what was dropped."""
        self._enough = 0
        """Of how many bytes taken something may come."""
        self._most = 0
        """At how many bytes taken nothing waits for more that is at hand."""
        self.received = 0
        """Samples at 24 kHz that all of it so far will come to."""

    def push(self, data: bytes | memoryview, *, more: bool) -> NDArray[np.int16] | None:
        """Take the next bytes; None when they wait for more."""
        size = self._size = self._size + len(data)
        self.received = resampled_length(size // self._frame_bytes, self._rate)
        held = self._held
        if size < self._enough or (more and size < self._most):
            if data:
                held.append(bytes(data))
            return None
        if held:
            data = b"".join((*held, data))
            held.clear()
        return self._convert(data)

    def wait_for(self, samples: int) -> None:
        """Let what comes wait until there may be so many samples more."""
        lacking = self._resampler.lacks(samples)
        self._enough = (self._decoder.samples + lacking) * self._frame_bytes
        self._most = self._size + self._at_once

    def drop_part(self) -> NDArray[np.int16] | None:
        """Drop the part of a sample at the end; returns what waited before it, None without one."""
        part = self._size % self._frame_bytes
        if not part:
            return None
        waiting = self._convert_held()
        self._decoder.drop_leftover()
        self._size -= part
        return waiting

    def end(self) -> NDArray[np.int16]:
        """Return all that waits, and the tail."""
        return np.concatenate((self._convert_held(), to_s16(self._resampler.flush())))

    @property
    def partial(self) -> bool:
        """After ``end``: a part of a sample was left."""
        return self._decoder.leftover() > 0

    def _convert_held(self) -> NDArray[np.int16]:
        waiting = self._convert(b"".join(self._held))
        self._held.clear()
        return waiting

    def _convert(self, data: bytes | memoryview) -> NDArray[np.int16]:
        if self._as_it_is:
            words: NDArray[np.int16] = self._decoder.words(data)
            return words
        return to_s16(self._resampler.push(self._decoder.push(data)))
