"""A ``Room`` in the sandbox: the participant's end of the link that ``app.sandbox.link`` describes.

What is handed over waits in a queue for the link. Credits bound it: at most 4 messages (of 4096
bytes as Daily limits them, doubled at worst by quoting) and 40 ms of track audio are unconfirmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from app import errors
from app.core.events import (
    AppMessageReceived,
    AudioConsumed,
    LinkInterrupted,
    LinkRestored,
    MessageFailed,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    RoomFact,
    RoomFailed,
    RoomJoined,
)
from app.core.media import Wants
from app.core.pcm import Chunk
from app.core.spec import AudioPathName
from app.runtime.clock import NS_PER_S, Clock, Handle
from app.runtime.credits import Credits, Frames
from app.runtime.encoders import Encoders
from app.runtime.media_sandbox import SandboxMedia
from app.runtime.room import ReportFact, ReportMedia
from app.runtime.tasks import Tasks

JOIN_TIMEOUT_S = 15.0
"""The longest a join is worth waiting for."""

LEAVE_TIMEOUT_S = 2.0
"""Longest wait for the link's closing handshake; then the connection is dropped."""

PING_TIMEOUT_S = 5.0

CONFIRM_NS = 5 * NS_PER_S
"""So long after it was handed over an unconfirmed message counts as lost."""

MESSAGES_AHEAD = 4
FRAMES_AHEAD = 2
"""What may be unconfirmed: messages, and 20 ms frames of track audio."""

MAX_BYTES = 1024 * 1024
"""Largest message of the link; a room's app messages are far smaller."""

OUTGOING = 64
"""Most messages of the link that wait; it is far gone with more than credits allow for a minute."""

FRAME_HEADER = struct.Struct("!IH")


class SandboxRoom:
    """Our participant in a sandbox room."""

    def __init__(  # noqa: PLR0917  # who and where, then whom to tell, then what to run on
        self,
        url: str,
        token: str | None,
        name: str,
        report: ReportFact,
        show: ReportMedia,
        encoders: Encoders,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        """Be outside. ``url`` is the ``conversation_url``, ``token`` its ``meeting_token``."""
        self._url = link_url(url, token, name)
        media_url = link_url(url, token, name, "media")
        self._media = SandboxMedia(media_url, show, encoders, clock, tasks)
        self._report_fact = report
        self._clock = clock
        self._tasks = tasks
        self._connection: ClientConnection | None = None
        self._outgoing: asyncio.Queue[str | bytes | None] = asyncio.Queue(OUTGOING)
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._joined: asyncio.Future[None] | None = None
        self._left = False
        self._dead = False
        self._shut_down = False
        self._messages = Credits(MESSAGES_AHEAD)
        self._frames = Frames(FRAMES_AHEAD)
        self._message_ids = 0
        self._unconfirmed: dict[int, int] = {}
        """Message id → when it was handed over, ns; oldest first."""
        self._watch: Handle | None = None
        self._clears: dict[int, list[asyncio.Future[int]]] = {}

    # --- Room

    async def join(self) -> None:
        """Enter the room; then ``RoomJoined`` or ``RoomFailed`` is reported."""
        self._joined = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                connection = await connect(
                    self._url,
                    compression=None,
                    max_size=MAX_BYTES,
                    open_timeout=None,
                    close_timeout=LEAVE_TIMEOUT_S,
                    proxy=None,
                )
                self._connection = connection
                if self._left:
                    connection.transport.abort()
                    return
                self._reader = self._tasks.spawn("room-link", self._read(connection))
                self._writer = self._tasks.spawn("room-link writer", self._write(connection))
                await self._joined
        except (OSError, TimeoutError, WebSocketException) as error:
            self._fail_soon(_why(error))

    async def leave(self) -> None:
        """Leave and let go of everything. Can be called twice and at any time."""
        first, self._left = not self._left, True
        self._let_go()
        connection = self._connection
        if connection is None or not first:
            return
        self._say({"op": "leave"})
        self._put(None)
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=LEAVE_TIMEOUT_S)
            self._writer.cancel()
        await connection.close()
        if self._reader is not None:
            self._reader.cancel()

    def attend(self, on_ready: Callable[[], None]) -> None:
        """Call this whenever audio may be handed over again."""
        self._frames.attend(on_ready)
        self._messages.attend(on_ready)

    def ready_for(self, path: AudioPathName) -> bool:
        """Whether one more piece of audio may be handed over now."""
        if self._connection is None:
            return False
        return (self._frames if path is AudioPathName.TRACK else self._messages).ready

    def write_audio(self, epoch: int, chunk: Chunk) -> None:
        """Hand over a frame of track audio."""
        self._frames.wrote(epoch, chunk.length)
        self._put(FRAME_HEADER.pack(epoch, chunk.silence) + chunk.pcm)

    def send_audio(self, message: str, epoch: int, silence: int) -> int:
        """Hand over audio as an app message."""
        self._messages.grab()
        return self._send(message, epoch=epoch, silence=silence)

    async def send_message(self, message: str) -> int:
        """Hand over one app message, waiting while 4 are unconfirmed."""
        if self._connection is None:
            return 0
        return await self._messages.use(lambda: self._send(message))

    def clear_audio(self, epoch: int) -> asyncio.Future[int]:
        """Drop all audio older than ``epoch`` that is not yet with the device."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._gone or self._connection is None:
            answer.set_result(self._frames.consumed)  # nothing reaches the device any more
            return answer
        self._clears.setdefault(epoch, []).append(answer)
        self._say({"op": "clear", "epoch": epoch})
        return answer

    def watch(self, wants: Wants) -> None:
        """Give these pictures and this sound from now on."""
        self._media.watch(wants)

    async def ping(self) -> None:
        """Raise ``RoomFailed`` (of ``app.errors``) when the link to the room is dead."""
        if self._gone or self._connection is None:
            raise errors.RoomFailed("there is no link to the room")
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await (await self._connection.ping())
        except (TimeoutError, WebSocketException) as error:
            raise errors.RoomFailed("the link to the room does not answer") from error

    # --- the link

    @property
    def _gone(self) -> bool:
        return self._left or self._dead

    def _send(self, message: str, **fields: int) -> int:
        self._message_ids += 1
        number = self._message_ids
        self._unconfirmed[number] = self._clock.now()
        self._watch_confirmations()
        self._say({"op": "message", "id": number, "message": message, **fields})
        return number

    def _say(self, operation: dict[str, Any]) -> None:
        self._put(msgspec.json.encode(operation).decode())

    def _put(self, data: str | bytes | None) -> None:
        """Send this after all that waits; None is the end."""
        try:
            self._outgoing.put_nowait(data)
        except asyncio.QueueFull:
            if self._connection is not None:
                self._connection.transport.abort()

    async def _write(self, connection: ClientConnection) -> None:
        """Send what is handed over until the link ends, of which the reader tells."""
        with contextlib.suppress(WebSocketException):
            while (data := await self._outgoing.get()) is not None:
                await connection.send(data)

    async def _read(self, connection: ClientConnection) -> None:
        """Report what the room says until the link ends."""
        why = "the link to the room was lost"
        try:
            async for text in connection:
                try:
                    operation = msgspec.json.decode(text)
                except RecursionError:
                    continue  # somebody's app message: it must not cost us the room
                if operation["op"] == "ended":
                    why = f"the room was closed: {operation['reason']}"
                self._take(operation)
        except WebSocketException:
            pass  # lost without a close frame: the same as with one
        except (msgspec.DecodeError, LookupError, TypeError):
            why = "the room said something that cannot be understood"
            connection.transport.abort()
        self._put(None)
        if not self._gone:
            self._let_go()
            self._dead = True
            if not self._shut_down:
                self._report(RoomFailed(errors.RoomFailed(why)))

    def _take(self, operation: dict[str, Any]) -> None:
        match operation["op"]:
            case "consumed":
                self._take_consumed(operation["samples"])
            case "sent":
                self._confirm(operation["id"])
            case "refused":
                self._refuse(operation["id"], operation["reason"])
            case "message":
                self._take_message(operation["message"])
            case "cleared":
                self._take_cleared(operation["epoch"], operation["samples"])
            case "interrupted":
                self._report(LinkInterrupted())
            case "restored":
                self._report(LinkRestored())
            case "participant_joined":
                self._report(ParticipantJoined(_participant(operation["participant"])))
            case "participant_left":
                self._report(ParticipantLeft(_participant(operation["participant"])))
            case "joined":
                there = tuple(_participant(card) for card in operation["participants"])
                if self._joined is not None and not self._joined.done():
                    self._joined.set_result(None)
                self._report(RoomJoined(there))

    def _take_message(self, message: dict[str, Any] | str) -> None:
        if isinstance(message, dict):
            event = message.get("event_type")
            self._shut_down = self._shut_down or event == "system.shutdown"
        elif '"system.shutdown"' in message:
            self._shut_down = True
        self._report(AppMessageReceived(message, self._clock.now()))

    def _take_consumed(self, samples: int) -> None:
        self._frames.played(samples)
        self._report(AudioConsumed(samples, self._clock.now()))

    def _take_cleared(self, epoch: int, samples: int) -> None:
        self._frames.cleared(epoch, samples)
        for answer in self._clears.pop(epoch, []):
            if not answer.done():
                answer.set_result(samples)

    # --- confirmations

    def _confirm(self, number: int) -> None:
        """Note that the room has answered for a message, if it was not given up before."""
        if self._unconfirmed.pop(number, None) is not None:
            self._messages.give()

    def _refuse(self, number: int, reason: str) -> None:
        if number in self._unconfirmed:
            # Told before its place is free: nothing overtakes what was refused.
            self._report(MessageFailed(number, True, reason, "larger than" in reason))
            self._confirm(number)

    def _watch_confirmations(self) -> None:
        """See to it that the oldest unconfirmed message is given up in time."""
        if self._watch is None and self._unconfirmed:
            oldest = next(iter(self._unconfirmed.values()))
            self._watch = self._clock.call_at(oldest + CONFIRM_NS, self._give_up_unconfirmed)

    def _give_up_unconfirmed(self) -> None:
        self._watch = None
        late = self._clock.now() - CONFIRM_NS
        for number in [number for number, at in self._unconfirmed.items() if at <= late]:
            self._report(MessageFailed(number, False, "the room did not confirm it"))
            self._confirm(number)
        self._watch_confirmations()

    # --- reporting and ending

    def _report(self, fact: RoomFact) -> None:
        if not self._left:
            self._report_fact(fact)

    def _fail_soon(self, why: str) -> None:
        """Report a failed join, outside of the call that asked for it."""
        if self._gone:
            return
        self._let_go()
        self._dead = True
        if self._connection is not None:
            self._connection.transport.abort()
        fact = RoomFailed(errors.RoomFailed(why))
        asyncio.get_running_loop().call_soon(self._report, fact)

    def _let_go(self) -> None:
        """Free everybody who waits for the room."""
        self._media.close()
        self._frames.close()
        self._messages.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for answers in self._clears.values():
            for answer in answers:
                if not answer.done():
                    answer.set_result(self._frames.consumed)
        self._clears.clear()
        if self._joined is not None and not self._joined.done():
            self._joined.set_result(None)


def link_url(conversation_url: str, token: str | None, name: str, link: str = "link") -> str:
    """The address of a link into the room of this ``conversation_url``."""
    parts = urlsplit(conversation_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    query = urlencode({"name": name} if token is None else {"name": name, "token": token})
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/{link}", query, ""))


def _participant(card: dict[str, Any]) -> Participant:
    return Participant(card["participant_id"], card["user_id"], card["name"])


def _why(error: Exception) -> str:
    """What went wrong with a join, without the address: it holds a secret."""
    if isinstance(error, TimeoutError):
        return f"the room could not be joined within {JOIN_TIMEOUT_S:.0f} s"
    if isinstance(error, InvalidStatus):
        body = (error.response.body or b"").decode(errors="replace")
        return f"the room refused us: {error.response.status_code} {body}".rstrip()
    return f"the room could not be reached: {type(error).__name__}"
