"""One session's voice: what producers send, what is handed over, what was played.

The parts are ``Intake`` (client → buffer), ``Playback`` (buffer → room, room → positions) and what
both share: the list of utterances and the one audio buffer. Here is what concerns both: the
interrupt, the pause and the end.

An interrupt has two halves, because the room must confirm the cut before anyone may be told of it:
``cut`` drops everything at once and ``report`` accounts for it when the room has answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.core import wire_out as out
from app.core.audio_path import AudioPath
from app.core.chunk import ECHO, ECHO_AT_ONCE, TRACK
from app.core.intake import Bounds, Intake
from app.core.pcm import earliest, ms_to_samples, samples_to_ms
from app.core.playback import Delivery, Playback
from app.core.playout import Playout
from app.core.run import PREBUFFER
from app.core.spec import AudioPathName
from app.core.speech import Speech
from app.core.utterances import Utterance, Utterances
from app.core.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """How a session's voice is made."""

    audio_path: AudioPathName = AudioPathName.ECHO
    lead_ms: int = 1500
    overlap: bool = False
    quality: str = "HQ"
    low_delay: bool = False
    """On ``echo``, hand over what there is, in place of whole 40 ms."""
    queued_utterances: int = 64
    stall_ns: int = 10_000_000_000
    """How long a replica may show no life."""
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class Cut:
    """An interrupt whose report is due."""

    epoch: int
    utterances: tuple[Utterance, ...]


class Voice:
    """Plain calls with ``now`` in ns; never waits. What there is to tell is taken with ``take``."""

    def __init__(self, options: VoiceOptions) -> None:
        """Make a silent one."""
        echo = options.audio_path is AudioPathName.ECHO
        self._told: list[out.ServerMessage] = []
        self._utterances = Utterances(options.queued_utterances)
        framing = (ECHO_AT_ONCE if options.low_delay else ECHO) if echo else TRACK
        self._path = AudioPath(framing, options.quality)
        self.playout = Playout(ms_to_samples(options.lead_ms) if echo else None)
        self._speech = Speech(overlap=options.overlap or not echo, joined=not echo)
        self.intake = Intake(self._utterances, self._path, self.playout, self._told, options.bounds)
        self.watchdog = Watchdog(options.stall_ns)
        self.playback = Playback(
            self._utterances, self.playout, self._speech, self.watchdog, self._told, closing=echo
        )

    @property
    def epoch(self) -> int:
        """How many interrupts there were."""
        return self._utterances.epoch

    @property
    def open(self) -> Utterance | None:
        """The open utterance."""
        return self._utterances.open

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._told)

    @property
    def has_only_speech(self) -> bool:
        """Whether an utterance is open, and there is nothing to tell."""
        return self._utterances.open is not None and not self._told

    @property
    def is_under_way(self) -> bool:
        """Whether the open utterance sounds and there is nothing to tell.

        That the device has played a frame then brings no deadline forward.
        """
        utterance = self._utterances.open
        return not self._told and utterance is not None and utterance.started_at is not None

    def is_routine(self, delivery: Delivery) -> bool:
        """Whether a chunk that was handed over calls for nothing by itself.

        Nothing is to be told, and ``next_deadline`` is no earlier for it: its utterance is alone in
        line and open, when it begins is known, and so is when its next mark is reached, if that is
        handed over.
        """
        utterance = delivery.utterance
        if utterance is None or not utterance.open or self._told or self.intake.flow_paused:
            return False
        if utterance.started_at is None and (
            utterance.sent < 2 * PREBUFFER or delivery.run.total < 2 * PREBUFFER
        ):
            return False
        if utterance.marks:
            position, before = utterance.marks[0][0], utterance.sent - delivery.chunk.samples
            if before < position <= utterance.sent or not delivery.run.plays_on:
                return False
        return self._utterances.line[0] is utterance

    def take(self) -> list[out.ServerMessage]:
        """What there is to tell since the last call, in order."""
        told = self._told.copy()
        self._told.clear()
        return told

    def tick(self, now: int) -> None:
        """Do what is due at ``now``."""
        self.intake.tick(now)
        self.playback.tick(now)
        self.intake.flow()

    def next_deadline(self) -> int | None:
        """When ``tick`` has something to do, in ns."""
        return earliest(self.intake.next_deadline(), self.playback.next_deadline())

    def is_active(self, now: int) -> bool:
        """Whether audio plays or is about to."""
        return self.playback.is_playing(now)

    # --- interrupt

    def cut(self, now: int, *, guard: str | None = None, in_band: bool = False) -> Cut | None:
        """Drop everything not handed over and raise the epoch; then ``report`` must follow.

        ``guard``: only when this utterance is playing, open or queued; else None is returned and
        nothing happens. ``in_band``: the producer itself interrupts, on its own connection.
        """
        self.playback.tick(now)
        if guard is not None and not self._utterances.waits(guard):
            return None
        self.intake.cut(now, in_band=in_band)
        cut = self._utterances.cut_all(now)
        self.playout.clear()
        self._speech.cut(now)
        self.watchdog.cut()
        self.playback.paused = False
        return Cut(self.epoch, tuple(cut))

    def report(
        self,
        cut: Cut,
        track_handed: int | None,
        now: int,
        ref: str | None = None,
        reason: str | None = None,
    ) -> out.InterruptAccepted:
        """Account for a cut: what was really handed over, and what was dropped.

        ``track_handed``: the track samples that the device really got since joining, None when it
        did not say.
        """
        self._speech.confirm(track_handed)
        self._speech.update(now)
        accounts = tuple(
            out.CutUtterance(u.utterance_id, u.received_ms, u.sent_ms, u.played_ms, u.dropped_ms)
            for u in cut.utterances
        )
        playing = next((u.utterance_id for u in cut.utterances if u.sent), None)
        accepted = out.InterruptAccepted(
            interrupted=bool(accounts),
            epoch=cut.epoch,
            dropped_ms=sum(account.dropped_ms for account in accounts),
            utterances=accounts,
            utterance_id=playing,
            reason=reason,
            id=ref,
        )
        self._told.append(accepted)
        for utterance in cut.utterances:
            self.playback.flush_marks(utterance)
        self.tick(now)
        return accepted

    def decline(self, ref: str | None = None, reason: str | None = None) -> out.InterruptAccepted:
        """Tell that an interrupt's guard stopped it: nothing was cut."""
        declined = out.InterruptAccepted(
            interrupted=False,
            epoch=self.epoch,
            dropped_ms=0,
            utterances=(),
            reason=reason,
            id=ref,
        )
        self._told.append(declined)
        return declined

    # --- pause

    def pause(self, now: int, ref: str | None = None) -> None:
        """Hold what is not handed over."""
        self.playback.paused = True
        self.watchdog.pause()
        unsent_ms = samples_to_ms(self.intake.unsent())
        self._told.append(out.PlaybackPaused(unsent_ms, self.playback.plays_on_ms(now), ref))

    def resume(self, ref: str | None = None) -> None:
        """Release what ``pause`` held."""
        self.playback.paused = False
        self._told.append(out.PlaybackResumed(ref))

    # --- the end

    def finish(self, now: int) -> None:
        """Account for everything that is left: the session is over."""
        self.intake.end()
        self.playback.tick(now)
        self.playback.released = False
        for utterance in self._utterances.cut:
            self.playback.finish(utterance, "interrupted", now)
        self._utterances.cut.clear()
        while self._utterances.line:
            utterance = self._utterances.line.popleft()
            utterance.failure = utterance.failure or "session_over"
            self.playback.finish(utterance, "failed", now)
        self.playout.clear()
