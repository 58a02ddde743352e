"""The room as the session sees it: one Protocol, one implementation a kind of room.

A room speaks 24 kHz mono s16le. It reports facts (``app.core.events.RoomFact``) to the function
it was built with, always on the event loop and never from inside one of these calls. Nothing is
reported after ``leave`` has returned. Picture and sound take a way of their own, in the same
manner: to the ``ReportMedia`` that the room was built with, and only while they are wanted.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Protocol

from app.core.events import RoomFact
from app.core.media import Media, Wants
from app.core.pcm import Chunk
from app.core.spec import AudioPathName

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

    def attend(self, on_ready: Callable[[], None]) -> None:
        """Call this whenever ``ready_for`` is true again; a room that is gone never is.

        It may come before the fact that brought it about, but not before ``MessageFailed``.
        """
        ...

    def ready_for(self, path: AudioPathName) -> bool:
        """Whether one more piece of audio may be handed over now.

        On ``track`` not while the device has all that it may have ahead, on ``echo`` not while 4
        messages are unconfirmed or another one waits for its turn.
        """
        ...

    def write_audio(self, epoch: int, chunk: Chunk) -> None:
        """Hand over a frame of track audio; the room must be ready for it."""
        ...

    def send_audio(self, message: str, epoch: int, silence: int) -> int:
        """Hand over audio as an app message; the room must be ready for it.

        ``silence`` counts the samples of padding at its end. Returns the message's id, which a
        later ``MessageFailed`` names.
        """
        ...

    async def send_message(self, message: str) -> int:
        """Hand over one app message (JSON text) without audio, waiting while 4 are unconfirmed.

        Returns its id, or 0 when it was not handed over because the room is gone.
        """
        ...

    def clear_audio(self, epoch: int) -> Future[int]:
        """Drop all audio older than ``epoch`` that is not yet with the device.

        The result is the track samples (padding included) really handed to the device since
        joining. It is for the caller to bound the time that it waits, and to shield it then.
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
