"""Notices a replica that is there and shows no life.

Two things are waited for. After audio was handed over: a word that the replica speaks. While
somebody watches: pictures. What a replica tells is not matched with what it was sent: any word is
a sign of life, so that wrong ids, doubles and late events alarm nobody.

A replica that has said that it speaks is believed to, until all that it got should have been
played. One that never says anything at all, on a room whose positions come from the clock, is
reported once; on ``track`` the device that consumes is enough of a sign until the replica has
shown that it tells more.

A stall is told once, and again only after a sign of life.
"""

from __future__ import annotations

from app.core.events import Stall
from app.core.pcm import Chunk, samples_to_ns
from app.core.run import PREBUFFER, SETTLE_NS


class Watchdog:
    """One session's. Plain calls with ``now`` in ns; ``stalls`` says what there is to report."""

    def __init__(self, patience: int) -> None:
        """Wait ``patience`` ns for each sign of life; nobody watches, and no replica listens."""
        self._patience = patience
        self._waits: dict[Stall, int] = {}
        """What is waited for, and since when."""
        self._stalled: set[Stall] = set()
        """What was reported and has not come back to life."""
        self._listens = False
        self._is_watched = False
        self._owed = 0
        """Samples handed over since the last sign of speech that must bring about another."""
        self._plays_until = 0
        """When all that was handed over is played by the clock, in ns; 0: long ago."""
        self._speaks = False
        """By the replica's last word."""
        self._is_believed = False
        """It is taken to be speaking what it gets."""
        self._tells = False
        """It has told something of its speech."""
        self._omits_starts = False
        """It has told a stop without a start: its word comes only at the end."""

    # --- what is waited for

    def next_deadline(self) -> int | None:
        """When ``stalls`` has something to report, in ns, unless there is a sign of life."""
        return min(map(self._due, self._waits)) if self._waits else None

    def stalls(self, now: int) -> tuple[Stall, ...]:
        """What has shown no life for too long; each is reported once."""
        due = tuple(stall for stall in self._waits if self._due(stall) <= now)
        for stall in due:
            del self._waits[stall]
            self._stalled.add(stall)
        return due

    def listens(self, now: int, *, listens: bool) -> None:
        """The replica is there and can be reached, or no longer: then nothing is waited for.

        What it told meanwhile was not heard, so afterwards it is believed to go on speaking.
        """
        if listens == self._listens:
            return
        self._listens = listens
        if not listens:
            self._owed = 0
            self._waits.clear()
            self._speaks = self._is_believed = True
        elif self._is_watched:
            self._expect(Stall.PICTURE, now)

    # --- speech

    def handed(self, chunk: Chunk, now: int) -> bool:
        """The room took a chunk. Silence obliges to nothing, nor less than a pre-buffer.

        Returns whether something is waited for that was not before.
        """
        begins = max(now, self._plays_until)
        if now > self._plays_until + SETTLE_NS:
            self._is_believed = False
        self._plays_until = begins + samples_to_ns(chunk.samples + chunk.silence)
        if self._is_believed or self._owed >= PREBUFFER or not chunk.sounds:
            return False
        self._owed += chunk.samples
        return self._owed >= PREBUFFER and self._expect(Stall.SPEECH, begins)

    def started(self, now: int) -> None:
        """The replica told that it speaks."""
        self._tell()
        self._speaks = self._is_believed = True
        self._plays_until = max(now, self._plays_until)

    def stopped(self) -> None:
        """The replica told that it fell silent."""
        self._tell()
        self._omits_starts = self._omits_starts or not self._speaks
        self._speaks = self._is_believed = False

    def consumed(self) -> None:
        """The audio device consumed track audio."""
        if not self._tells:
            self._answer()

    def cut(self) -> None:
        """What was handed over is interrupted: nothing of it is waited for."""
        self.pause()
        self._is_believed = False
        self._plays_until = 0

    def pause(self) -> None:
        """Nothing follows for now: a replica may wait for more before it begins."""
        self._owed = 0
        self._waits.pop(Stall.SPEECH, None)

    # --- pictures

    def watching(self, now: int, *, watched: bool) -> None:
        """Somebody watches, or nobody any more; again the same changes nothing."""
        if watched == self._is_watched:
            return
        self._is_watched = watched
        if not watched:
            self._waits.pop(Stall.PICTURE, None)
        elif self._listens:
            self._expect(Stall.PICTURE, now)

    def picture(self, now: int) -> None:
        """A picture of the replica came."""
        self._live(Stall.PICTURE)
        if self._is_watched and self._listens:
            self._expect(Stall.PICTURE, now)

    # --- inside

    def _due(self, stall: Stall) -> int:
        since = self._waits[stall]
        if stall is Stall.SPEECH and self._omits_starts:
            since = max(since, self._plays_until)
        return since + self._patience

    def _expect(self, stall: Stall, since: int) -> bool:
        if stall in self._waits or stall in self._stalled:
            return False
        self._waits[stall] = since
        return True

    def _live(self, stall: Stall) -> None:
        self._waits.pop(stall, None)
        self._stalled.discard(stall)

    def _tell(self) -> None:
        self._tells = True
        self._answer()

    def _answer(self) -> None:
        self._owed = 0
        self._live(Stall.SPEECH)
