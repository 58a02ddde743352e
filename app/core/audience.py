"""The streams beside the producer's: controllers and observers, and how each comes back."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from app.core.roles import Role

MAX_LOST = 100
"""Lost streams that may come back; of more the oldest are forgotten."""


@dataclass(eq=False, slots=True)
class Seat:
    """One stream that is not the producer's."""

    role: Role
    token: str = field(repr=False)
    """Its resume token: of the last ``hello``."""
    received: int = 0
    """Messages of this stream handled so far."""


class Audience:
    """A session's."""

    def __init__(self) -> None:
        """Make an empty one."""
        self._seated: dict[Seat, None] = {}
        self._lost: dict[Seat, None] = {}

    def sit(self, role: Role, token: str) -> Seat:
        """Let a new stream in."""
        seat = Seat(role, token)
        self._seated[seat] = None
        return seat

    def find(self, token: str) -> Seat | None:
        """The stream with this resume token; each is compared, so the time tells nothing."""
        found = None
        for seat in self._all():
            if hmac.compare_digest(seat.token.encode(), token.encode()):
                found = seat
        return found

    def resume(self, seat: Seat, token: str) -> Seat:
        """Go on with a stream on another connection, under a new token; the old one is worthless.

        The connection before, if it still stands, hears on but cannot come back.
        """
        self._forget(seat)
        after = Seat(seat.role, token, seat.received)
        self._seated[after] = None
        return after

    def leave(self, seat: Seat, *, clean: bool) -> None:
        """A stream is gone; ``clean``: for good. One that went on elsewhere changes nothing."""
        was_seated = seat in self._seated
        self._forget(seat)
        if was_seated and not clean:
            self._lost[seat] = None
            if len(self._lost) > MAX_LOST:
                self._forget(next(iter(self._lost)))

    def _all(self) -> Iterator[Seat]:
        return chain(self._seated, self._lost)

    def _forget(self, seat: Seat) -> None:
        self._seated.pop(seat, None)
        self._lost.pop(seat, None)
