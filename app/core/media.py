"""The avatar's picture and sound, and who wants what of it.

What viewers chose travels towards the room as ``Wants``, what there is comes back as ``Picture``
and ``Sound``. Two viewers whose choices are equal share every picture: it is encoded once.

Capture times are Unix microseconds on one clock for picture and sound: when the picture is shown,
when a piece's first sample sounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class PictureCodec(StrEnum):
    """How a picture is written down."""

    JPEG = "jpeg"
    """JFIF: full range BT.601."""
    I420 = "i420"
    """The planes Y, U, V without padding, as the room has them: BT.601, luma from 16 to 235."""
    RGB = "rgb"
    """Three bytes a pixel, row by row without padding, 0 to 255."""


class PictureChoice(Struct, frozen=True):
    """The pictures that a viewer wants. Equal choices are encoded once."""

    codec: PictureCodec
    max_fps: int
    """Pictures a second, at most."""
    max_width: int
    """Pixels; wider pictures are made smaller, in proportion."""


class Choices(Struct, frozen=True):
    """All that one viewer wants."""

    video: PictureChoice | None = None
    audio: int | None = None
    """The replica's sound, at so many Hertz."""
    user_audio: int | None = None
    """The sound of the people in the room, at so many Hertz."""


class Wants(Struct, frozen=True):
    """All that the viewers of one session want of its room."""

    pictures: frozenset[PictureChoice] = frozenset()
    sound: bool = False
    """The replica's."""
    people: bool = False
    """The sound of the people in the room, ourselves left out."""

    @classmethod
    def of(cls, viewers: Iterable[Choices]) -> Wants:
        """Add up what viewers want."""
        choices = tuple(viewers)
        return cls(
            frozenset(each.video for each in choices if each.video is not None),
            any(each.audio is not None for each in choices),
            any(each.user_audio is not None for each in choices),
        )

    def __bool__(self) -> bool:
        """Whether anything is wanted."""
        return bool(self.pictures) or self.sound or self.people


class RawPicture(Struct, frozen=True):
    """A picture as it comes from the room."""

    width: int
    height: int
    i420: bytes | memoryview
    """As ``PictureCodec.I420``; a chroma plane is half as wide and high, rounded up."""
    captured_us: int


class Picture(Struct, frozen=True):
    """An encoded picture, for all who made this choice."""

    choice: PictureChoice
    width: int
    height: int
    data: bytes
    captured_us: int
    skipped: int = 0
    """How many pictures of this choice were due just before it and were not encoded in time."""


class Sound(Struct, frozen=True):
    """A piece of sound, mono s16le, usually 20 ms."""

    pcm: bytes
    sample_rate: int
    captured_us: int
    participant_id: str | None = None
    """Whose it is; None: the replica's."""


Media = Picture | Sound
"""What a room gives to those who watch."""
