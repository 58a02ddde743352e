"""What the service and a room worker say to each other, and how it is written.

A message is a length (u32, network byte order) and so many bytes of MessagePack. Both ends are of
one release, so the fields go without names. Times do not cross: each end has its own clock.

A worker holds a few rooms; ``room`` is the number that the service gave to one.

Picture and sound of the rooms come on a link of their own, from the worker only, in the same form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from app.core.events import Participant
from app.core.media import Picture, Sound, Wants

MAX_BYTES = 1024 * 1024
"""Largest message; a room's app messages are far smaller."""

MEDIA_MAX_BYTES = 8 * 1024 * 1024
"""Largest message with media; 1920x1080 as RGB is 6.2 MB."""

_LENGTH = struct.Struct("!I")


class LinkBroken(Exception):
    """What came cannot be a message: nothing after it can be understood either."""


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """One message of either side."""


# --- from the service -------------------------------------------------------------------------


class Join(_Message, tag="join", frozen=True):
    """Enter a room; answered by ``Joined`` or ``Failed``."""

    room: int
    url: str
    token: str | None
    name: str
    track: bool
    """Whether to publish the audio track ``stream``."""
    replica_name: str = ""
    """Who bears it is the replica, where user ids do not say who is."""


class Leave(_Message, tag="leave", frozen=True):
    """Leave a room and let go of everything; answered by ``Left``."""

    room: int


class Write(_Message, tag="write", frozen=True):
    """One frame of track audio, 24 kHz mono s16le; answered by ``Consumed`` once it has sounded."""

    room: int
    epoch: int
    pcm: bytes


class Send(_Message, tag="send", frozen=True):
    """One app message; answered by ``Sent``, ``Refused`` or ``Unanswered``."""

    room: int
    number: int
    message: str
    """JSON."""


class Clear(_Message, tag="clear", frozen=True):
    """Drop all track audio of older epochs that the device does not have; answered, ``Cleared``."""

    room: int
    epoch: int


class Watch(_Message, tag="watch", frozen=True):
    """Show this of a room from now on, in place of what was wanted before."""

    room: int
    wants: Wants


class Ping(_Message, tag="ping", frozen=True):
    """Show that you live; answered by ``Pong``."""


Order = Join | Leave | Write | Send | Clear | Watch | Ping


# --- from the worker --------------------------------------------------------------------------


class Ready(_Message, tag="ready", frozen=True):
    """The worker has started and takes rooms."""


class Pong(_Message, tag="pong", frozen=True):
    """The worker lives."""


class Joined(_Message, tag="joined", frozen=True):
    """We are in the room."""

    room: int
    participants: tuple[Participant, ...]
    """Who was there before us."""
    participant_id: str
    """Our own."""


class Failed(_Message, tag="failed", frozen=True):
    """The room could not be entered, or we were put out of it; all that follows is ``Left``."""

    room: int
    reason: str
    again: bool
    """Whether it may go well another time."""


class Left(_Message, tag="left", frozen=True):
    """Nothing is left of our stay in the room."""

    room: int


class Came(_Message, tag="came", frozen=True):
    """Somebody is in the room."""

    room: int
    participant: Participant


class Went(_Message, tag="went", frozen=True):
    """Somebody is not in the room any more."""

    room: int
    participant: Participant


class Said(_Message, tag="said", frozen=True):
    """An app message came."""

    room: int
    message: str
    """JSON of what came: an object, or a string that holds JSON."""


class Consumed(_Message, tag="consumed", frozen=True):
    """The device has played one frame."""

    room: int
    samples: int


class Cleared(_Message, tag="cleared", frozen=True):
    """What waited is dropped."""

    room: int
    epoch: int
    samples: int
    """Track samples that the device got since joining."""


class Sent(_Message, tag="sent", frozen=True):
    """A message was taken by the room."""

    room: int
    number: int


class Refused(_Message, tag="refused", frozen=True):
    """A message was not taken by the room."""

    room: int
    number: int
    reason: str
    too_large: bool


class Unanswered(_Message, tag="unanswered", frozen=True):
    """Nobody knows what became of a message."""

    room: int
    number: int


class Interrupted(_Message, tag="interrupted", frozen=True):
    """The room's signalling is interrupted."""

    room: int


class Restored(_Message, tag="restored", frozen=True):
    """The room's signalling works again."""

    room: int


OfRoom = (
    Joined
    | Failed
    | Left
    | Came
    | Went
    | Said
    | Consumed
    | Cleared
    | Sent
    | Refused
    | Unanswered
    | Interrupted
    | Restored
)
"""What concerns one room."""

Report = Ready | Pong | OfRoom


# --- from the worker, on the media link ---------------------------------------------------------


class Shown(_Message, tag="shown", frozen=True):
    """A picture of the replica."""

    room: int
    picture: Picture


class Heard(_Message, tag="heard", frozen=True):
    """A piece of sound of the replica or of somebody else in the room."""

    room: int
    sound: Sound


OfMedia = Shown | Heard


# --- how it is written ------------------------------------------------------------------------

T = TypeVar("T", bound=_Message)


def encode(message: Order | Report | OfMedia) -> bytes:
    """Write one message, with its length. Raises ``LinkBroken`` when it is too large."""
    body = msgspec.msgpack.encode(message)
    limit = MEDIA_MAX_BYTES if isinstance(message, OfMedia) else MAX_BYTES
    if len(body) > limit:
        raise LinkBroken(f"a message has {len(body)} bytes; {limit} fit")
    return _LENGTH.pack(len(body)) + body


class LinkReader(Generic[T]):
    """Puts messages together from pieces of any size."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[T], max_bytes: int = MAX_BYTES) -> None:
        """Have read nothing."""
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """Take a piece; yields the messages that are now whole. Raises ``LinkBroken``."""
        held = self._held
        held += data
        start = 0
        try:
            while len(held) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(held, start)
                if length > self._max_bytes:
                    raise LinkBroken(f"a message of {length} bytes is announced")
                end = start + _LENGTH.size + length
                if len(held) < end:
                    return
                try:
                    with memoryview(held) as view, view[start + _LENGTH.size : end] as body:
                        message = self._decoder.decode(body)
                except msgspec.DecodeError as error:
                    raise LinkBroken(f"a message cannot be understood: {error}") from error
                start = end
                yield message
        finally:
            del held[:start]


def order_reader() -> LinkReader[Order]:
    """Make a reader for the worker's end."""
    return LinkReader(msgspec.msgpack.Decoder(Order))


def report_reader() -> LinkReader[Report]:
    """Make a reader for the service's end."""
    return LinkReader(msgspec.msgpack.Decoder(Report))


def media_reader() -> LinkReader[OfMedia]:
    """Make a reader for the service's end of the media link."""
    return LinkReader(msgspec.msgpack.Decoder(OfMedia), MEDIA_MAX_BYTES)
