"""A voice on a stage: virtual time, a room that takes every chunk, a replica that plays it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.core import wire_out as out
from app.core.events import Stall
from app.core.move import Move
from app.core.pcm import AudioFormat, Encoding, samples_to_ns
from app.core.playback import Delivery
from app.core.spec import AudioPathName
from app.core.voice import Cut, Voice, VoiceOptions
from tests.support.replica_model import ReplicaModel

MS = 1_000_000
SECOND = 1000 * MS
S = 24
"""Samples a millisecond."""

FORMS = ("conversation.replica", "conversation/pal", "conversation/replica")
"""Under so many names Tavus says the same."""

Told = out.ServerMessage


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the replica as it arrives at the bridge."""

    at: int
    kind: str
    form: str
    inference_id: str | None
    duration: int | None
    interrupted: bool | None


@dataclass(slots=True)
class Manners:
    """How a replica talks about what it does; the defaults are Tavus's own."""

    silent: bool = False
    ids: str | None = "ours"
    """``ours``, ``made`` by Tavus, that of the run before (``previous``), or None."""
    durations: bool = True
    flag: bool = True
    """``interrupted`` is told."""
    forms: tuple[str, ...] = FORMS
    lag: int = 20 * MS
    """Until an event arrives, and until the replica obeys."""
    doubled: bool = False
    lost: frozenset[int] = frozenset()
    """Which events (from 0) never arrive."""
    consumes: bool = True
    """The audio device of a track tells what it consumed."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A chunk that the room took."""

    at: int
    epoch: int
    inference_id: str
    utterance_id: str | None
    pcm: bytes
    samples: int
    silence: int
    done: bool


@dataclass
class Stage:
    """Drives one voice; every method ends with all handed over that may be."""

    options: VoiceOptions = field(default_factory=VoiceOptions)
    manners: Manners = field(default_factory=Manners)
    listens: bool = True
    now: int = SECOND

    def __post_init__(self) -> None:
        self.voice = Voice(self.options)
        self.voice.playback.released = self.listens
        self.model = ReplicaModel()
        self.told: list[tuple[int, Told]] = []
        self.sent: list[Sent] = []
        self.fed = bytearray()
        self.buried: set[str] = set()
        """Runs that the replica was told to stop."""
        self.flying: Delivery | None = None
        """A chunk that the room is still busy with; set ``slow`` to see one."""
        self.slow = 0
        """How long the room takes to take a chunk."""
        self._lands_at = 0
        self.stalls: list[Stall] = []
        """What of the replica was reported to show no life."""
        self.last_deed = self.now
        """When the client did something for the last time."""
        self._orders: list[tuple[int, Callable[[], None]]] = []
        self._events: list[Event] = []
        self._said = 0
        self._is_track = self.options.audio_path is AudioPathName.TRACK
        self._device_at = 0
        """When the device has played all it got."""
        self._frames: list[tuple[int, int]] = []
        """When each frame is played, and its length."""
        self._consumed = 0
        self.leaving: Move | None = None
        self.moves: list[tuple[int, int]] = []
        """When it moved over to another replica, and how many chunks were sent by then."""

    # --- a client

    def start(
        self,
        utterance_id: str | None = None,
        *,
        fmt: AudioFormat | None = None,
        epoch: int | None = None,
    ) -> None:
        """Send ``utterance.start``."""
        self.voice.intake.start(utterance_id, fmt, epoch, self.now)
        self.settle()

    def audio(self, ms: float) -> None:
        """Send audio in the default format, in one message, unless it is refused."""
        self.raw(self.make(ms))

    def make(self, ms: float) -> bytes:
        """Audio that is never the same twice."""
        first = len(self.fed) // 2
        pcm = b"".join(
            (n * 7919 % 65521).to_bytes(2, "little") for n in range(first, first + round(ms * S))
        )
        self.fed += pcm
        return pcm

    def raw(self, data: bytes) -> None:
        """Send bytes of audio as a connection does."""
        try:
            if self.voice.intake.admit(len(data), self.now):
                self._hear(data)
        finally:
            self.settle()

    def _hear(self, data: bytes) -> None:
        voice, waiting = self.voice, self.voice.playout.waiting
        before = voice.next_deadline()
        if not voice.intake.audio(data, self.now):
            assert (waiting, False) == (voice.playout.waiting, voice.has_news)
            self._check_no_earlier_than(before)

    def end(self, utterance_id: str | None = None) -> None:
        """Send ``utterance.end``."""
        self.voice.intake.end(utterance_id)
        self.settle()

    def say(self, utterance_id: str, ms: float) -> None:
        """Send a whole utterance at once."""
        self.start(utterance_id)
        self.audio(ms)
        self.end()

    def mark(self, name: str) -> None:
        """Send ``mark``."""
        self.voice.intake.mark(name)
        self.settle()

    def interrupt(self, *, guard: str | None = None, in_band: bool = True) -> out.InterruptAccepted:
        """Cut, and have the room confirm it at once."""
        cut = self.cut(guard=guard, in_band=in_band)
        if cut is None:
            return self.voice.decline()
        return self.report(cut)

    def cut(self, *, guard: str | None = None, in_band: bool = True) -> Cut | None:
        """Cut; the room has yet to confirm."""
        cut = self.voice.cut(self.now, guard=guard, in_band=in_band)
        self.settle()
        return cut

    def report(self, cut: Cut) -> out.InterruptAccepted:
        """Have the room confirm: the replica is told, the account given."""
        self._order(lambda: self.model.interrupt(self.now))
        self.buried |= {sent.inference_id for sent in self.sent if sent.epoch < cut.epoch}
        track_handed = None
        if self._is_track:
            self._play_frames()
            self._frames = self._frames[:1]  # what is inside the device still sounds
            self._device_at = max((at for at, _ in self._frames), default=0)
            track_handed = self._consumed + sum(length for _, length in self._frames)
        accepted = self.voice.report(cut, track_handed, self.now)
        self.settle()
        return accepted

    # --- the room

    def land(self, *, taken: bool = True) -> None:
        """The chunk in flight was taken, or not."""
        delivery, self.flying = self.flying, None
        assert delivery is not None
        if taken:
            self._take(delivery)
        self.settle()

    def settle(self) -> None:
        """Hand over what may be, and look at what there is to tell."""
        playback = self.voice.playback
        at_rest = self.flying is None and not self._frames
        if self.leaving is not None and self.leaving.tick(self.now, at_rest=at_rest):
            self._move_over()
        while self._takes() and (delivery := playback.next(self.now)) is not None:
            if self.slow:
                self.flying, self._lands_at = delivery, self.now + self.slow
            else:
                self._take(delivery)
        self.voice.intake.flow()
        self.told += [(self.now, message) for message in self.voice.take()]

    def leave(self, ends_in_ms: float) -> None:
        """Prepare to move over to another replica before this one's conversation ends."""
        self.expect_end(ends_in_ms)
        self.follow()

    def expect_end(self, ends_in_ms: float) -> None:
        """The conversation ends, and there is no other replica yet."""
        ends_at = self.now + round(ends_in_ms * MS)
        self.leaving = Move(self.voice.playback, ends_at=ends_at, lead_ms=self.options.lead_ms)
        self.settle()

    def follow(self) -> None:
        """The other replica is ready."""
        assert self.leaving is not None
        self.leaving.allow(self.now)
        self.settle()

    def _move_over(self) -> None:
        """Go on with another replica; of the one before nothing is heard any more."""
        self.leaving = None
        self.moves.append((self.now, len(self.sent)))
        if self.flying is not None:
            delivery, self.flying = self.flying, None
            self.voice.playback.put_back(delivery)
        truth = self.model.truth
        self.model = ReplicaModel()
        self.model.truth = truth
        self._said = 0
        self._events.clear()
        self._orders.clear()
        self._frames.clear()
        self._device_at = self._consumed = 0
        self.voice.playback.renew()
        self.voice.playback.move(self.now)

    def _takes(self) -> bool:
        """Whether the room wants a chunk: a device wants two frames at a time."""
        return self.flying is None and len(self._frames) < 2

    def _play_frames(self) -> None:
        while self._frames and self._frames[0][0] <= self.now:
            at, length = self._frames.pop(0)
            self._consumed += length
            if self.manners.consumes:
                before = self.voice.next_deadline()
                self.voice.playback.consumed(length, at)
                if self.voice.is_under_way:
                    self._check_no_earlier_than(before)

    def _check_no_earlier_than(self, before: int | None) -> None:
        """What calls for nothing must not bring a deadline forward: nobody looks at it then."""
        after = self.voice.next_deadline()
        is_later = after is None or (before is not None and before <= after)
        assert is_later, "a deadline was brought forward in passing"

    def _take(self, delivery: Delivery) -> None:
        chunk, utterance = delivery.chunk, delivery.utterance
        name = None if utterance is None else utterance.utterance_id
        run = delivery.run.inference_id
        assert len(chunk.pcm) == 2 * (chunk.samples + chunk.silence)
        self.sent.append(
            Sent(
                self.now,
                delivery.epoch,
                run,
                name,
                chunk.pcm,
                chunk.samples,
                chunk.silence,
                delivery.done,
            )
        )
        piece = (name or "", chunk.samples, chunk.silence)
        if self._is_track:
            length = chunk.samples + chunk.silence
            begins = max(self.now, self._device_at)
            self._device_at = begins + samples_to_ns(length)
            self._frames.append((self._device_at, length))
            self._order(lambda: self._sound(delivery), begins)
        elif run not in self.buried:
            self._order(lambda: self.model.hear(self.now, run, piece, done=delivery.done))
        before, dog = self.voice.next_deadline(), self.voice.watchdog
        watched = dog.next_deadline()
        is_watched = self.voice.playback.handed(delivery, self.now)
        if self.voice.is_routine(delivery):
            self._check_no_earlier_than(before)
        assert is_watched or watched == dog.next_deadline()

    def _sound(self, delivery: Delivery) -> None:
        if delivery.epoch == self.voice.epoch:
            chunk, utterance = delivery.chunk, delivery.utterance
            assert utterance is not None
            piece = (utterance.utterance_id, chunk.samples, chunk.silence)
            self.model.hear(self.now, f"t-{delivery.epoch}", piece, done=False, track=True)

    # --- time

    def run(self, ms: float) -> None:
        """Let time pass, acting only when somebody asked for it."""
        end = self.now + round(ms * MS)
        while (at := self._next_at()) is not None and at <= end:
            self.now = max(self.now, at)
            self._act()
        self.now = end

    def run_out(self, seconds: int = 600) -> None:
        """Let time pass until nothing is due any more."""
        end = self.now + seconds * SECOND
        while (at := self._next_at()) is not None:
            assert at <= end, "something goes on for ever"
            self.now = max(self.now, at)
            self._act()

    def _next_at(self) -> int | None:
        times = [
            self.voice.next_deadline(),
            self.voice.watchdog.next_deadline(),
            self.voice.playback.next_due(self.now) if self._takes() else None,
            self._lands_at if self.flying else None,
            self._frames[0][0] if self._frames else None,
            self.model.next_at(),
            self._orders[0][0] if self._orders else None,
            self._events[0].at if self._events else None,
            self.leaving.next_deadline(self.now) if self.leaving else None,
        ]
        return min((at for at in times if at is not None), default=None)

    def _act(self) -> None:
        while self._orders and self._orders[0][0] <= self.now:
            self._orders.pop(0)[1]()
        if self.flying is not None and self._lands_at <= self.now:
            self.land()
        self._play_frames()
        self.model.advance(self.now)
        self._collect()
        while self._events and self._events[0].at <= self.now:
            self._deliver(self._events.pop(0))
        self.voice.tick(self.now)
        self.stalls += self.voice.watchdog.stalls(self.now)
        deadline = self.voice.next_deadline()
        assert deadline is None or deadline > self.now, "a deadline stays in the past"
        self.settle()
        due = self.voice.playback.next_due(self.now)
        assert not self._takes() or due is None or due > self.now, "a hand-over stays due"

    def look(self) -> list[Told]:
        """Look between two deadlines: there must be nothing to tell."""
        deadline = self.voice.next_deadline()
        if deadline is not None and deadline <= self.now:
            return []
        self.voice.tick(self.now)
        return self.voice.take()

    def _order(self, order: Callable[[], None], at: int | None = None) -> None:
        """Have the replica obey, when its order has arrived."""
        self._orders.append(((self.now if at is None else at) + self.manners.lag, order))
        self._orders.sort(key=lambda order: order[0])

    # --- what the replica tells

    def _collect(self) -> None:
        heard, manners = self.model.events, self.manners
        while self._said < len(heard):
            event, number = heard[self._said], self._said
            self._said += 1
            if manners.silent or number in manners.lost:
                continue
            shown: str | None = f"tavus-{number // 2}"
            if manners.ids == "ours" and not self._is_track:
                shown = event.inference_id
            elif manners.ids == "previous" and not self._is_track:
                shown = f"ab-{int(event.inference_id[3:]) - 1}"
            elif manners.ids is None:
                shown = None
            for form in manners.forms:
                told = Event(
                    event.at + manners.lag,
                    event.kind,
                    f"{form}.{event.kind}",
                    shown,
                    event.duration if manners.durations else None,
                    event.interrupted if manners.flag else None,
                )
                self._events += [told] * (2 if manners.doubled else 1)
        self._events.sort(key=lambda event: event.at)

    def _deliver(self, event: Event) -> None:
        playback = self.voice.playback
        if event.kind == "started":
            playback.started(event.form, event.inference_id, self.now)
        else:
            playback.stopped(
                event.form,
                event.inference_id,
                event.duration,
                interrupted=event.interrupted,
                now=self.now,
            )

    def replica_started(self, inference_id: str | None = None) -> None:
        """A start event written by hand."""
        self._deliver(Event(self.now, "started", "hand.started", inference_id, None, None))
        self.settle()

    def replica_stopped(
        self,
        ms: float | None = None,
        inference_id: str | None = None,
        *,
        interrupted: bool | None = None,
    ) -> None:
        """A stop event written by hand."""
        duration = None if ms is None else round(ms * S)
        self._deliver(
            Event(self.now, "stopped", "hand.stopped", inference_id, duration, interrupted)
        )
        self.settle()

    # --- what was told

    def log(self, *kinds: str) -> list[str]:
        """What was told so far, in short; only of these types, when any are named."""
        lines = [(_kind(message), _short(message)) for _, message in self.told]
        return [line for kind, line in lines if not kinds or kind in kinds]

    def take(self, *kinds: str) -> list[str]:
        """As ``log``, and forget it."""
        lines = self.log(*kinds)
        self.told.clear()
        return lines

    def done(self, utterance_id: str) -> out.UtteranceDone:
        """How an utterance ended: exactly once."""
        (done,) = [
            message
            for _, message in self.told
            if isinstance(message, out.UtteranceDone) and message.utterance_id == utterance_id
        ]
        return done

    def at(self, kind: str, utterance_id: str) -> float:
        """When something was told of an utterance, in ms since the beginning."""
        (at,) = [
            at
            for at, message in self.told
            if _kind(message) == kind and getattr(message, "utterance_id", None) == utterance_id
        ]
        return (at - SECOND) / MS

    def runs(self) -> list[str]:
        """Which utterances were handed over under which ids, in order, and where ``done`` was."""
        lines: list[str] = []
        for sent in self.sent:
            line = f"{sent.inference_id} {'done' if sent.done else sent.utterance_id}"
            if not lines or lines[-1] != line:
                lines.append(line)
        return lines

    def heard(self, utterance_id: str) -> bytes:
        """The speech of an utterance that was handed over."""
        return b"".join(
            sent.pcm[: 2 * sent.samples] for sent in self.sent if sent.utterance_id == utterance_id
        )


def echo_format(rate: int = 24_000) -> AudioFormat:
    """Mono 16 bits."""
    return AudioFormat(Encoding.S16LE, rate, 1)


def _kind(message: Told) -> str:
    return str(message.__struct_config__.tag)


def _short(message: Told) -> str:
    kind = _kind(message)
    match message:
        case out.UtteranceOpened():
            return f"opened {message.utterance_id}"
        case out.UtteranceStarted():
            return f"started {message.utterance_id} {message.source}"
        case out.UtteranceDone():
            code = f" {message.code}" if message.code else ""
            return (
                f"done {message.utterance_id} {message.status}{code} {message.received_ms}/"
                f"{message.sent_ms}/{message.played_ms} {message.source}"
            )
        case out.MarkReached():
            return f"mark {message.name} {message.outcome} {message.offset_ms}"
        case out.InterruptAccepted():
            of = message.utterance_id or "-"
            return f"accepted {message.epoch} {message.interrupted} {of} {message.dropped_ms}"
        case out.AudioDiscarded():
            return f"discarded {message.ms} {message.reason} {message.utterance_id or '-'}"
        case out.Error():
            return f"error {message.code}"
        case out.PlaybackPaused():
            return f"paused {message.unsent_ms}+{message.plays_on_ms}"
        case out.FlowPause() | out.FlowResume():
            return f"{kind} {message.buffered_ms}"
        case _:
            return kind
