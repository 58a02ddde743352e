"""What a producer sends: utterances opened and closed, audio taken, refused or discarded."""

from __future__ import annotations

from dataclasses import dataclass

from app.core import wire_out as out
from app.core.audio_path import AudioPath
from app.core.discard import Discard
from app.core.pcm import AudioFormat, Chunk, earliest, ms_to_samples, samples_to_ms
from app.core.playout import Playout
from app.core.utterances import Utterance, Utterances
from app.errors import (
    BufferOverflow,
    FormatMismatch,
    PartialSample,
    TooManyMarks,
    TooManyUtterances,
    UtteranceMismatch,
)

MAX_MARKS = 1000
"""The most marks that may be pending in a session."""

MS = 1_000_000
"""Nanoseconds in a millisecond."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a session takes, in ms of audio and in gaps."""

    buffer_ms: int = 120_000
    high_ms: int = 30_000
    low_ms: int = 15_000
    utterance_gap_ms: int = 1000
    late_audio_gap_ms: int = 300


class Intake:
    """Plain calls with ``now`` in ns; what there is to tell is put into ``told``."""

    def __init__(
        self,
        utterances: Utterances,
        path: AudioPath,
        playout: Playout,
        told: list[out.ServerMessage],
        bounds: Bounds,
    ) -> None:
        """Make one that nobody feeds yet."""
        self._utterances = utterances
        self._path = path
        self._playout = playout
        self._told = told
        self._bounds = bounds
        self.format = AudioFormat()
        self.declared = False
        """The client chose the format: a WAV header must not say something else."""
        self.explicit = False
        """The producer has sent an ``utterance.start``: audio alone opens nothing any more."""
        self.suspended = False
        """The producer's connection is lost: its utterance stays open meanwhile."""
        self._last: Utterance | None = None
        self._last_audio_at = 0
        self._pushed = 0
        """Samples of the open utterance that left the audio path."""
        self._discard = Discard()
        self.flow_paused = False
        """The producer was told to stop."""
        self._most = ms_to_samples(bounds.buffer_ms)
        # The marks compare whole milliseconds.
        self._high = ms_to_samples(bounds.high_ms + 1)
        self._low = ms_to_samples(bounds.low_ms + 1)

    # --- producers

    def attach(self, fmt: AudioFormat, *, declared: bool) -> None:
        """A new producer stream begins; the one before ends its utterance."""
        self.end()
        self.format = fmt
        self.declared = declared
        self.explicit = False
        self._last = None
        self._discard = Discard()

    def reconnect(self, now: int) -> None:
        """The producer has a new connection: it must be told anew when to stop.

        The time without one was no gap in its speech.
        """
        if self.suspended:
            self._last_audio_at = now
        self.suspended = False
        self.flow_paused = False

    # --- utterances

    def start(
        self,
        utterance_id: str | None,
        fmt: AudioFormat | None,
        epoch: int | None,
        now: int,
        ref: str | None = None,
    ) -> None:
        """Open an utterance, closing the open one. Raises what ``Utterances.start`` raises.

        An ``epoch`` older than the session's is dead on arrival: opened, interrupted, not heard.
        """
        self.refuse_start()
        utterance = self._utterances.start(
            utterance_id, fmt or self.format, implicit=False, now=now
        )
        if fmt is not None:
            self.format, self.declared = fmt, True
        self._open(utterance, ref)
        if epoch is not None and epoch < self._utterances.epoch:
            self._utterances.kill(utterance, now)
            self._discard.because("interrupted", utterance)

    def refuse_start(self) -> None:
        """An ``utterance.start`` came that may be wrong: nothing is open, audio is discarded."""
        self.end()
        self.explicit = True
        self._discard.because("refused")

    def audio(self, data: bytes | memoryview, now: int, *, more: bool = False) -> bool:
        """Take a piece of audio, or discard it when it belongs to no utterance.

        ``more``: another piece follows at once, so this one may wait for it. Returns whether
        anything came of it but that it waits. Raises ``FormatMismatch``, ``TooManyUtterances``; the
        rest of the utterance is discarded.
        """
        self._last_audio_at = now
        utterance = self._utterances.open
        if utterance is None:
            if self._discards():
                self._drop(len(data))
                return True
            utterance = self._open_implicit(now, len(data))
        utterance.accepted_bytes += len(data)
        if utterance.first_audio_at is None:
            utterance.first_audio_at = now
        try:
            chunks = self._path.feed(data, more=more)
        except FormatMismatch:
            self._fail(utterance)
            self._discard.because("refused", utterance, muted=True)
            raise
        if chunks is None:
            utterance.received = self._path.received
            return False
        self._push(utterance, chunks)
        return True

    def admit(self, size: int, now: int, ref: str | None = None) -> bool:
        """Whether a message of ``size`` bytes of audio fits into the buffer whole.

        When it does not, it is refused with the rest of its utterance; what was accepted plays.
        Raises ``TooManyUtterances``.
        """
        waiting = self.unsent()
        # No byte is more than 3 samples, µ-law at 8 kHz: mostly that says enough.
        if waiting + 3 * size <= self._most:
            return True
        utterance = self._utterances.open
        if utterance is None and self._discards():
            return True
        fmt = self.format if utterance is None else self._path.format
        if waiting + fmt.samples_in(size) <= self._most:
            return True
        self._last_audio_at = now
        utterance = utterance or self._open_implicit(now, size)
        self._close(utterance, ref, failure=BufferOverflow.code)
        error = BufferOverflow(
            f"the message does not fit: {samples_to_ms(waiting)} ms are waiting, "
            f"{self._bounds.buffer_ms} ms may; go on after flow.resume in a new utterance"
        )
        self._told.append(out.error_message(error, ref, accepted_bytes=utterance.accepted_bytes))
        self._discard.because("refused", utterance, muted=True)
        self._drop(size)
        if not self.flow_paused:
            self.flow_paused = True
            self._told.append(out.FlowPause(*self._flow_fields()))
        return False

    def end(self, utterance_id: str | None = None, ref: str | None = None) -> None:
        """Close the open utterance: what was taken plays to its last sample.

        Nothing happens when none is open. Raises ``UtteranceMismatch``: nothing is closed. A part
        of a sample that was left, or a format that turns out wrong, is told.
        """
        self._end_burst()
        utterance = self._utterances.open
        if utterance is None:
            self._discard.muted = False
            if self._discard.reason == "interrupted":
                self._discard.because("no_utterance")
            return
        if utterance_id is not None and utterance_id != utterance.utterance_id:
            raise UtteranceMismatch(f"{utterance.utterance_id!r} is open, not {utterance_id!r}")
        self._close(utterance, ref)
        self._discard.because("no_utterance")

    def mark(self, name: str) -> None:
        """Put a mark at the current input sample. Raises ``TooManyMarks``.

        With nothing open it stands at the end of all accepted audio; with no audio left it is
        reached at once, unless it stands in audio that is discarded.
        """
        line = self._utterances.line
        if sum(len(u.marks) for u in line) >= MAX_MARKS:
            raise TooManyMarks(f"{MAX_MARKS} marks are waiting")
        # Marks that an interrupt has yet to flush come first.
        unflushed = (u for u in reversed(self._utterances.cut) if u.marks)
        target = line[-1] if line else next(unflushed, None)
        if target is not None:
            target.marks.append((target.received, name))
            return
        lost = self._discards() and self._discard.reason != "no_utterance"
        self._told.append(out.MarkReached(name, 0, "flushed" if lost else "played"))

    def cut(self, now: int, *, in_band: bool) -> None:
        """An interrupt was accepted: forget everything undecoded, and mute what comes late.

        ``in_band``: the producer itself interrupted, so what it sends from here on is new.
        """
        self._path.clear()
        utterance = self._utterances.open
        if utterance is not None:
            self._discard.because("interrupted", utterance, muted=utterance.implicit)
            # A TTS that sends in bursts may have been silent for long: its gap begins now.
            self._last_audio_at = now
        if in_band:
            self._end_burst()
            self._discard.muted = False

    # --- time

    def tick(self, now: int) -> None:
        """End an implicit utterance after its gap, and a burst of discarded audio after its own."""
        if (at := self._gap_at()) is not None and at <= now:
            self.end()
        if (at := self._late_gap_at()) is not None and at <= now:
            self._end_burst()
            self._discard.muted = False

    def next_deadline(self) -> int | None:
        """When ``tick`` has something to do, in ns."""
        return earliest(self._gap_at(), self._late_gap_at())

    def flow(self) -> None:
        """Tell the producer to stop above the high mark and to go on below the low one."""
        waiting = self.unsent()
        if not self.flow_paused and waiting >= self._high:
            self.flow_paused = True
            self._told.append(out.FlowPause(*self._flow_fields()))
        elif self.flow_paused and waiting < self._low:
            self.flow_paused = False
            self._told.append(out.FlowResume(*self._flow_fields()))

    def unsent(self) -> int:
        """Samples accepted and not on their way to the room."""
        utterance, waiting = self._utterances.open, self._playout.waiting
        return waiting if utterance is None else waiting + utterance.received - self._pushed

    def ack(self, received: int) -> out.AudioAck | None:
        """What the producer's last audio came to, None when it never sent any."""
        utterance = self._last
        if utterance is None:
            return None
        return out.AudioAck(
            utterance.utterance_id,
            utterance.accepted_bytes,
            received,
            samples_to_ms(self.unsent()),
        )

    # --- inside

    def _open_implicit(self, now: int, size: int) -> Utterance:
        try:
            utterance = self._utterances.start(None, self.format, implicit=True, now=now)
        except TooManyUtterances:
            self._discard.because("refused", muted=True)
            self._drop(size)
            raise
        self._open(utterance, None)
        return utterance

    def _open(self, utterance: Utterance, ref: str | None) -> None:
        self._last = utterance
        self._pushed = 0
        self._path.begin(utterance.format, declared=self.declared)
        self._told.append(
            out.UtteranceOpened(
                utterance.utterance_id, utterance.number, utterance.format, utterance.implicit, ref
            )
        )

    def _push(self, utterance: Utterance, chunks: list[Chunk]) -> None:
        utterance.received = self._path.received
        utterance.format = self._path.format
        if chunks:
            self._pushed += self._playout.push(utterance, chunks)
            self.flow()

    def _close(self, utterance: Utterance, ref: str | None, failure: str | None = None) -> None:
        """Flush the path and close; a problem is told, since what is whole plays all the same."""
        try:
            chunks = self._path.end()
        except FormatMismatch as error:
            self._fail(utterance)
            self._told.append(out.error_message(error, ref))
            return
        self._push(utterance, chunks)
        utterance.failure = failure
        self._utterances.close()
        if self._path.partial and failure is None:
            self._told.append(out.error_message(PartialSample(), ref))

    def _fail(self, utterance: Utterance) -> None:
        """It is not in its format: nothing more of it is handed over."""
        self._path.clear()
        self._playout.drop(utterance)
        utterance.abandoned = True
        utterance.failure = FormatMismatch.code
        self._utterances.close()

    def _discards(self) -> bool:
        """Whether audio outside an utterance opens none."""
        return self.explicit or self._discard.muted

    def _drop(self, size: int) -> None:
        fmt = self.format if self._last is None else self._last.format
        self._discard.add(fmt.samples_in(size))

    def _end_burst(self) -> None:
        told = self._discard.end()
        if told is not None:
            self._told.append(told)

    def _gap_at(self) -> int | None:
        utterance = self._utterances.open
        if utterance is None or not utterance.implicit or self.suspended:
            return None
        return self._last_audio_at + self._bounds.utterance_gap_ms * MS

    def _late_gap_at(self) -> int | None:
        if not self._discard.waits or self.suspended:
            return None
        # What was refused is the rest of an utterance, and ends as one; late audio ends sooner.
        refused = self._discard.reason == "refused"
        gap_ms = self._bounds.utterance_gap_ms if refused else self._bounds.late_audio_gap_ms
        return self._last_audio_at + gap_ms * MS

    def _flow_fields(self) -> tuple[int, int, int]:
        bounds = self._bounds
        return samples_to_ms(self.unsent()), bounds.high_ms, bounds.low_ms
