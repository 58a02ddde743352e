"""A participant's link to its room: one WebSocket, the sandbox's stand-in for Daily's SDK.

Text, client to room::

    {"op": "message", "id": 7, "message": "<JSON text>", "epoch": 2, "silence": 0}
        answered by {"op": "sent", "id": 7} or {"op": "refused", "id": 7, "reason": "..."};
        ``epoch`` and ``silence`` (samples of padding at the end) only for audio
    {"op": "clear", "epoch": 3}     drops track audio of older epochs that the device has not begun;
        answered by {"op": "cleared", "epoch": 3, "samples": n}: begun since joining
    {"op": "microphone", "sample_rate": 48000}     from now on binary messages are what a person
        says; null for the track again
    {"op": "leave"}

Binary, client to room: a frame of the audio track: u32 epoch, u16 samples of padding at its end
(network byte order), then 24 kHz mono s16le, usually 20 ms. The replica speaks it. With the
microphone on: mono s16le of the rate that was named, at most 100 ms, which people hear.

Text, room to client::

    {"op": "joined", "id": own participant_id, "participants": [...]}     first
    {"op": "participant_joined" | "participant_left", "participant": {...}}
    {"op": "message", "from": participant_id, "message": object or string}
    {"op": "consumed", "samples": n, "at_ns": t}     the device has finished a frame
    {"op": "interrupted"}, {"op": "restored"}     messages in between are lost, unconfirmed
    {"op": "ended", "reason": "..."}     the conversation is over; the link closes

A participant is ``{"participant_id", "user_id", "name"}``.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import Annotated, Any, Protocol

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.core.pcm import MAX_RATE, MIN_RATE, SAMPLE_BYTES
from app.sandbox.device import Frame
from app.sandbox.rooms import Room
from app.sandbox.signalling import Member

MAX_WAITING = 2000
"""Operations that wait for a client that does not read; then it is put out of the room."""

CLOSE_TIMEOUT_S = 5.0
"""How long a client that does not read may delay its own farewell."""

OVER, BAD, TRY_LATER = 1000, 1008, 1013
"""Close codes: goodbye; what you said breaks the rules; you do not read."""

FRAME_HEADER = struct.Struct("!IH")

SPOKEN_AT_ONCE = 10
"""Messages a second that a microphone makes at least."""


class SendMessage(msgspec.Struct, tag_field="op", tag="message", frozen=True):
    """Send an app message."""

    id: int
    message: str
    epoch: int | None = None
    silence: int = 0


class Clear(msgspec.Struct, tag_field="op", tag="clear", frozen=True):
    """Drop track audio."""

    epoch: int


class Microphone(msgspec.Struct, tag_field="op", tag="microphone", frozen=True):
    """Say what binary messages are."""

    sample_rate: Annotated[int, msgspec.Meta(ge=MIN_RATE, le=MAX_RATE)] | None


class Leave(msgspec.Struct, tag_field="op", tag="leave", frozen=True):
    """Go out of the room."""


DECODER = msgspec.json.Decoder(SendMessage | Clear | Microphone | Leave)
ENCODER = msgspec.json.Encoder()


class Socket(Protocol):
    """What an outbox needs of a WebSocket."""

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        ...

    async def close(self, code: int) -> None:
        """Send a close frame."""
        ...


class LinkOutbox:
    """What waits to be sent to one client."""

    def __init__(self) -> None:
        """Have nothing to send."""
        self._waiting: deque[dict[str, Any]] = deque()
        self._wake = asyncio.Event()
        self._code: int | None = None
        """The close code, once the link is to close."""

    def post(self, operation: dict[str, Any]) -> None:
        """Send this soon; a client that has read nothing for too long is cut off instead."""
        if self._code is not None:
            return
        self._waiting.append(operation)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self.close(TRY_LATER)
        self._wake.set()

    def close(self, code: int = OVER) -> None:
        """Send what was posted, then hang up; the first code counts."""
        if self._code is None:
            self._code = code
        self._wake.set()

    async def drain(self, websocket: Socket) -> None:
        """Send until closed, then close the socket."""
        while True:
            while self._waiting:
                await websocket.send_text(ENCODER.encode(self._waiting.popleft()).decode())
            if self._code is not None:
                await websocket.close(self._code)
                return
            self._wake.clear()
            await self._wake.wait()


async def serve_link(websocket: WebSocket, room: Room, name: str) -> None:
    """Be the link of a new participant until it, or the conversation, is over.

    Raises RoomFull, before the upgrade.
    """
    outbox = LinkOutbox()
    member = room.join(name, outbox)
    try:
        await websocket.accept()
        writer = asyncio.create_task(_write(outbox, websocket), name="sandbox-link-writer")
        try:
            if not await _read(websocket, room, member):
                outbox.close(BAD)
        finally:
            room.leave(member)
            outbox.close()
            await asyncio.wait([writer], timeout=CLOSE_TIMEOUT_S)
            writer.cancel()
    finally:
        room.leave(member)


async def _write(outbox: LinkOutbox, websocket: WebSocket) -> None:
    try:
        await outbox.drain(websocket)
    except (WebSocketDisconnect, RuntimeError):
        # Starlette raises RuntimeError once the peer's close was seen: there is nobody to tell.
        outbox.close()


async def _read(websocket: WebSocket, room: Room, member: Member) -> bool:
    """Pass on what the client says until it goes; False when it says something wrong."""
    microphone: int | None = None
    while websocket.client_state is WebSocketState.CONNECTED:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            break
        data = event.get("bytes")
        if data is not None:
            if microphone is not None:
                if (
                    len(data) % SAMPLE_BYTES
                    or len(data) * SPOKEN_AT_ONCE > microphone * SAMPLE_BYTES
                ):
                    return False
                room.speak(member, data, microphone)
                continue
            if len(data) < FRAME_HEADER.size or len(data) % 2:
                return False
            epoch, silence = FRAME_HEADER.unpack_from(data)
            pcm = data[FRAME_HEADER.size :]
            room.frame(member, Frame(epoch, min(silence, len(pcm) // 2), pcm))
            continue
        try:
            operation = DECODER.decode(event["text"])
        except msgspec.DecodeError:
            return False
        match operation:
            case SendMessage():
                room.message(
                    member,
                    operation.id,
                    operation.message,
                    epoch=operation.epoch,
                    silence=operation.silence,
                )
            case Clear():
                room.clear(member, operation.epoch)
            case Microphone():
                microphone = operation.sample_rate
            case Leave():
                break
    return True
