from __future__ import annotations

import pytest

from app.core.frame_header import (
    HEADER_BYTES,
    PICTURE_CODECS,
    S16LE,
    SKIPPED,
    UNKNOWN_OFFSET,
    FrameHeader,
    FrameKind,
    size,
)
from app.core.media import PictureCodec


def test_picture_is_written_as_the_contract_says() -> None:
    """Every field stands at its offset, in network byte order."""
    header = FrameHeader(
        FrameKind.VIDEO,
        PICTURE_CODECS[PictureCodec.I420],
        SKIPPED,
        0x01020304,
        0x05060708090A0B0C,
        7,
        1500,
        size(1280, 720),
    )
    expected = bytes.fromhex("01010201 01020304 05060708090a0b0c 00000007 000005dc 0500 02d0")

    assert 28 == HEADER_BYTES
    assert expected == header.pack()
    assert header == FrameHeader.unpack(expected + b"payload")


def test_sound_has_its_rate_where_a_picture_has_its_size() -> None:
    """Sound of nobody's utterance: number 0 and an unknown offset."""
    header = FrameHeader(FrameKind.AUDIO, S16LE, 0, 1, 0, 0, UNKNOWN_OFFSET, 48_000)

    assert bytes.fromhex("00000000 ffffffff 0000bb80") == header.pack()[16:]


@pytest.mark.parametrize("frame", [b"", bytes(27), bytes([2]) + bytes(27)])
def test_what_is_no_frame(frame: bytes) -> None:
    """Too little, or another version, is refused."""
    with pytest.raises(ValueError, match="version"):
        FrameHeader.unpack(frame)
