"""A stream of the service, opened: what may go wrong with it is one line for people."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

CLOSE_TIMEOUT_S = 10.0
"""Longest wait for the closing handshake."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest message we take: a JPEG picture that compresses badly is smaller."""


class SpeakFailed(Exception):
    """Not all that was asked for was done; the text is one line for people."""

    def __init__(self, line: str, exit_code: int = 1) -> None:
        """Keep what to say and how to exit."""
        self.exit_code = exit_code
        super().__init__(line)


@asynccontextmanager
async def opened(url: str, headers: Mapping[str, str]) -> AsyncIterator[ClientConnection]:
    """Connect, and close at the end. Raises SpeakFailed when the service does not open it."""
    try:
        socket = await connect(
            url,
            additional_headers=headers,
            compression=None,  # never negotiated by the protocol
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_MESSAGE_BYTES,
        )
    except InvalidStatus as answered:
        response = answered.response
        raise refused(
            "the stream was refused", response.status_code, response.body or b""
        ) from None
    except (OSError, InvalidHandshake) as broken:
        raise SpeakFailed(f"the stream cannot be opened: {said(broken)}") from None
    async with socket:
        yield socket


def refused(what: str, status: int, body: bytes | bytearray) -> SpeakFailed:
    """Say it in the words of the problem document, if there is one."""
    try:
        problem = json.loads(body)
        return SpeakFailed(f"{what}: {problem['code']}: {problem['detail']}")
    except (ValueError, TypeError, KeyError):
        return SpeakFailed(f"{what} with status {status}")


def said(error: Exception) -> str:
    """Return an error's own words, or its name."""
    return str(error) or type(error).__name__
