from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from app.api.packets import may_begin_packet, read_packet


@given(st.binary(max_size=300), st.binary(max_size=9), st.binary(max_size=9))
def test_packet_is_read_where_it_stands(payload: bytes, before: bytes, after: bytes) -> None:
    """Payload and end are the ones that were written, whatever is around it."""
    frame = Frame(Opcode.BINARY, payload).serialize(mask=True)

    assert (payload, len(before + frame)) == read_packet(before + frame + after, len(before))


@pytest.mark.parametrize("length", [0, 125, 126, 65_535])
def test_every_part_of_a_packet_may_begin_one(length: int) -> None:
    """No part is taken for the whole, and each may become it."""
    payload = bytes(range(256)) * 256
    frame = Frame(Opcode.BINARY, payload[:length]).serialize(mask=True)

    assert (payload[:length], len(frame)) == read_packet(frame, 0)
    for part in {1, 2, 5, 6, 7, 8, len(frame) // 2, len(frame) - 1} - {0}:
        if part < len(frame):
            assert read_packet(frame[:part], 0) is None
            assert may_begin_packet(frame[:part])


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.TEXT, b"{}").serialize(mask=True),
        Frame(Opcode.BINARY, b"part", fin=False).serialize(mask=True),
        Frame(Opcode.CONT, b"part").serialize(mask=True),
        b"\xc2\x81\0\0\0\0x",  # squeezed by an extension
        Frame(Opcode.BINARY, b"unmasked").serialize(mask=False),
        Frame(Opcode.BINARY, bytes(65_536)).serialize(mask=True),
        Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True),
        Frame(Opcode.PING, b"").serialize(mask=True),
    ],
    ids=["text", "begun", "continued", "squeezed", "unmasked", "long", "close", "ping"],
)
def test_other_frames_are_left_alone(frame: bytes) -> None:
    """Whatever is no packet is for the parser that can do everything."""
    assert read_packet(frame, 0) is None
    assert not may_begin_packet(frame)
