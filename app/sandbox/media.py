"""What can be seen and heard in a room, for those who watch it.

Every 20 ms of the room's own time, while somebody watches, a piece of what the replica said is
told; at every second one a picture, which shows the moment the piece ends. Pictures are painted by
those who take them: what nobody takes costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from app.core.pcm import SAMPLE_RATE
from app.sandbox.agenda import Agenda
from app.sandbox.avatar import Avatar
from app.sandbox.ear import PIECE_NS, Ear
from app.sandbox.face import Expression
from app.sandbox.mimic import Mimic

PIECES_A_PICTURE = 2
"""25 pictures a second."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the replica looks like at a moment."""

    at: int
    """Monotonic ns."""
    expression: Expression


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that was heard."""

    at: int
    """When its first sample sounds, monotonic ns."""
    pcm: bytes
    """Mono s16le."""
    rate: int = SAMPLE_RATE
    participant_id: str = ""
    """The person who said it; empty for the replica."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What somebody watches."""

    video: bool = False
    audio: bool = False
    people: bool = False


NOTHING = Wants()


class Viewer(Protocol):
    """Somebody who watches; never blocks."""

    def see(self, sight: Sight) -> None:
        """Take what the replica looks like now; what was seen before is past."""
        ...

    def hear(self, piece: Piece) -> None:
        """Take what was heard."""
        ...

    def close(self) -> None:
        """It is over."""
        ...


class Media:
    """The eyes and ears of one room."""

    def __init__(self, avatar: Avatar, agenda: Agenda) -> None:
        """Be watched by nobody."""
        self._avatar = avatar
        self._agenda = agenda
        self._viewers: dict[Viewer, Wants] = {}
        self._mimic = Mimic()
        self._ear: Ear | None = None
        """None while nobody watches the replica."""
        self._pieces = 0

    def watch(self, now: int, viewer: Viewer, wants: Wants) -> None:
        """Give a viewer what it wants from now on, in place of what it wanted before."""
        self._viewers[viewer] = wants
        if self._ear is None and self._is_watched():
            self._ear = Ear(now)
            self._mimic = Mimic()
            self._avatar.listen(now)
            self._agenda.add(now + PIECE_NS, self._tick)

    def watch_no_more(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.pop(viewer, None)

    def say(self, piece: Piece) -> None:
        """Let a person be heard."""
        for viewer, wants in self._viewers.items():
            if wants.people:
                viewer.hear(piece)

    def end(self) -> None:
        """Say goodbye to all."""
        for viewer in self._viewers:
            viewer.close()
        self._viewers.clear()

    def _is_watched(self) -> bool:
        return any(wants.video or wants.audio for wants in self._viewers.values())

    def _tick(self, at: int) -> None:
        assert self._ear is not None  # set when this was planned
        if not self._is_watched():
            self._ear = None
            self._avatar.listen_no_more()
            return
        self._agenda.add(at + PIECE_NS, self._tick)
        pcm = self._ear.piece(self._avatar.listen(at))
        self._mimic.hear(pcm)
        self._pieces += 1
        if not self._avatar.cards:
            return
        piece = Piece(at - PIECE_NS, pcm)
        for viewer, wants in self._viewers.items():
            if wants.audio:
                viewer.hear(piece)
        if self._pieces % PIECES_A_PICTURE or not self._avatar.is_seen(at):
            return
        sight = Sight(at, self._mimic.expression(at, self._avatar.played(at)))
        for viewer, wants in self._viewers.items():
            if wants.video:
                viewer.see(sight)
