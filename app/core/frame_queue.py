"""What waits for one viewer: the newest picture, and half a second of sound.

Nothing that a viewer does or leaves undone makes this grow. What it has not taken in time is left
out, counted, and said by a flag in the next frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.core.frame_header import SKIPPED, FrameHeader, FrameKind
from app.core.media import Choices

RING_US = 500_000
"""Sound that is so much older than the newest is left out; the contract's number."""

MAX_PIECES = 200
"""Pieces of sound that wait, at most: half a second of eight people in pieces of 20 ms."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame for whom it may concern: the header's fields but for each viewer's own."""

    kind: FrameKind
    codec: int
    captured_us: int
    number: int
    offset_ms: int
    detail: int
    payload: bytes


class Lane:
    """The frames of one kind for one viewer."""

    def __init__(self, *, only_newest: bool) -> None:
        """Have none."""
        self._only_newest = only_newest
        self._waiting: deque[tuple[int, Frame]] = deque()
        self._seq = 0
        self._sent_seq = 0
        self.sent = 0
        self.dropped = 0

    def __len__(self) -> int:
        """How many frames wait."""
        return len(self._waiting)

    def push(self, frame: Frame, skipped: int = 0) -> int:
        """Let a frame wait, after ``skipped`` that were lost on their way here.

        Returns how many are lost with that.
        """
        self._seq += skipped + 1
        lost = skipped
        while self._waiting and self._is_late(self._waiting[0][1], frame):
            self._waiting.popleft()
            lost += 1
        self._waiting.append((self._seq, frame))
        self.dropped += lost
        return lost

    def clear(self) -> None:
        """Forget what waits: nobody wants it, so that it is neither sent nor left out."""
        self._seq -= len(self._waiting)
        self._waiting.clear()

    def pop(self) -> bytes:
        """Take the oldest frame as it goes onto the wire. Raises IndexError when none waits."""
        seq, frame = self._waiting.popleft()
        flags = 0 if seq == self._sent_seq + 1 else SKIPPED
        self._sent_seq = seq
        self.sent += 1
        header = FrameHeader(
            frame.kind,
            frame.codec,
            flags,
            seq & 0xFFFFFFFF,
            frame.captured_us,
            frame.number,
            frame.offset_ms,
            frame.detail,
        )
        return header.pack() + frame.payload

    def _is_late(self, waiting: Frame, newest: Frame) -> bool:
        if self._only_newest or len(self._waiting) >= MAX_PIECES:
            return True
        return newest.captured_us - waiting.captured_us >= RING_US


class FrameQueue:
    """All that waits for one viewer."""

    def __init__(self) -> None:
        """Want nothing."""
        self.choices = Choices()
        # Sound before pictures: it is small, and late more easily.
        self._lanes = {
            FrameKind.AUDIO: Lane(only_newest=False),
            FrameKind.USER_AUDIO: Lane(only_newest=False),
            FrameKind.VIDEO: Lane(only_newest=True),
        }

    def __len__(self) -> int:
        """How many frames wait."""
        return sum(len(lane) for lane in self._lanes.values())

    @property
    def sent(self) -> int:
        """Frames taken."""
        return sum(lane.sent for lane in self._lanes.values())

    @property
    def dropped(self) -> int:
        """Frames left out."""
        return sum(lane.dropped for lane in self._lanes.values())

    def choose(self, choices: Choices) -> None:
        """Want this from now on; a kind of which the choice stays the same goes on undisturbed.

        A kind's numbers go on, whatever is chosen: they are the viewer's.
        """
        before, self.choices = self.choices, choices
        for kind, old, new in (
            (FrameKind.AUDIO, before.audio, choices.audio),
            (FrameKind.USER_AUDIO, before.user_audio, choices.user_audio),
            (FrameKind.VIDEO, before.video, choices.video),
        ):
            if old != new:
                self._lanes[kind].clear()

    def push(self, frame: Frame, skipped: int = 0) -> int:
        """Let a frame of a kind that is wanted wait; returns how many are lost, as ``Lane``."""
        return self._lanes[frame.kind].push(frame, skipped)

    def pop(self) -> tuple[FrameKind, bytes] | None:
        """Take the next frame, sound before pictures; None when none waits."""
        for kind, lane in self._lanes.items():
            if lane:
                return kind, lane.pop()
        return None
