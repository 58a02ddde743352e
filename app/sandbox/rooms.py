"""One Daily room: who is in it, what passes between them, and the replica that listens.

A room is driven from outside: by the calls of its links and by one timer for the earliest thing
that is due. Between those it does nothing; what was played meanwhile is computed when asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from app.core.pcm import SAMPLE_BYTES
from app.sandbox.agenda import Agenda
from app.sandbox.avatar import Avatar
from app.sandbox.device import Device, Frame
from app.sandbox.echo import AudioEcho, TextEcho, is_audio_echo, parse_echo, without_audio
from app.sandbox.faults import Faults, Joins
from app.sandbox.log import Heard, HeardShelf, RoomLog
from app.sandbox.media import Media, Piece, Viewer, Wants
from app.sandbox.signalling import Member, Outbox, Refused, Signalling
from app.sandbox.voice import Voice

MS = 1_000_000
SECOND = 1_000_000_000


class Handle(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> None:
        """Forget it."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock a room lives by."""

    now: Callable[[], int]
    """Monotonic ns."""
    call_at: Callable[[int, Callable[[], None]], Handle]
    unix: int = 0
    """Nanoseconds from 1970 to the clock's zero."""


class RoomFull(Exception):
    """``max_participants`` are in the room."""


class Room:
    """The room of one conversation."""

    def __init__(
        self,
        conversation_id: str,
        *,
        replica_id: str,
        replica_name: str,
        max_participants: int | None,
        faults: Faults,
        timing: Timing,
        shelf: HeardShelf,
        voice: Voice,
        on_people: Callable[[int, int], None],
        on_replica: Callable[[], None],
    ) -> None:
        """Be open and empty.

        ``on_people`` hears the moment and the number of people whenever that number changes,
        ``on_replica`` that the replica has come.
        """
        self.log = RoomLog()
        self.heard = Heard(shelf)
        self.agenda = Agenda()
        self.ended = False
        self._max_participants = max_participants
        self._faults = faults
        self._timing = timing
        self._voice = voice
        self._interrupts = 0
        self._on_people = on_people
        self._signalling = Signalling(faults)
        self._members = self._signalling.members
        self._timer: tuple[int, Handle] | None = None
        self._avatar = Avatar(
            conversation_id,
            replica_id=replica_id,
            name=replica_name,
            faults=faults,
            agenda=self.agenda,
            log=self.log,
            heard=self.heard,
            post=self._signalling.post,
            deliver=self._signalling.deliver,
            on_joined=on_replica,
        )
        self._media = Media(self._avatar, self.agenda)
        if faults.replica_joins is not Joins.NEVER:
            self.agenda.add(timing.now() + faults.replica_join_ms * MS, self._avatar.join)
        self.rearm()

    # --- people

    def join(self, name: str, outbox: Outbox) -> Member:
        """Come in. Raises RoomFull."""
        now = self._catch_up()
        there = len(self._members) + len(self._avatar.cards)
        if self._max_participants is not None and there >= self._max_participants:
            raise RoomFull
        member = Member(str(uuid.uuid4()), name, outbox, Device(self._faults.drift_ppm))
        others = [*self._avatar.cards, *(other.card for other in self._members.values())]
        outbox.post({"op": "joined", "id": member.participant_id, "participants": others})
        self._signalling.post({"op": "participant_joined", "participant": member.card})
        self._members[member.participant_id] = member
        self.log.write(now, "join", **member.card)
        self._on_people(now, len(self._members))
        if self._faults.link_lost_after_ms is not None:
            self.agenda.add(now + self._faults.link_lost_after_ms * MS, self._lose_link)
        self.rearm()
        return member

    def leave(self, member: Member) -> None:
        """Go out; nothing happens the second time."""
        now = self._catch_up()
        if self._members.pop(member.participant_id, None) is None:
            return
        member.outbox.close()
        self.log.write(now, "leave", **member.card)
        self._signalling.post({"op": "participant_left", "participant": member.card})
        self._on_people(now, len(self._members))
        self.rearm()

    def end(self, reason: str) -> None:
        """Say ``system.shutdown``, put everybody out and close; the second time does nothing."""
        if self.ended:
            return
        now = self._catch_up()
        self._avatar.shut_down(now, reason)
        self._signalling.post({"op": "ended", "reason": reason})
        self.log.write(now, "ended", reason=reason)
        self.ended = True
        self._media.end()
        self.agenda.clear()
        for member in self._members.values():
            member.outbox.close()
            self.log.write(now, "leave", **member.card)
        self._members.clear()
        self.rearm()

    # --- what they send

    def message(
        self, member: Member, number: int, text: str, *, epoch: int | None, silence: int
    ) -> None:
        """An app message to all others; ``silence`` samples at the end of its audio are padding."""
        if self.ended:
            return
        now = self._catch_up()
        size = len(text.encode())
        if self._signalling.lost:
            self.log.write(now, "lost", bytes=size, epoch=epoch)
            return
        try:
            message = self._signalling.take(text)
        except Refused as refusal:
            self.log.write(now, "refused", reason=str(refusal), bytes=size, epoch=epoch)
            member.outbox.post({"op": "refused", "id": number, "reason": str(refusal)})
            return
        member.outbox.post({"op": "sent", "id": number})
        self._signalling.deliver(message, member.participant_id)
        self._understand(now, member.participant_id, message, epoch, silence)
        self.rearm()

    def frame(self, member: Member, frame: Frame) -> None:
        """A frame for the audio track."""
        if self.ended:
            return
        now = self._catch_up()
        if not member.device.write(now, frame):
            return
        self.advance(now)
        self.rearm()

    def clear(self, member: Member, epoch: int) -> None:
        """Drop the track audio older than ``epoch`` that the device has not begun."""
        if self.ended:
            return
        now = self._catch_up()
        begun = member.device.clear(epoch)
        self.log.write(now, "cleared", epoch=epoch, samples=begun)
        member.outbox.post({"op": "cleared", "epoch": epoch, "samples": begun})
        self.rearm()

    def speak(self, member: Member, pcm: bytes, rate: int) -> None:
        """Audio of a person's microphone, mono s16le, that has just been said."""
        now = self._catch_up()
        lasts = len(pcm) // SAMPLE_BYTES * SECOND // rate
        self._media.say(Piece(now - lasts, pcm, rate, member.participant_id))

    # --- what can be seen and heard

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._faults.picture.pixels

    @property
    def unix(self) -> int:
        """Nanoseconds from 1970 to the zero of the room's clock."""
        return self._timing.unix

    def watch(self, viewer: Viewer, wants: Wants) -> None:
        """Show and play to a viewer what it wants from now on."""
        if self.ended:
            viewer.close()
            return
        self._media.watch(self._catch_up(), viewer, wants)
        self.rearm()

    def watch_no_more(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._media.watch_no_more(viewer)

    # --- time

    def advance(self, now: int) -> None:
        """Let happen, in order of time, all that is due by ``now``."""
        while (coming := self._coming()) is not None and coming[0] <= now:
            at, happen = coming
            happen(at)

    def log_json(self) -> bytes:
        """The log up to this moment, a JSON array."""
        self._flush()
        return self.log.json()

    def wav(self) -> bytes:
        """What was heard up to this moment."""
        self._flush()
        return self.heard.wav()

    def rearm(self) -> None:
        """Set the timer for what is due next; a timer that is early enough stays."""
        coming = self._coming()
        if self._timer is not None:
            if coming is not None and self._timer[0] <= coming[0]:
                return
            self._timer[1].cancel()
            self._timer = None
        if coming is not None:
            self._timer = (coming[0], self._timing.call_at(coming[0], self._wake))

    def _coming(self) -> tuple[int, Callable[[int], None]] | None:
        """The next thing that happens by itself, and when."""
        if self.ended:
            return None
        coming: tuple[int, Callable[[int], None]] | None = None
        if (at := self._avatar.next_deadline()) is not None:
            coming = (at, self._avatar.advance)
        for member in self._members.values():
            at = member.device.next_deadline()
            if at is not None and (coming is None or at < coming[0]):
                coming = (at, partial(self._step_device, member=member))
        at = self.agenda.next_deadline()
        if at is not None and (coming is None or at < coming[0]):
            coming = (at, self.agenda.run_next)
        return coming

    def _wake(self) -> None:
        self._timer = None
        self._catch_up()
        self.rearm()

    def _catch_up(self) -> int:
        now = self._timing.now()
        self.advance(now)
        return now

    def _flush(self) -> None:
        if not self.ended:
            self._avatar.flush(self._catch_up())
            self.rearm()

    def _step_device(self, at: int, *, member: Member) -> None:
        ended, begun = member.device.step(at)
        if ended is not None:
            member.outbox.post({"op": "consumed", "samples": ended.length, "at_ns": at})
        if begun is not None:
            self._avatar.track(at, begun)

    def _lose_link(self, at: int) -> None:
        """Interrupt the signalling: no app message passes until it is restored."""
        self._signalling.interrupt()
        self.agenda.add(at + self._faults.link_lost_ms * MS, self._restore_link)

    def _restore_link(self, _: int) -> None:
        self._signalling.restore()

    # --- messages

    def _understand(
        self, now: int, sender: str, message: Any, epoch: int | None, silence: int
    ) -> None:
        """Let the replica make of a message what it can."""
        event = message.get("event_type") if isinstance(message, dict) else None
        if event == "conversation.interrupt":
            self._avatar.flush(now)  # what sounded before stands before it in the log
            self.log.write(now, "interrupt", epoch=epoch, sender=sender)
            self._avatar.interrupt(now)
            if not self._faults.interrupt_ignored:
                self._interrupts += 1
            return
        if event != "conversation.echo" or not is_audio_echo(message):
            self.log.write(now, "message_in", sender=sender, message=without_audio(message))
        if event != "conversation.echo":
            return
        match parse_echo(message.get("properties")):
            case str() as wrong:
                self.log.write(now, "ignored", reason="malformed", detail=wrong, epoch=epoch)
            case TextEcho() as echo:
                self._voice.speak(echo.text, partial(self._say, echo, self._interrupts))
            case AudioEcho() as echo:
                self._avatar.hear(now, echo, epoch=epoch, silence=silence)

    def _say(self, echo: TextEcho, interrupts: int, pcm: bytes | None) -> None:
        """Let the replica speak a text that has been given a voice, unless it was cut meanwhile."""
        if self.ended or interrupts != self._interrupts:
            return
        self._avatar.say(self._catch_up(), echo, pcm)
        self.rearm()
