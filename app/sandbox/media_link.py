"""A viewer's link to a room: one WebSocket for pictures and sound, apart from the events.

Text, client to room: ``{"op": "watch", "video": true, "audio": true, "people": false}``, at any
time; what is wanted now, in place of what was. Before the first nothing is sent, and what nobody
wants is not painted. ``"codec": "jpeg"`` asks for pictures as JPEG in place of I420.

Binary, room to client, network byte order:

====== ===== ==========================================================================
offset type  field
====== ===== ==========================================================================
0      u8    kind: 1 the replica's picture, 2 the replica's sound, 3 a person's sound
1      u8    n, the length of a participant id; 0 but for kind 3
2      u16   width of the picture, else 0
4      u16   height of the picture, else 0
6      u16   codec of a picture: 0 I420, 1 JPEG; else 0
8      u32   sample rate of the sound, Hz, else 0
12     u64   capture time, Unix µs: when the picture is shown, or its first sample sounds
20           the participant id, then the payload: I420 planes without padding, or s16le mono
====== ===== ==========================================================================

Kind 2 is 20 ms at 24 kHz, without a gap while the replica is in the room. Pictures come 25 times a
second; their luma is in the video range of BT.601, and they show how many samples the replica had
played at their capture time (see ``app.sandbox.face``). A client that does not read gets the newest
picture only, and loses sound older than 500 ms. When the room ends, the link is closed with 1000.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from enum import StrEnum
from typing import Protocol

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.sandbox.link import BAD, CLOSE_TIMEOUT_S, OVER
from app.sandbox.media import NOTHING, Piece, Sight, Wants
from app.sandbox.portrait import Portrait
from app.sandbox.rooms import Room

HEADER = struct.Struct("!BBHHHIQ")

PICTURE, SOUND, PERSON = 1, 2, 3

KEPT_NS = 500_000_000
"""Sound older than this, against the newest, is not worth sending."""


class Codec(StrEnum):
    """How pictures are sent."""

    I420 = "i420"
    JPEG = "jpeg"


class Watch(msgspec.Struct, tag_field="op", tag="watch", frozen=True):
    """What is wanted now."""

    video: bool = False
    audio: bool = False
    people: bool = False
    codec: Codec = Codec.I420


DECODER = msgspec.json.Decoder(Watch)


class Socket(Protocol):
    """What an outbox needs of a WebSocket."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        ...

    async def close(self, code: int) -> None:
        """Send a close frame."""
        ...


class MediaOutbox:
    """What waits to be sent to one viewer."""

    def __init__(self) -> None:
        """Have nothing to send."""
        self._sounds: deque[Piece] = deque()
        self._sight: Sight | None = None
        self._wake = asyncio.Event()
        self._code: int | None = None
        """The close code, once the link is to close."""
        self._codec = Codec.I420

    def want(self, watch: Watch) -> Wants:
        """Send pictures this way from now on, and forget what waits and is not wanted any more."""
        self._codec = watch.codec
        if not watch.video:
            self._sight = None
        self._sounds = deque(
            piece
            for piece in self._sounds
            if (watch.people if piece.participant_id else watch.audio)
        )
        return Wants(watch.video, watch.audio, watch.people)

    def see(self, sight: Sight) -> None:
        """Send this picture soon, in place of one that still waits."""
        self._sight = sight
        self._wake.set()

    def hear(self, piece: Piece) -> None:
        """Send this sound soon, unless it grows too old before."""
        self._sounds.append(piece)
        while piece.at - self._sounds[0].at > KEPT_NS:
            self._sounds.popleft()
        self._wake.set()

    def close(self, code: int = OVER) -> None:
        """Send what waits, then hang up; the first code counts."""
        if self._code is None:
            self._code = code
        self._wake.set()

    async def drain(self, websocket: Socket, portrait: Portrait, unix: int) -> None:
        """Send until closed, then close the socket; ``unix`` ns are between 1970 and 0."""
        while True:
            while self._sounds:
                await websocket.send_bytes(_sound(self._sounds.popleft(), unix))
            sight, self._sight = self._sight, None
            if sight is not None:
                await websocket.send_bytes(await self._picture(sight, portrait, unix))
            elif self._sounds:
                continue
            elif self._code is not None:
                await websocket.close(self._code)
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _picture(self, sight: Sight, portrait: Portrait, unix: int) -> bytes:
        if self._codec is Codec.JPEG:
            payload = await asyncio.to_thread(portrait.jpeg, sight.expression)
        else:
            payload = portrait.i420(sight.expression)
        codec = list(Codec).index(self._codec)
        at = (sight.at + unix) // 1000
        header = HEADER.pack(PICTURE, 0, portrait.width, portrait.height, codec, 0, at)
        return header + payload


def _sound(piece: Piece, unix: int) -> bytes:
    who = piece.participant_id.encode()
    kind = PERSON if who else SOUND
    at = (piece.at + unix) // 1000
    return HEADER.pack(kind, len(who), 0, 0, 0, piece.rate, at) + who + piece.pcm


async def serve_media(websocket: WebSocket, room: Room, portrait: Portrait) -> None:
    """Show and play the room to a viewer until it, or the conversation, is over."""
    outbox = MediaOutbox()
    await websocket.accept()
    writer = asyncio.create_task(
        _write(outbox, websocket, portrait, room.unix), name="sandbox-media-writer"
    )
    try:
        room.watch(outbox, NOTHING)
        if not await _read(websocket, room, outbox):
            outbox.close(BAD)
    finally:
        room.watch_no_more(outbox)
        outbox.close()
        await asyncio.wait([writer], timeout=CLOSE_TIMEOUT_S)
        writer.cancel()


async def _write(outbox: MediaOutbox, websocket: WebSocket, portrait: Portrait, unix: int) -> None:
    try:
        await outbox.drain(websocket, portrait, unix)
    except (WebSocketDisconnect, RuntimeError):
        # Starlette raises RuntimeError once the peer's close was seen: there is nobody to tell.
        outbox.close()


async def _read(websocket: WebSocket, room: Room, outbox: MediaOutbox) -> bool:
    """Follow the viewer's wishes until it goes; False when it says something wrong."""
    while websocket.client_state is WebSocketState.CONNECTED:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            break
        try:
            watch = DECODER.decode(event.get("text") or b"")
        except msgspec.DecodeError:
            return False
        room.watch(outbox, outbox.want(watch))
    return True
