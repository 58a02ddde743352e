"""What the holder of a session token, or a stream that asked for less, may do.

::

    observe ─▶ receives, looks at its session, watches the avatar
    control ─▶ also interrupts, pauses, sends Tavus interactions, keeps the session alive
    produce ─▶ also sends audio
"""

from __future__ import annotations

from enum import StrEnum

from app.core import wire_in


class Role(StrEnum):
    """Each may do what the one before it may."""

    OBSERVE = "observe"
    CONTROL = "control"
    PRODUCE = "produce"

    def covers(self, other: Role) -> bool:
        """Whether this role may do all that ``other`` may."""
        ranks = tuple(Role)
        return ranks.index(self) >= ranks.index(other)

    def at_most(self, other: Role) -> Role:
        """The lower of the two."""
        return other if self.covers(other) else self


_FOR_OBSERVE = (wire_in.Ping, wire_in.FramesSubscribe, wire_in.FramesUnsubscribe)
_FOR_CONTROL = (
    wire_in.PlaybackPause,
    wire_in.PlaybackResume,
    wire_in.SessionKeepalive,
    wire_in.Interrupt,
    wire_in.TavusSend,
)
"""Whatever is in neither of the two is the producer's."""


def needed_for(message: wire_in.ClientMessage) -> Role:
    """The least role that may send this message on the stream."""
    if isinstance(message, _FOR_OBSERVE):
        return Role.OBSERVE
    if isinstance(message, _FOR_CONTROL):
        return Role.CONTROL
    return Role.PRODUCE
