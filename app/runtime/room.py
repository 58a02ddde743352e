"""The room as the session sees it: one Protocol, one implementation a kind of room.

A room speaks 24 kHz mono s16le. It reports facts (``app.core.events.RoomFact``) to the function
it was built with, always on the event loop and never from inside one of these calls. Nothing is
reported after ``leave`` has returned. Picture and sound take a way of their own, in the same
manner: to the ``ReportMedia`` that the room was built with, and only while they are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.core.events import RoomFact
from app.core.media import Media, Wants
from app.core.pcm import Chunk

ReportFact = Callable[[RoomFact], None]

ReportMedia = Callable[[Media], None]
"""Takes pictures and sound; whoever gives them does not wait, so it must not either."""


class Room(Protocol):
    """One participant, ours, in one room."""

    async def join(self) -> None:
        """Enter the room; then ``RoomJoined`` or ``RoomFailed`` is reported.

        Has its own deadline (15 s, the longest a Daily join is worth waiting for).
        """
        ...

    async def leave(self) -> None:
        """Leave and let go of everything. Can be called twice and at any time."""
        ...

    async def write_audio(self, epoch: int, chunk: Chunk) -> bool:
        """Hand over track audio, at most 40 ms ahead of the device; waits for the device's pace.

        Returns False when the frame was not handed over, because ``clear_audio`` came first or
        the room is gone.
        """
        ...

    async def send_message(
        self, message: str, *, epoch: int | None = None, silence: int = 0
    ) -> int:
        """Hand over one app message (JSON text), waiting while 4 are unconfirmed.

        ``epoch`` is set for audio and only for audio; ``silence`` counts the samples of padding at
        its end. Returns the message's id, which a later ``MessageFailed`` names, or 0 when it was
        not handed over because ``clear_audio`` came first or the room is gone.
        """
        ...

    async def clear_audio(self, epoch: int) -> int:
        """Drop all audio older than ``epoch`` that is not yet with the device.

        Every ``write_audio`` and audio ``send_message`` that still waits is abandoned. Returns
        the track samples (padding included) really handed to the device since joining.
        Raises TimeoutError after 250 ms without the sink's answer.
        """
        ...

    def watch(self, wants: Wants) -> None:
        """Give these pictures and this sound from now on, in place of what was wanted before.

        Can be called at any time, before ``join`` too; nothing is fetched, decoded or encoded that
        is not wanted. What the room cannot give does not come.
        """
        ...

    async def ping(self) -> None:
        """Raise ``RoomFailed`` (of ``app.errors``) when the link to the room is dead."""
        ...
