"""A ``Room`` in virtual time: keeps what it gets, and paces, waits, drops and fails as told."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app import errors
from app.core import events as e
from app.core.media import Wants
from app.core.pcm import SAMPLE_BYTES, Chunk, samples_to_ns
from app.core.spec import AudioPathName
from app.runtime.clock import Clock
from app.runtime.credits import Credits
from app.runtime.room import ReportFact, ReportMedia

REPLICA = e.Participant("p-replica", "tavus-replica-r1", "Anna")
ALICE = e.Participant("p-alice", "alice", "Alice")

MESSAGES_AHEAD = 4
FRAMES_AHEAD = 2


@dataclass
class Sent:
    """One app message that the room took."""

    number: int
    message: dict[str, Any]
    epoch: int | None

    @property
    def event_type(self) -> str:
        return str(self.message["event_type"])


@dataclass
class FakeRoom:
    """One participant in one room. ``report`` is called from the event loop, never from inside."""

    report: ReportFact
    clock: Clock
    present: tuple[e.Participant, ...] = (REPLICA,)
    """Who is there before us."""
    join_fails: errors.BridgeError | None = None
    holds_join: asyncio.Event | None = None
    """A join waits for it."""
    confirms: bool = True
    """Whether each message is confirmed at once; else 4 may be unconfirmed, see ``confirm``."""
    holds_clear: asyncio.Event | None = None
    """A clear waits for it."""
    drops: bool = False
    """Whether each message fails right after it was taken."""
    log: list[str] = field(default_factory=list)
    """What happened, in order."""
    sent: list[Sent] = field(default_factory=list)
    frames: list[Chunk] = field(default_factory=list)
    """Track audio that the device got."""
    handed: int = 0
    """Track samples that the device got, padding included."""
    has_left: bool = False
    epoch: int = 0
    show: ReportMedia = lambda _media: None
    """Takes what is to be seen and heard."""
    watched: list[Wants] = field(default_factory=list)
    """What was wanted of it, in order."""

    def __post_init__(self) -> None:
        self._is_lost = False
        self._messages = Credits(MESSAGES_AHEAD)
        self._in_device: deque[int] = deque()
        self._answering: dict[asyncio.Future[int], asyncio.Task[None]] = {}
        """Clears that are held."""
        self._on_ready: Callable[[], None] = lambda: None

    # --- Room

    async def join(self) -> None:
        self.log.append("join")
        if self.holds_join is not None:
            await self.holds_join.wait()
        failure = self.join_fails
        self._soon(e.RoomJoined(self.present) if failure is None else e.RoomFailed(failure))

    async def leave(self) -> None:
        self.has_left = True
        self.log.append("leave")
        self._messages.close()
        for cleared, answering in self._answering.items():
            answering.cancel()
            cleared.set_result(self.handed)
        self._answering.clear()

    def attend(self, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        self._messages.attend(on_ready)

    def ready_for(self, path: AudioPathName) -> bool:
        if self.has_left or self._is_lost:
            return False
        if path is AudioPathName.TRACK:
            return len(self._in_device) < FRAMES_AHEAD
        return self.confirms or self._messages.ready

    def write_audio(self, epoch: int, chunk: Chunk) -> None:
        assert epoch >= self.epoch, "a stale frame"
        assert self.ready_for(AudioPathName.TRACK)
        samples = len(chunk.pcm) // SAMPLE_BYTES
        self.frames.append(chunk)
        self.handed += samples
        self._in_device.append(samples)
        if len(self._in_device) == 1:
            self._consume_later(samples)

    def send_audio(self, message: str, epoch: int, silence: int) -> int:  # as it is
        assert epoch >= self.epoch, "stale audio"
        assert self.ready_for(AudioPathName.ECHO)
        if not self.confirms:
            self._messages.grab()
        return self._send(message, epoch)

    async def send_message(self, message: str) -> int:
        if self.has_left or self._is_lost:
            return 0
        if self.confirms:
            return self._send(message, None)
        return await self._messages.use(lambda: self._send(message, None))

    def _send(self, message: str, epoch: int | None) -> int:
        number = len(self.sent) + 1
        sent = Sent(number, json.loads(message), epoch)
        self.sent.append(sent)
        self.log.append(sent.event_type.removeprefix("conversation."))
        if self.drops:
            self._soon(e.MessageFailed(number, definite=True, reason="dropped"))
        return number

    def clear_audio(self, epoch: int) -> asyncio.Future[int]:
        self.log.append(f"clear {epoch}")
        self.epoch = max(self.epoch, epoch)
        cleared: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.holds_clear is None:
            cleared.set_result(self.handed)
        else:
            answering = asyncio.create_task(self._answer(self.holds_clear, cleared))
            self._answering[cleared] = answering
        return cleared

    async def _answer(self, hold: asyncio.Event, cleared: asyncio.Future[int]) -> None:
        await hold.wait()
        cleared.set_result(self.handed)
        del self._answering[cleared]

    def watch(self, wants: Wants) -> None:
        self.watched.append(wants)

    async def ping(self) -> None:
        if self.has_left:
            raise errors.RoomFailed

    # --- what a test makes happen

    @property
    def audio(self) -> list[Sent]:
        """The echo messages."""
        return [sent for sent in self.sent if sent.epoch is not None]

    def confirm(self, count: int = 1) -> None:
        """Confirm the oldest unconfirmed messages."""
        for _ in range(count):
            self._messages.give()

    def say(self, event_type: str, **fields: Any) -> None:
        """Let Tavus say something to the room."""
        self.report(e.AppMessageReceived({"event_type": event_type, **fields}, self.clock.now()))

    def starts(self) -> None:
        """Let the replica begin to speak."""
        self.say("conversation.replica.started_speaking", properties={})

    def stops(self, duration_s: float, *, interrupted: bool = False) -> None:
        """Let the replica stop after ``duration_s`` seconds of speech."""
        properties = {"duration": duration_s, "interrupted": interrupted}
        self.say("conversation.replica.stopped_speaking", properties=properties)

    def loses(self, *unanswered: int, consumed: int = 0) -> None:
        """Be lost, with these messages unanswered and so many track samples played."""
        self._is_lost = True
        self._messages.close()
        error = errors.RoomFailed("the room is lost")
        self.report(e.RoomLost(error, unanswered, consumed))

    def fails(self) -> None:
        """Throw us out."""
        self.report(e.RoomFailed(errors.RoomFailed("thrown out")))

    # --- inside

    def _soon(self, fact: e.RoomFact) -> None:
        asyncio.get_running_loop().call_soon(self._report, fact)

    def _report(self, fact: e.RoomFact) -> None:
        if not self.has_left:
            self.report(fact)

    def _consume_later(self, samples: int) -> None:
        self.clock.call_at(self.clock.now() + samples_to_ns(samples), self._consume)

    def _consume(self) -> None:
        samples = self._in_device.popleft()
        if self._in_device:
            self._consume_later(self._in_device[0])
        self._on_ready()
        self._report(e.AudioConsumed(samples, self.clock.now()))
