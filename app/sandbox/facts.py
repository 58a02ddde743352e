"""What the replica did, as facts in order of time.

``at`` is monotonic ns; audio is counted in samples at 24 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.sandbox.utterance import Piece


@dataclass(frozen=True, slots=True)
class Started:
    """The first sample of an utterance, or the first after a gap in it, sounds."""

    at: int
    spoken_id: str
    turn: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """It fell silent: at the end, in a gap, or because it was cut."""

    at: int
    spoken_id: str
    turn: int
    samples: int
    """Played since the last ``Started``, closing silence included."""
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Played:
    """Audio that really sounded; ``at`` is the end of its last sample."""

    at: int
    piece: Piece
    inference_id: str | None
    spoken_id: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Audio that was handed over and will not be played."""

    at: int
    samples: int
    reason: str
    inference_id: str | None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Underrun:
    """An utterance ran dry and goes on only now."""

    at: int
    ns: int
    inference_id: str | None


ReplicaFact = Started | Stopped | Played | Ignored | Underrun


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio that sounded without a break, as a listener in the room has it."""

    began: int
    """When the replica began to speak, ns; the same for all that sounds until it falls silent."""
    offset: int
    """Samples from then to the first of these."""
    pcm: bytes
    """24 kHz mono s16le."""
