"""Which utterances exist, which one is open, and under which epoch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.core.pcm import AudioFormat, samples_to_ms
from app.core.wire_out import Source
from app.errors import TooManyUtterances, UtteranceIdInUse

REMEMBERED_IDS = 1000
"""How many of the session's last utterance ids cannot be used again."""


@dataclass(slots=True, eq=False)
class Utterance:
    """One utterance. Counts are samples at 24 kHz, times ns; played ≤ sent ≤ received."""

    number: int
    """1, 2, ... in the session."""
    utterance_id: str
    format: AudioFormat
    implicit: bool
    opened_at: int
    open: bool = True
    accepted_bytes: int = 0
    received: int = 0
    sent: int = 0
    lost: int = 0
    """Handed over, but the room did not get it: neither sent nor waiting."""
    played: int = 0
    told: int = 0
    """The highest position told as progress: what is told never goes back."""
    source: Source = "clock"
    cut_at: int | None = None
    failure: str | None = None
    """Error code of a failed utterance."""
    abandoned: bool = False
    """Nothing more of it is handed over: it is not in its format."""
    done: bool = False
    first_audio_at: int | None = None
    first_sent_at: int | None = None
    started_at: int | None = None
    marks: deque[tuple[int, str]] = field(default_factory=deque)
    """Position and name of the marks that are not reached."""

    @property
    def unsent(self) -> int:
        """Samples accepted and not handed over, nor dropped."""
        over = self.done or self.abandoned or self.cut_at is not None
        return 0 if over else self.received - self.sent - self.lost

    @property
    def received_ms(self) -> int:
        """Milliseconds accepted."""
        return samples_to_ms(self.received)

    @property
    def sent_ms(self) -> int:
        """Milliseconds handed to the room."""
        return samples_to_ms(self.sent)

    @property
    def played_ms(self) -> int:
        """Milliseconds played."""
        return samples_to_ms(self.played)

    @property
    def dropped_ms(self) -> int:
        """Milliseconds accepted and never handed over, so that received = sent + dropped."""
        return self.received_ms - self.sent_ms

    def take_back(self, samples: int) -> None:
        """Undo a hand-over: the room did not get ``samples`` after all."""
        self.sent -= samples
        self.lost += samples
        self.played = min(self.played, self.sent)
        if not self.sent:
            self.first_sent_at = None
            self.source = "clock"

    def give_back(self, samples: int) -> None:
        """Undo a hand-over: ``samples`` wait again."""
        self.take_back(samples)
        self.lost -= samples

    def play_to(self, position: int, source: Source) -> None:
        """Set the position: never behind what was told, and above all never beyond what was sent.

        What was sent can shrink, when a room gives up on what it had taken.
        """
        self.played = min(self.sent, max(self.told, position))
        self.source = source


class Utterances:
    """The session's utterances that are not done, oldest first, and who may open the next."""

    def __init__(self, limit: int) -> None:
        """Make an empty list that holds at most ``limit`` utterances at once."""
        self._limit = limit
        self._ids: deque[str] = deque(maxlen=REMEMBERED_IDS)
        self._known: set[str] = set()
        self._number = 0
        self.epoch = 0
        """Raised by every interrupt."""
        self.line: deque[Utterance] = deque()
        """Not done and not cut, in the order they play."""
        self.cut: list[Utterance] = []
        """Interrupted, and their position not settled yet."""
        self.open: Utterance | None = None

    def start(
        self, utterance_id: str | None, fmt: AudioFormat, *, implicit: bool, now: int
    ) -> Utterance:
        """Open a new utterance; the caller has closed the one before.

        Raises ``UtteranceIdInUse`` and ``TooManyUtterances``, and then changes nothing.
        """
        if utterance_id is not None and utterance_id in self._known:
            raise UtteranceIdInUse(f"{utterance_id!r} was used before in this session")
        if len(self.line) >= self._limit:
            raise TooManyUtterances(f"{self._limit} utterances are waiting")
        self._number += 1
        utterance_id = utterance_id or self._make_id()
        if len(self._ids) == REMEMBERED_IDS:
            self._known.discard(self._ids[0])
        self._ids.append(utterance_id)
        self._known.add(utterance_id)
        utterance = Utterance(self._number, utterance_id, fmt, implicit, now)
        self.line.append(utterance)
        self.open = utterance
        return utterance

    def close(self) -> Utterance | None:
        """Close the open utterance, if any, and return it."""
        utterance, self.open = self.open, None
        if utterance is not None:
            utterance.open = False
        return utterance

    def waits(self, utterance_id: str) -> bool:
        """Whether this utterance is playing, open or queued."""
        return any(u.utterance_id == utterance_id for u in self.line)

    def cut_all(self, now: int) -> list[Utterance]:
        """Cut everything and raise the epoch; returns what was cut, in order."""
        self.epoch += 1
        self.close()
        cut = list(self.line)
        self.line.clear()
        for utterance in cut:
            utterance.cut_at = now
        self.cut += cut
        return cut

    def kill(self, utterance: Utterance, now: int) -> None:
        """Cut the newest utterance alone, which nobody is to hear."""
        self.close()
        self.line.remove(utterance)
        utterance.cut_at = now
        self.cut.append(utterance)

    def _make_id(self) -> str:
        """Make an id nobody used: ``u-<number>``, with a tail in case a client chose that one."""
        made = f"u-{self._number}"
        while made in self._known:
            made += "."
        return made
