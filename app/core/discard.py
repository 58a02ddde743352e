"""Audio that belongs to no utterance: why it does not, and how much of it came in a row."""

from __future__ import annotations

from typing import Literal

from app.core.pcm import samples_to_ms
from app.core.utterances import Utterance
from app.core.wire_out import AudioDiscarded

Reason = Literal["interrupted", "no_utterance", "refused"]


class Discard:
    """Says nothing while audio comes, and all of it when the burst has ended."""

    def __init__(self) -> None:
        """Make one that had nothing to discard."""
        self.reason: Reason = "no_utterance"
        self.muted = False
        """Audio must not open an utterance by itself, because it is the rest of one."""
        self._utterance_id: str | None = None
        self._samples = 0

    def because(
        self, reason: Reason, utterance: Utterance | None = None, *, muted: bool = False
    ) -> None:
        """What comes from here on is discarded for this reason; it was of ``utterance``."""
        self.reason = reason
        self.muted = muted
        self._utterance_id = None if utterance is None else utterance.utterance_id

    def add(self, samples: int) -> None:
        """Discard so many samples."""
        self._samples += samples

    @property
    def waits(self) -> bool:
        """Whether the end of a burst, or of the rest of an utterance, is waited for."""
        return self.muted or self._samples > 0

    def end(self) -> AudioDiscarded | None:
        """The burst is over: what there is to tell about it."""
        samples, self._samples = self._samples, 0
        if not samples:
            return None
        return AudioDiscarded(samples_to_ms(samples), self.reason, self._utterance_id)
