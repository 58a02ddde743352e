"""What the renderers hand out, and where it comes from: the media link of a sandbox's room."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

HEADER = struct.Struct("!BBHHHIQ")
"""Kind, length of a participant id, width, height, codec, sample rate, capture time."""

PICTURE, SOUND, PERSON = 1, 2, 3

MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AudioData:
    """Interleaved 16-bit PCM."""

    bits_per_sample: int
    sample_rate: int
    num_channels: int
    num_audio_frames: int
    audio_frames: bytes


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture."""

    buffer: bytes
    width: int
    height: int
    timestamp_us: int
    color_format: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of the link."""

    kind: int
    participant_id: str
    """Empty for the replica."""
    width: int
    height: int
    sample_rate: int
    payload: bytes


class MediaFeed:
    """Asks for what is subscribed to; what comes is taken on a thread of its own."""

    def __init__(self, url: str, take: Callable[[Piece], None]) -> None:
        """Have asked for nothing."""
        self._url = url
        self._take = take
        self._link: ClientConnection | None = None
        self._wants = {"video": False, "audio": False, "people": False}

    def want(self, **wants: bool) -> None:
        """Ask for this from now on, if it is news."""
        if wants == self._wants:
            return
        self._wants = wants
        with contextlib.suppress(OSError, InvalidStatus, ConnectionClosed):
            if self._link is None:
                self._link = connect(
                    self._url, proxy=None, compression=None, close_timeout=1, max_size=MAX_BYTES
                )
                threading.Thread(
                    target=self._read, args=(self._link,), name="fake-daily-media", daemon=True
                ).start()
            self._link.send(json.dumps({"op": "watch", **wants}))

    def close(self) -> None:
        """Let go of the link."""
        if self._link is not None:
            self._link.close()

    def _read(self, link: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in link:
                if not isinstance(message, bytes):
                    continue
                kind, length, width, height, _, rate, _ = HEADER.unpack_from(message)
                payload = HEADER.size + length
                who = message[HEADER.size : payload].decode()
                self._take(Piece(kind, who, width, height, rate, message[payload:]))
