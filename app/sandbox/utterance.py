"""One utterance as the replica holds it: 24 kHz audio in order, and how far it has played."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import soxr

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of audio with one epoch: ``samples`` of it speech, then ``silence`` of padding."""

    pcm: bytes | None
    """24 kHz mono s16le; None for a text that has no voice."""
    samples: int
    silence: int
    epoch: int | None
    own_voice: bool = False
    """Text, spoken by the replica itself."""

    @property
    def length(self) -> int:
        """Samples at 24 kHz, padding included."""
        return self.samples + self.silence

    def goes_on_with(self, other: Piece) -> bool:
        """Whether ``other`` can be told of together with this."""
        same = (self.epoch, self.own_voice) == (other.epoch, other.own_voice)
        return same and None not in (self.pcm, other.pcm)

    def split(self, length: int) -> tuple[Piece, Piece]:
        """The first ``length`` samples, and the rest."""
        speech = min(length, self.samples)
        head = None if self.pcm is None else self.pcm[: length * SAMPLE_BYTES]
        tail = None if self.pcm is None else self.pcm[length * SAMPLE_BYTES :]
        return (
            replace(self, pcm=head, samples=speech, silence=length - speech),
            replace(
                self,
                pcm=tail,
                samples=self.samples - speech,
                silence=self.silence - (length - speech),
            ),
        )


@dataclass(slots=True, eq=False)
class Utterance:
    """Audio that belongs together, because of its ``inference_id`` or because the track ran on."""

    inference_id: str | None
    """The client's; None for the track and for messages that gave none."""
    spoken_id: str
    """The one that speaking events carry."""
    track: bool = False
    done: bool = False
    """Nothing more will come."""
    doomed: bool = False
    """An interrupt has met it, which a slow replica has yet to obey."""
    received: int = 0
    """Samples at 24 kHz."""
    played: int = 0
    turn: int = 0
    """From 1, once it has begun to play."""
    heard_at: int = 0
    """When its newest audio came, ns."""
    dry_since: int | None = None
    """Since when it has had nothing to play although it had begun, ns."""
    _pieces: deque[Piece] = field(default_factory=deque)
    _rate: int = SAMPLE_RATE
    _resampler: soxr.ResampleStream | None = None

    def append(self, now: int, pcm: bytes, rate: int, *, silence: int, epoch: int | None) -> int:
        """Take s16le audio of any rate; returns the samples at 24 kHz this adds now.

        ``silence`` samples at the end of 24 kHz audio are padding.
        """
        tail = b""
        if rate != self._rate:
            tail = self._finish_resampler()
            if rate != SAMPLE_RATE:
                self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
            self._rate = rate
        if self._resampler is not None:
            pcm = _resample(self._resampler, pcm, last=False)
            silence = 0
        pcm = tail + pcm
        length = len(pcm) // SAMPLE_BYTES
        self.add(now, Piece(pcm, length - silence, silence, epoch))
        return length

    def add(self, now: int, piece: Piece) -> None:
        """Take a piece of 24 kHz audio."""
        self.heard_at = now
        if piece.length:
            self.received += piece.length
            self._pieces.append(piece)

    def close(self, now: int, epoch: int | None) -> None:
        """Say that nothing more comes; what the resampler still held is added."""
        if self.done:
            return
        self.done = True
        tail = self._finish_resampler()
        self.add(now, Piece(tail, len(tail) // SAMPLE_BYTES, 0, epoch))

    def take(self, length: int) -> list[Piece]:
        """Play ``length`` samples: what they are, joined to one piece an epoch."""
        self.played += length
        runs: list[list[Piece]] = []
        while length:
            piece = self._pieces.popleft()
            if piece.length > length:
                piece, rest = piece.split(length)
                self._pieces.appendleft(rest)
            length -= piece.length
            if runs and runs[-1][0].goes_on_with(piece):
                runs[-1].append(piece)
            else:
                runs.append([piece])
        return [_joined(run) for run in runs]

    def peek(self, begins: int, ends: int) -> bytes:
        """The samples from ``begins`` to ``ends``, not yet taken; zeros for what has no sound."""
        first, last = (begins - self.played) * SAMPLE_BYTES, (ends - self.played) * SAMPLE_BYTES
        parts, at = [], 0
        for piece in self._pieces:
            if at >= last:
                break
            size = piece.length * SAMPLE_BYTES
            if at + size > first:
                pcm = bytes(size) if piece.pcm is None else piece.pcm
                parts.append(pcm[max(0, first - at) : last - at])
            at += size
        return b"".join(parts)

    def _finish_resampler(self) -> bytes:
        if self._resampler is None:
            return b""
        tail = _resample(self._resampler, b"", last=True)
        self._resampler = None
        self._rate = SAMPLE_RATE
        return tail


def _joined(run: list[Piece]) -> Piece:
    """Pieces of one epoch as one; its padding may then lie anywhere in it."""
    first = run[0]
    if first.pcm is None:
        return first
    samples = sum(piece.samples for piece in run)
    silence = sum(piece.silence for piece in run)
    pcm = b"".join(piece.pcm or b"" for piece in run)
    return replace(first, pcm=pcm, samples=samples, silence=silence)


def _resample(stream: soxr.ResampleStream, pcm: bytes, *, last: bool) -> bytes:
    """One step of a float32 stream, rounded once: soxr's own int16 streams dither."""
    floats = np.frombuffer(pcm, "<i2").astype(np.float32)
    out = np.rint(stream.resample_chunk(floats, last=last))
    rounded: bytes = np.clip(out, -32768, 32767).astype("<i2").tobytes()
    return rounded
