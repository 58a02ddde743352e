"""What a producer sends: utterances opened and closed, audio taken, refused or discarded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.core import wire_out as out
from app.core.audio_path import AudioPath
from app.core.pcm import AudioFormat, ms_to_samples, samples_to_ms
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

Reason = Literal["interrupted", "no_utterance", "refused"]


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
        self.explicit = False
        """The producer has sent an ``utterance.start``: audio alone opens nothing any more."""
        self._last: Utterance | None = None
        self._last_audio_at = 0
        self._reason: Reason = "no_utterance"
        self._muted = False
        """An implicit producer's audio is discarded until its next end or gap."""
        self._burst = 0
        self._flow_paused = False
        self.suspended = False
        """The producer's connection is lost: its utterance stays open meanwhile."""

    # --- producers

    def attach(self, fmt: AudioFormat, *, declared: bool) -> None:
        """A new producer stream begins; the one before ends its utterance."""
        self.end()
        self.format = fmt
        self.declared = declared
        self.explicit = False
        self._muted = False

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
        fmt = fmt or self.format
        utterance = self._utterances.start(utterance_id, fmt, implicit=False, now=now)
        self.declared = self.declared or fmt is not self.format
        self.format = fmt
        self._open(utterance, ref)
        if epoch is not None and epoch < self._utterances.epoch:
            self._utterances.close()
            self._utterances.line.remove(utterance)
            self._reason = "interrupted"
            utterance.cut_at = now
            self._utterances.cut.append(utterance)

    def refuse_start(self) -> None:
        """An ``utterance.start`` came that may be wrong: nothing is open, audio is discarded."""
        self.end()
        self.explicit = True
        self._muted = False
        self._reason = "refused"

    def audio(self, data: bytes | memoryview, now: int) -> None:
        """Take a piece of audio, or discard it when it belongs to no utterance.

        Raises ``FormatMismatch``, ``TooManyUtterances``; the rest of the utterance is discarded.
        """
        self._last_audio_at = now
        utterance = self._utterances.open
        if utterance is None:
            if self.explicit or self._muted:
                self._discard(len(data))
                return
            utterance = self._open_implicit(now, len(data))
        utterance.accepted_bytes += len(data)
        if utterance.first_audio_at is None:
            utterance.first_audio_at = now
        try:
            chunks = self._path.feed(data)
        except FormatMismatch:
            self._fail(utterance, FormatMismatch.code)
            raise
        utterance.received = self._path.received
        utterance.format = self._path.format
        self._playout.push(utterance, chunks)

    def admit(self, size: int, now: int, ref: str | None = None) -> bool:
        """Whether a message of ``size`` bytes of audio fits into the buffer whole.

        When it does not, it is refused with the rest of its utterance; what was accepted plays.
        Raises ``TooManyUtterances``.
        """
        utterance = self._utterances.open
        if utterance is None and (self.explicit or self._muted):
            return True
        fmt = self._path.format if utterance is not None else self.format
        limit = ms_to_samples(self._bounds.buffer_ms)
        waiting = self.unsent()
        if waiting + fmt.samples_in(size) <= limit:
            return True
        utterance = utterance or self._open_implicit(now)
        self._close(utterance, BufferOverflow.code, ref)
        error = BufferOverflow(
            f"the message does not fit: {samples_to_ms(waiting)} ms are waiting, "
            f"{self._bounds.buffer_ms} ms may; go on after flow.resume in a new utterance"
        )
        self._told.append(out.error_message(error, ref, accepted_bytes=utterance.accepted_bytes))
        self._reason = "refused"
        self._muted = True
        self._discard(size)
        if not self._flow_paused:
            self._flow_paused = True
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
            self._muted = False
            self._reason = "no_utterance" if self._reason != "refused" else "refused"
            return
        if utterance_id is not None and utterance_id != utterance.utterance_id:
            raise UtteranceMismatch(f"{utterance.utterance_id!r} is open, not {utterance_id!r}")
        self._reason = "no_utterance"
        self._close(utterance, None, ref)

    def mark(self, name: str) -> None:
        """Put a mark at the current input sample. Raises ``TooManyMarks``."""
        line = self._utterances.line
        if sum(len(u.marks) for u in line) >= MAX_MARKS:
            raise TooManyMarks(f"{MAX_MARKS} marks are waiting")
        target = self._utterances.open or (line[-1] if line else None)
        if target is None:
            self._told.append(out.MarkReached(name, 0, "played"))
        else:
            target.marks.append((target.received, name))

    def cut(self, *, in_band: bool) -> None:
        """An interrupt was accepted: forget everything undecoded, and mute what comes late.

        ``in_band``: the producer itself interrupted, so what it sends from here on is new.
        """
        utterance = self._utterances.open
        self._path.clear()
        if utterance is not None:
            self._reason = "interrupted"
            self._muted = not in_band and utterance.implicit

    # --- time

    def tick(self, now: int) -> None:
        """Close an implicit utterance after its gap; end a burst of discarded audio after its own."""
        if (at := self._gap_at()) is not None and at <= now:
            self.end()
        if (at := self._late_gap_at()) is not None and at <= now:
            self._end_burst()
            self._muted = False

    def next_deadline(self) -> int | None:
        """When ``tick`` has something to do, in ns."""
        times = (self._gap_at(), self._late_gap_at())
        return min((at for at in times if at is not None), default=None)

    def flow(self) -> None:
        """Tell the producer to stop above the high mark and to go on below the low one."""
        waiting = samples_to_ms(self.unsent())
        if not self._flow_paused and waiting > self._bounds.high_ms:
            self._flow_paused = True
            self._told.append(out.FlowPause(*self._flow_fields()))
        elif self._flow_paused and waiting <= self._bounds.low_ms:
            self._flow_paused = False
            self._told.append(out.FlowResume(*self._flow_fields()))

    def unsent(self) -> int:
        """Samples accepted and not handed over."""
        return sum(u.unsent for u in self._utterances.line)

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

    def _open_implicit(self, now: int, size: int = 0) -> Utterance:
        try:
            utterance = self._utterances.start(None, self.format, implicit=True, now=now)
        except TooManyUtterances:
            self._muted = True
            self._reason = "refused"
            self._discard(size)
            raise
        self._end_burst()
        self._open(utterance, None)
        return utterance

    def _open(self, utterance: Utterance, ref: str | None) -> None:
        self._last = utterance
        self._path.begin(utterance.format, declared=self.declared)
        self._told.append(
            out.UtteranceOpened(
                utterance.utterance_id, utterance.number, utterance.format, utterance.implicit, ref
            )
        )

    def _close(self, utterance: Utterance, failure: str | None, ref: str | None) -> None:
        """Flush the path and close; a problem is told, since what is whole plays all the same."""
        try:
            chunks = self._path.end()
        except FormatMismatch as error:
            self._fail(utterance, error.code)
            self._told.append(out.error_message(error, ref))
            return
        self._playout.push(utterance, chunks)
        utterance.received = self._path.received
        utterance.failure = failure
        self._utterances.close()
        if self._path.partial and failure is None:
            self._told.append(out.error_message(PartialSample(), ref))

    def _fail(self, utterance: Utterance, code: str) -> None:
        """Nothing more of this utterance is handed over, and what still comes is discarded."""
        self._path.clear()
        self._playout.drop(utterance)
        utterance.abandoned = True
        utterance.failure = code
        self._utterances.close()
        self._reason = "refused"
        self._muted = True

    def _discard(self, size: int) -> None:
        fmt = self._last.format if self._last is not None else self.format
        self._burst += fmt.samples_in(size)

    def _end_burst(self) -> None:
        if self._burst:
            utterance_id = None
            if self._last is not None and self._reason != "no_utterance":
                utterance_id = self._last.utterance_id
            told = out.AudioDiscarded(samples_to_ms(self._burst), self._reason, utterance_id)
            self._told.append(told)
            self._burst = 0

    def _gap_at(self) -> int | None:
        utterance = self._utterances.open
        if utterance is None or not utterance.implicit or self.suspended:
            return None
        return self._last_audio_at + self._bounds.utterance_gap_ms * 1_000_000

    def _late_gap_at(self) -> int | None:
        if not self._burst and not self._muted:
            return None
        return self._last_audio_at + self._bounds.late_audio_gap_ms * 1_000_000

    def _flow_fields(self) -> tuple[int, int, int]:
        bounds = self._bounds
        return samples_to_ms(self.unsent()), bounds.high_ms, bounds.low_ms
