"""Packets of audio in what a connection receives: whole, masked, unfragmented binary frames.

Nearly all that a producer sends is one of these. The way of all messages, through a parser that can
do everything, a queue and a task, costs several times what is then done with such a packet.
"""

from __future__ import annotations

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # its quicker one

_WHOLE_BINARY = 0x82
"""The first byte: FIN and the opcode, no extension (RFC 6455, 5.2)."""

_MASKED = 0x80
"""Of the second byte, as in all that a client sends; the rest is the length, or where it is."""

_LENGTH_16 = 126

_SHORTEST = 6
"""Bytes of a frame without payload."""


def read_packet(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Read the packet that begins at ``at``.

    Returns its payload and where it ends; None when this is something else or not all of it.
    """
    if len(data) - at < _SHORTEST or data[at] != _WHOLE_BINARY:
        return None
    length = data[at + 1] - _MASKED
    head = at + _SHORTEST
    if length == _LENGTH_16:
        length = data[at + 2] << 8 | data[at + 3]
        head += 2
    elif not 0 <= length < _LENGTH_16:
        return None
    end = head + length
    if end > len(data):
        return None
    return apply_mask(data[head:end], data[head - 4 : head]), end


def may_begin_packet(data: bytes) -> bool:
    """Whether all of ``data`` may be the first part of a packet."""
    return data[0] == _WHOLE_BINARY and (
        len(data) == 1 or _MASKED <= data[1] <= _MASKED + _LENGTH_16
    )
