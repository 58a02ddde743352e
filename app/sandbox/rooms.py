"""One Daily room: who is in it, what passes between them, and the replica that listens.

A room is driven from outside: by the calls of its links and by one timer for the earliest thing
that is due. Between those it does nothing; what was played meanwhile is computed when asked for.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import msgspec

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE
from app.sandbox.agenda import Agenda
from app.sandbox.device import Device, Frame
from app.sandbox.echo import AudioEcho, TextEcho, is_audio_echo, is_echo, parse_echo, without_audio
from app.sandbox.faults import Faults, Joins, MessagesAs
from app.sandbox.log import Heard, HeardShelf, RoomLog
from app.sandbox.replica import (
    Ignored,
    Played,
    Replica,
    ReplicaFact,
    Started,
    Stopped,
    Underrun,
)
from app.sandbox.speaking import Message, SpeakingEvents

MAX_MESSAGE_BYTES = 4096
"""Daily's documented limit of an app message."""

HEARTBEAT_NS = 5_000_000_000
HEARTBEATS = 12
"""``*_present`` messages: one every five seconds for a minute, so that late joiners learn of it."""

MS = 1_000_000


class Handle(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> None:
        """Forget it."""
        ...


class Outbox(Protocol):
    """The way to one participant; never blocks."""

    def post(self, operation: dict[str, Any]) -> None:
        """Send this soon."""
        ...

    def close(self) -> None:
        """Send what was posted, then hang up."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock a room lives by."""

    now: Callable[[], int]
    """Monotonic ns."""
    call_at: Callable[[int, Callable[[], None]], Handle]


@dataclass(slots=True, eq=False)
class Member:
    """Somebody in the room who is not the replica."""

    participant_id: str
    name: str
    outbox: Outbox
    device: Device = field(default_factory=Device)

    def card(self) -> dict[str, Any]:
        """Who this is, for the others."""
        return {"participant_id": self.participant_id, "user_id": "", "name": self.name}


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
        self._replica_id = replica_id
        self._replica_name = replica_name
        self._max_participants = max_participants
        self._faults = faults
        self._timing = timing
        self._on_people = on_people
        self._on_replica = on_replica
        self._members: dict[str, Member] = {}
        self._replica_cards: list[dict[str, Any]] = []
        self._replica = Replica(faults, lambda: f"i{uuid.uuid4().hex[:12]}")
        self._speaking = SpeakingEvents(faults, conversation_id)
        self._messages = 0
        self._will_leave = faults.replica_leave_after_ms is not None
        self._dice = random.Random(faults.seed)  # noqa: S311  # seeded faults, no secrets
        self._timer: tuple[int, Handle] | None = None
        if faults.replica_joins is not Joins.NEVER:
            at = timing.now() + faults.replica_join_ms * MS
            self.agenda.add(at, self._replica_joins)
        self.rearm()

    # --- people

    def join(self, name: str, outbox: Outbox) -> Member:
        """Come in. Raises RoomFull."""
        now = self._catch_up()
        there = len(self._members) + len(self._replica_cards)
        if self._max_participants is not None and there >= self._max_participants:
            raise RoomFull
        member = Member(str(uuid.uuid4()), name, outbox)
        others = [*self._replica_cards, *(other.card() for other in self._members.values())]
        outbox.post({"op": "joined", "id": member.participant_id, "participants": others})
        self._post_to_all({"op": "participant_joined", "participant": member.card()})
        self._members[member.participant_id] = member
        self.log.write(now, "join", **member.card())
        self._on_people(now, len(self._members))
        self.rearm()
        return member

    def leave(self, member: Member) -> None:
        """Go out; nothing happens the second time."""
        now = self._catch_up()
        if self._members.pop(member.participant_id, None) is None:
            return
        member.outbox.close()
        self.log.write(now, "leave", **member.card())
        self._post_to_all({"op": "participant_left", "participant": member.card()})
        self._on_people(now, len(self._members))
        self.rearm()

    def end(self, reason: str) -> None:
        """Say ``system.shutdown``, put everybody out and close; the second time does nothing."""
        if self.ended:
            return
        now = self._catch_up()
        self._record(self._replica.vanish(now))
        self._say(now, self._system("shutdown", {"shutdown_reason": reason}))
        self._post_to_all({"op": "ended", "reason": reason})
        self.log.write(now, "ended", reason=reason)
        self.ended = True
        self.agenda.clear()
        for member in self._members.values():
            member.outbox.close()
            self.log.write(now, "leave", **member.card())
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
        message = _parse(text)
        reason = self._refusal(text, message)
        if reason is not None:
            self.log.write(now, "refused", reason=reason, bytes=len(text.encode()), epoch=epoch)
            member.outbox.post({"op": "refused", "id": number, "reason": reason})
            return
        member.outbox.post({"op": "sent", "id": number})
        self._deliver(message, member.participant_id)
        self._understand(now, member, message, epoch, silence)
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
        now = self._catch_up()
        begun = member.device.clear(epoch)
        self.log.write(now, "cleared", epoch=epoch, samples=begun)
        member.outbox.post({"op": "cleared", "epoch": epoch, "samples": begun})
        self.rearm()

    # --- time

    def advance(self, now: int) -> None:
        """Let happen, in order of time, all that is due by ``now``."""
        while not self.ended:
            member, device_at = self._next_device()
            agenda_at, replica_at = self.agenda.next_deadline(), self._replica.next_deadline()
            times = (device_at, agenda_at, replica_at)
            due = min((at for at in times if at is not None), default=None)
            if due is None or due > now:
                break
            if due == replica_at:
                self._record(self._replica.advance(due))
            elif member is not None and due == device_at:
                self._step_device(due, member)
            else:
                self.agenda.run_next()

    def entries(self) -> list[dict[str, Any]]:
        """The log up to this moment."""
        self._flush()
        return self.log.entries()

    def wav(self) -> bytes:
        """What was heard up to this moment."""
        self._flush()
        return self.heard.wav()

    def rearm(self) -> None:
        """Set the timer for what is due next; a timer that is early enough stays."""
        if self.ended:
            due = None
        else:
            _, device_at = self._next_device()
            times = (device_at, self.agenda.next_deadline(), self._replica.next_deadline())
            due = min((at for at in times if at is not None), default=None)
        if self._timer is not None:
            if due is not None and self._timer[0] <= due:
                return
            self._timer[1].cancel()
            self._timer = None
        if due is not None:
            self._timer = (due, self._timing.call_at(due, self._wake))

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
            now = self._catch_up()
            self._record(self._replica.flush(now))
            self.rearm()

    def _next_device(self) -> tuple[Member | None, int | None]:
        found: tuple[Member | None, int | None] = (None, None)
        for member in self._members.values():
            at = member.device.next_deadline()
            if at is not None and (found[1] is None or at < found[1]):
                found = (member, at)
        return found

    def _step_device(self, at: int, member: Member) -> None:
        ended, begun = member.device.step(at)
        if ended is not None:
            member.outbox.post({"op": "consumed", "samples": ended.length, "at_ns": at})
        if begun is not None:
            self._log_audio(at, begun.length, begun.silence, begun.epoch, None)
            if self._replica_cards:
                facts = self._replica.track(at, begun.pcm, epoch=begun.epoch, silence=begun.silence)
                self._record(facts)
            else:
                self.log.write(
                    at, "ignored", samples=begun.length, reason="no_replica", epoch=begun.epoch
                )

    # --- what the replica makes of it

    def _understand(
        self, now: int, member: Member, message: Any, epoch: int | None, silence: int
    ) -> None:
        sender = member.participant_id
        if not isinstance(message, dict) or not is_audio_echo(message):
            event = message.get("event_type") if isinstance(message, dict) else None
            if event == "conversation.interrupt":
                self.log.write(now, "interrupt", epoch=epoch, sender=sender)
                self._record(self._replica.interrupt(now))
                return
            self.log.write(now, "message_in", sender=sender, message=without_audio(message))
            if not isinstance(message, dict) or not is_echo(message):
                return
        match parse_echo(message.get("properties")):
            case str() as wrong:
                self.log.write(now, "ignored", reason="malformed", detail=wrong, epoch=epoch)
            case TextEcho() as echo:
                if self._replica_cards:
                    self._record(self._replica.say(now, echo))
            case AudioEcho() as echo:
                self._hear(now, echo, epoch, silence)

    def _hear(self, now: int, echo: AudioEcho, epoch: int | None, silence: int) -> None:
        lasts = len(echo.pcm) // SAMPLE_BYTES * SAMPLE_RATE // echo.sample_rate
        silence = min(silence, lasts)
        if not silence and echo.done and not any(echo.pcm):
            silence = lasts  # the closing silence of a client that does not count it for us
        self._log_audio(now, lasts, silence, epoch, echo.inference_id)
        if self._replica_cards:
            facts = self._replica.echo(now, echo, epoch=epoch, silence=silence)
            self._record(facts)
        else:
            self.log.write(
                now,
                "ignored",
                samples=lasts,
                reason="no_replica",
                inference_id=echo.inference_id,
                epoch=epoch,
            )

    def _log_audio(
        self, at: int, length: int, silence: int, epoch: int | None, inference_id: str | None
    ) -> None:
        """Note audio that arrived: its speech, then its padding as an entry of its own."""
        if length > silence or not silence:
            self.log.write(
                at, "audio", samples=length - silence, inference_id=inference_id, epoch=epoch
            )
        if silence:
            self.log.write(at, "silence", samples=silence, inference_id=inference_id, epoch=epoch)

    def _record(self, facts: list[ReplicaFact]) -> None:
        """Keep and tell what the replica did."""
        for fact in facts:
            match fact:
                case Started() | Stopped():
                    self._tell(fact)
                case Played(at, piece, inference_id):
                    self.log.write(
                        at,
                        "voice" if piece.pcm is None else "played",
                        samples=piece.samples,
                        silence=piece.silence or None,
                        inference_id=inference_id,
                        epoch=piece.epoch,
                    )
                    self.heard.write(piece.pcm or b"")
                case Ignored(at, samples, reason, inference_id, epoch):
                    self.log.write(
                        at,
                        "ignored",
                        samples=samples,
                        reason=reason,
                        inference_id=inference_id,
                        epoch=epoch,
                    )
                case Underrun(at, ns, inference_id):
                    self.log.write(at, "underrun", ms=ns // MS, inference_id=inference_id)

    def _tell(self, fact: Started | Stopped) -> None:
        messages = self._speaking.of(fact)
        late = self._faults.speaking_late_ms * MS
        for message in messages:
            if late:
                self.agenda.add(fact.at + late, partial(self._say, message=message))
            else:
                self._say(fact.at, message)
        if self._will_leave and isinstance(fact, Started):
            self._will_leave = False
            after = (self._faults.replica_leave_after_ms or 0) * MS
            self.agenda.add(fact.at + after, self._replica_leaves)

    # --- the replica as a participant

    def _replica_joins(self, at: int) -> None:
        for _ in range(2 if self._faults.replica_joins is Joins.TWICE else 1):
            card = {
                "participant_id": str(uuid.uuid4()),
                "user_id": f"tavus-replica-{self._replica_id}",
                "name": self._replica_name,
            }
            self._replica_cards.append(card)
            self.log.write(at, "join", **card)
            self._post_to_all({"op": "participant_joined", "participant": card})
        self._say_twins(at, "joined", {})
        self._on_replica()
        for attempt in range(1, HEARTBEATS + 1):
            self.agenda.add(
                at + attempt * HEARTBEAT_NS,
                partial(self._heartbeat, attempt=attempt),
            )

    def _heartbeat(self, at: int, attempt: int) -> None:
        if self._replica_cards:
            self._say_twins(at, "present", {"attempt": attempt})

    def _replica_leaves(self, at: int) -> None:
        self._record(self._replica.vanish(at))
        for card in self._replica_cards:
            self.log.write(at, "leave", **card)
            self._post_to_all({"op": "participant_left", "participant": card})
        self._replica_cards.clear()
        if self._faults.replica_rejoin_after_ms is not None:
            self.agenda.add(at + self._faults.replica_rejoin_after_ms * MS, self._replica_joins)

    def _say_twins(self, at: int, what: str, properties: Message) -> None:
        old = {"replica_id": self._replica_id, **properties}
        self._say(at, self._system(f"replica_{what}", old))
        if self._faults.twins:
            new = {"face_id": self._replica_id, **properties}
            self._say(at, self._system(f"pal_{what}", new))

    # --- messages

    def _system(self, what: str, properties: Message) -> Message:
        return {"message_type": "system", "event_type": f"system.{what}", "properties": properties}

    def _say(self, at: int, message: Message) -> None:
        """A message of Tavus's to everybody."""
        sealed = self._speaking.sealed(message)
        self.log.write(at, "message_out", message=sealed)
        card = self._replica_cards[0] if self._replica_cards else {"participant_id": "tavus"}
        self._deliver(sealed, card["participant_id"])

    def _deliver(self, message: Any, sender: str) -> None:
        """A message to everybody but its sender."""
        if all(sender == member for member in self._members):
            return
        as_text = self._faults.messages_as is MessagesAs.STRING
        body = msgspec.json.encode(message).decode() if as_text else message
        self._post_to_all({"op": "message", "from": sender, "message": body}, but=sender)

    def _post_to_all(self, operation: dict[str, Any], but: str | None = None) -> None:
        for member in self._members.values():
            if member.participant_id != but:
                member.outbox.post(operation)

    def _refusal(self, text: str, message: Any) -> str | None:
        """Why the room does not take this message, if it does not."""
        self._messages += 1
        if self._faults.strict_bytes and len(text.encode()) > MAX_MESSAGE_BYTES:
            return f"the message is larger than {MAX_MESSAGE_BYTES} bytes"
        if message is msgspec.UNSET:
            return "the message is not JSON"
        if self._messages == self._faults.refuse_nth or (
            self._faults.refuse_probability
            and self._dice.random() < self._faults.refuse_probability
        ):
            return "the room failed to send it"
        return None


def _parse(text: str) -> Any:
    """The JSON value in ``text``, or ``msgspec.UNSET``."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.UNSET
