"""The replica as its room sees it: a participant that comes and goes, listens, plays and tells.

It keeps the room's log and recording of what it hears and plays. What is planned for later goes to
the room's agenda.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE
from app.sandbox.agenda import Agenda
from app.sandbox.device import Frame
from app.sandbox.echo import AudioEcho, TextEcho
from app.sandbox.facts import Ignored, Played, ReplicaFact, Sound, Started, Stopped, Underrun
from app.sandbox.faults import Faults, Joins
from app.sandbox.log import Heard, RoomLog
from app.sandbox.replica import Replica
from app.sandbox.speaking import Message, SpeakingEvents

HEARTBEAT_NS = 5_000_000_000
HEARTBEATS = 12
"""``*_present`` messages: one every five seconds for a minute, so that late joiners learn of it."""

MS = 1_000_000

Card = dict[str, str]
"""``{"participant_id", "user_id", "name"}``: who a participant is, for the others."""


class Avatar:
    """Tavus's side of one room."""

    def __init__(
        self,
        conversation_id: str,
        *,
        replica_id: str,
        name: str,
        faults: Faults,
        agenda: Agenda,
        log: RoomLog,
        heard: Heard,
        post: Callable[[dict[str, Any]], None],
        deliver: Callable[[Message, str], None],
        on_joined: Callable[[], None],
    ) -> None:
        """Be outside, with no plan to come in.

        ``post`` sends a link operation to everybody, ``deliver`` an app message from a participant
        id; ``on_joined`` hears that the replica has come in.
        """
        self.cards: list[Card] = []
        """The replica's entries among the participants; none while it is outside."""
        self._replica_id = replica_id
        self._name = name
        self._faults = faults
        self._agenda = agenda
        self._log = log
        self._heard = heard
        self._post = post
        self._deliver = deliver
        self._on_joined = on_joined
        self._replica = Replica(faults, lambda: f"i{uuid.uuid4().hex[:12]}")
        self._speaking = SpeakingEvents(faults, conversation_id)
        self._came = 0
        """When it came in, ns."""
        self._will_leave = faults.replica_leave_after_ms is not None
        self._stalled = False

    # --- listening

    def hear(self, now: int, echo: AudioEcho, *, epoch: int | None, silence: int) -> None:
        """Take an audio echo; ``silence`` samples at its end are padding."""
        lasts = len(echo.pcm) // SAMPLE_BYTES * SAMPLE_RATE // echo.sample_rate
        silence = min(silence, lasts)
        if not silence and echo.done and not any(echo.pcm):
            silence = lasts  # the closing silence of a client that does not count it for us
        self._log_audio(now, lasts, silence, epoch, echo.inference_id)
        if self._listens:
            self._record(self._replica.echo(now, echo, epoch=epoch, silence=silence))
        else:
            self._record([Ignored(now, lasts, self._deaf, echo.inference_id, epoch)])

    def say(self, now: int, echo: TextEcho, pcm: bytes | None) -> None:
        """Take a text echo and its speech, 24 kHz mono s16le; None: it has no voice."""
        if self._listens:
            self._record(self._replica.say(now, echo, pcm))

    def track(self, now: int, frame: Frame) -> None:
        """Take a frame of track audio whose first sample sounds now."""
        self._log_audio(now, frame.length, frame.silence, frame.epoch, None)
        if self._listens:
            self._record(
                self._replica.track(now, frame.pcm, epoch=frame.epoch, silence=frame.silence)
            )
        else:
            self._record([Ignored(now, frame.length, self._deaf, None, frame.epoch)])

    def interrupt(self, now: int) -> None:
        """Take an interrupt."""
        self._record(self._replica.interrupt(now))

    @property
    def _listens(self) -> bool:
        return bool(self.cards) and not self._stalled

    @property
    def _deaf(self) -> str:
        """Why it does not listen."""
        return "stalled" if self.cards else "no_replica"

    # --- time

    def next_deadline(self) -> int | None:
        """When ``advance`` next has something to do."""
        return self._replica.next_deadline()

    def advance(self, now: int) -> None:
        """Play up to ``now``."""
        self._record(self._replica.advance(now))

    def flush(self, now: int) -> None:
        """Play up to ``now`` and note every sample of it."""
        self._record(self._replica.flush(now))

    # --- being seen and heard

    def played(self, now: int) -> int:
        """Samples that have sounded by ``now``, up to which it has played."""
        return self._replica.played(now)

    def listen(self, now: int) -> list[Sound]:
        """What has sounded since the last call, up to ``now``; the first time nothing."""
        self.advance(now)
        return self._replica.listen(now)

    def listen_no_more(self) -> None:
        """Keep nothing for a listener."""
        self._replica.listen_no_more()

    def is_seen(self, now: int) -> bool:
        """Whether there is a picture of it: it is in the room, and its video does not stall."""
        faults = self._faults
        if not self.cards or faults.video_stalls_after_ms is None:
            return bool(self.cards)
        stalled = now - self._came - faults.video_stalls_after_ms * MS
        return stalled < 0 or (
            faults.video_stalls_ms is not None and stalled >= faults.video_stalls_ms * MS
        )

    # --- coming and going

    def join(self, at: int) -> None:
        """Come in, twice if the faults say so."""
        self._came = at
        for _ in range(2 if self._faults.replica_joins is Joins.TWICE else 1):
            card = {
                "participant_id": str(uuid.uuid4()),
                "user_id": f"tavus-replica-{self._replica_id}",
                "name": self._name,
            }
            self.cards.append(card)
            self._log.write(at, "join", **card)
            self._post({"op": "participant_joined", "participant": card})
        self._stalled = False
        if self._faults.speech_stalls_after_ms is not None:
            self._agenda.add(at + self._faults.speech_stalls_after_ms * MS, self._stall)
        self._tell_twins(at, "joined", {})
        self._on_joined()
        for attempt in range(1, HEARTBEATS + 1):
            self._agenda.add(at + attempt * HEARTBEAT_NS, partial(self._heartbeat, attempt=attempt))

    def shut_down(self, now: int, reason: str) -> None:
        """Fall silent for good and say why the conversation is over."""
        self._record(self._replica.vanish(now))
        self._tell(now, message=_system("shutdown", {"shutdown_reason": reason}))

    def _leave(self, at: int) -> None:
        self._record(self._replica.vanish(at))
        for card in self.cards:
            self._log.write(at, "leave", **card)
            self._post({"op": "participant_left", "participant": card})
        self.cards.clear()
        if self._faults.replica_rejoin_after_ms is not None:
            self._agenda.add(at + self._faults.replica_rejoin_after_ms * MS, self.join)

    def _stall(self, at: int) -> None:
        """Stay, with everything lost, and nothing said about it."""
        self._record(self._replica.vanish(at))
        self._stalled = True

    def _heartbeat(self, at: int, *, attempt: int) -> None:
        if self.cards:
            self._tell_twins(at, "present", {"attempt": attempt})

    # --- noting and telling

    def _log_audio(
        self, at: int, length: int, silence: int, epoch: int | None, inference_id: str | None
    ) -> None:
        """Note audio that arrived: its speech, then its padding as an entry of its own."""
        names = {"inference_id": inference_id, "epoch": epoch}
        if length > silence or not silence:
            self._log.write(at, "audio", samples=length - silence, **names)
        if silence:
            self._log.write(at, "silence", samples=silence, **names)

    def _record(self, facts: list[ReplicaFact]) -> None:
        """Note and tell what the replica did."""
        for fact in facts:
            match fact:
                case Started() | Stopped():
                    self._tell_speaking(fact)
                case Played(at, piece, inference_id):
                    self._log.write(
                        at,
                        "voice" if piece.own_voice else "played",
                        samples=piece.samples,
                        silence=piece.silence or None,
                        inference_id=inference_id,
                        epoch=piece.epoch,
                    )
                    self._heard.write(piece.pcm or b"")
                case Ignored(at, samples, reason, inference_id, epoch):
                    self._log.write(
                        at,
                        "ignored",
                        samples=samples,
                        reason=reason,
                        inference_id=inference_id,
                        epoch=epoch,
                    )
                case Underrun(at, ns, inference_id):
                    self._log.write(at, "underrun", ms=ns // MS, inference_id=inference_id)

    def _tell_speaking(self, fact: Started | Stopped) -> None:
        late = self._faults.speaking_late_ms * MS
        for message in self._speaking.of(fact):
            if late:
                self._agenda.add(fact.at + late, partial(self._tell, message=message))
            else:
                self._tell(fact.at, message=message)
        if self._will_leave and isinstance(fact, Started):
            self._will_leave = False
            after = (self._faults.replica_leave_after_ms or 0) * MS
            self._agenda.add(fact.at + after, self._leave)

    def _tell_twins(self, at: int, what: str, properties: Message) -> None:
        old = {"replica_id": self._replica_id, **properties}
        self._tell(at, message=_system(f"replica_{what}", old))
        if self._faults.twins:
            new = {"face_id": self._replica_id, **properties}
            self._tell(at, message=_system(f"pal_{what}", new))

    def _tell(self, at: int, *, message: Message) -> None:
        sealed = self._speaking.sealed(message)
        self._log.write(at, "message_out", message=sealed)
        self._deliver(sealed, self.cards[0]["participant_id"] if self.cards else "tavus")


def _system(what: str, properties: Message) -> Message:
    return {"message_type": "system", "event_type": f"system.{what}", "properties": properties}
