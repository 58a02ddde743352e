"""The 28 bytes in front of every frame that a viewer gets: section 6 of the wire contract."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from app.core.media import PictureCodec

VERSION = 1

UNKNOWN_OFFSET = 0xFFFFFFFF
"""``offset_ms`` where no utterance sounds, or nobody knows how far it is."""

S16LE = 1
"""The one codec of sound."""

PICTURE_CODECS = {PictureCodec.JPEG: 1, PictureCodec.I420: 2, PictureCodec.RGB: 3}

SKIPPED = 1
"""The flag: frames of this kind were left out just before this one."""

_HEADER = struct.Struct("!BBBBIQIII")

HEADER_BYTES = _HEADER.size


class FrameKind(IntEnum):
    """What a frame holds."""

    VIDEO = 1
    AUDIO = 2
    """The avatar's."""
    USER_AUDIO = 3
    """That of a human participant."""


class FrameHeader(NamedTuple):
    """The fields in their order on the wire, without the version."""

    kind: int
    codec: int
    flags: int
    seq: int
    """1, 2, ...: every frame of this kind that this viewer was to get, those left out too."""
    captured_us: int
    """Unix microseconds."""
    number: int
    """The utterance's, 0 when none sounds; for ``USER_AUDIO`` the participant's."""
    offset_ms: int
    """How far into the utterance."""
    detail: int
    """A sound's sample rate; a picture's ``size``."""

    def pack(self) -> bytes:
        """Write it down."""
        return _HEADER.pack(VERSION, *self)

    @classmethod
    def unpack(cls, frame: bytes) -> FrameHeader:
        """Read it from the front of a frame. Raises ValueError for what is none of this version."""
        if len(frame) < HEADER_BYTES or frame[0] != VERSION:
            raise ValueError("not a frame of this version")
        return cls(*_HEADER.unpack_from(frame)[1:])


def size(width: int, height: int) -> int:
    """Return the ``detail`` of a picture: two 16-bit numbers."""
    return width << 16 | height
