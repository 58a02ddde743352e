"""When what a person says is enough to cut the replica: one voice score after another."""

from __future__ import annotations

from collections import deque

VOICED = 0.6
"""A frame that scores as much is a voice.

Of earshot's scores: recorded and synthetic voices, also quiet ones and by telephone, reach it at
most frames; white and brown noise, hum, beeps, coughs and keys stay below. Held notes of several
voices do not.
"""

FRAME_MS = 16

PAUSE_FRAMES = 500 // FRAME_MS
"""Without a voice for so long a person has paused: what follows is another turn."""


class SpokenTurn:
    """One person's. A turn cuts the replica once, whichever of the two began first."""

    def __init__(self, need_ms: int) -> None:
        """Cut after ``need_ms`` of voice within twice that time."""
        self._need = -(-need_ms // FRAME_MS)
        self._heard: deque[bool] = deque(maxlen=2 * self._need)
        """Of the last frames: whether they count."""
        self._quiet = 0
        """Frames since the last that was a voice."""
        self._has_cut = False

    def hear(self, score: float, *, playing: bool) -> bool:
        """Take the score of the next frame; returns whether to cut what is ``playing`` now."""
        is_voice = score >= VOICED
        self._quiet = 0 if is_voice else self._quiet + 1
        if self._quiet >= PAUSE_FRAMES:
            self._has_cut = False
        self._heard.append(is_voice and playing and not self._has_cut)
        if sum(self._heard) < self._need:
            return False
        self._heard.clear()
        self._has_cut = True
        return True

    def pause(self) -> None:
        """Nothing was heard of the person for longer than a pause takes."""
        self._heard.clear()
        self._has_cut = False
