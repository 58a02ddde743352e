"""The replica's ears and mouth, pure: audio in, and what was played when as facts out.

Every call takes ``now`` (integer ns, never going back), first plays up to it, and returns what has
happened since the last call, in order of time. Nothing here runs by itself: call ``advance`` at
``next_deadline`` or later. A late call loses and shifts nothing, because positions are computed
from the moment playback began, in whole samples at 24 kHz.

Audio starts to play when 100 ms of it are there, or all of it; when it runs dry inside an
utterance the replica falls silent, says so, and waits for 100 ms again, as Tavus does.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE, ms_to_samples, ns_to_samples, samples_to_ns
from app.sandbox.echo import AudioEcho, TextEcho
from app.sandbox.facts import Ignored, Played, ReplicaFact, Sound, Started, Stopped, Underrun
from app.sandbox.faults import DeadId, Faults, Ids, NewId
from app.sandbox.utterance import Piece, Utterance

PRE_BUFFER = 2400
"""Samples before playback starts: 100 ms, as Pipecat's mock of Tavus has it."""

REPORT = 2400
"""Samples played before another ``Played`` is worth its while, unless something happens."""

TRACK_SILENCE_NS = 300_000_000
"""So long after the last frame of the track its utterance is over."""

HOLD_BACK_NS = 3_000_000_000
"""So long after its last audio an utterance that is held back for its ``done`` is let go."""

MS = 1_000_000

DEAD_IDS = 1000
"""Interrupted ids remembered; the oldest are forgotten."""

LETTER = SAMPLE_RATE // 15
"""Samples that a letter of text lasts: 15 letters a second is usual English speech."""


class Replica:
    """Plays utterances one after another in real time."""

    def __init__(self, faults: Faults, make_id: Callable[[], str]) -> None:
        """Be silent. ``make_id`` makes the ids that Tavus would make."""
        self._faults = faults
        self._make_id = make_id
        self._queue: deque[Utterance] = deque()
        self._anchor: tuple[int, int] | None = None
        """While it speaks: a moment (ns) and the head's sample that began to sound then."""
        self._began = 0
        """The head's sample at the last ``Started``."""
        self._cuts: list[tuple[int, Iterable[Utterance]]] = []
        """When to cut which utterances, the earliest first; ``_queue`` itself stands for all."""
        self._dead: OrderedDict[str, None] = OrderedDict()
        self._turns = 0
        self._previous_id = ""
        self._facts: list[ReplicaFact] = []
        self._played = 0
        """Samples played of utterances that are over, and of the head what is reported."""
        self._overheard = 0
        """The head's samples that a listener has had, or has missed."""
        self._sounds: list[Sound] | None = None
        """What a listener has yet to take; None while nobody listens."""

    # --- what comes in

    def echo(
        self, now: int, echo: AudioEcho, *, epoch: int | None, silence: int
    ) -> list[ReplicaFact]:
        """Take an audio echo; ``silence`` samples at its end are padding."""
        self._play_to(now)
        lasts = len(echo.pcm) // SAMPLE_BYTES * SAMPLE_RATE // echo.sample_rate
        if self._is_dropped(echo.inference_id):
            self._facts.append(Ignored(now, lasts, "dead_id", echo.inference_id, epoch))
            return self._take_facts()
        utterance = self._open(now, echo.inference_id)
        utterance.append(now, echo.pcm, echo.sample_rate, silence=silence, epoch=epoch)
        # Nothing can be added to a message without an id, so it is whole as it is.
        if echo.done or echo.inference_id is None:
            utterance.close(now, epoch)
        self._settle(now)
        return self._take_facts()

    def say(self, now: int, echo: TextEcho, pcm: bytes | None) -> list[ReplicaFact]:
        """Take a text echo and its speech, 24 kHz mono s16le.

        Without a voice nothing sounds for as long as the text would last.
        """
        self._play_to(now)
        if self._is_dropped(echo.inference_id):
            self._facts.append(Ignored(now, 0, "dead_id", echo.inference_id))
            return self._take_facts()
        utterance = self._open(now, echo.inference_id)
        length = len(echo.text) * LETTER if pcm is None else len(pcm) // SAMPLE_BYTES
        utterance.add(now, Piece(pcm, length, 0, None, own_voice=True))
        utterance.close(now, None)
        self._settle(now)
        return self._take_facts()

    def track(self, now: int, pcm: bytes, *, epoch: int, silence: int) -> list[ReplicaFact]:
        """Take a frame of 24 kHz s16le track audio whose first sample sounds at ``now``."""
        self._play_to(now)
        utterance = self._queue[-1] if self._queue else None
        if utterance is None or not utterance.track or utterance.done or utterance.doomed:
            utterance = Utterance(None, self._spoken_id(None), track=True)
            self._queue.append(utterance)
        utterance.append(now, pcm, SAMPLE_RATE, silence=silence, epoch=epoch)
        utterance.heard_at = now + samples_to_ns(len(pcm) // SAMPLE_BYTES)
        self._settle(now)
        return self._take_facts()

    def interrupt(self, now: int) -> list[ReplicaFact]:
        """Cut all that is here now, at once or as late as the faults say."""
        self._play_to(now)
        if not self._faults.interrupt_ignored:
            met = [utterance for utterance in self._queue if not utterance.doomed]
            for utterance in met:
                utterance.doomed = True
                self._bury(utterance)
            self._cuts.append((now + self._faults.interrupt_slow_ms * MS, met))
            if self._faults.interrupt_again_after_ms is not None:
                again = now + self._faults.interrupt_again_after_ms * MS
                self._cuts.append((again, self._queue))
            self._cuts.sort(key=lambda cut: cut[0])
            self._play_to(now)
        return self._take_facts()

    def vanish(self, now: int) -> list[ReplicaFact]:
        """Leave the room: all audio is lost, and nothing is said about it."""
        self._play_to(now)
        self._cuts.clear()
        self._cut(now, list(self._queue))
        facts = self._take_facts()
        return [fact for fact in facts if not (isinstance(fact, Stopped) and fact.interrupted)]

    # --- the clock

    def next_deadline(self) -> int | None:
        """When ``advance`` next has something to do; None when only new audio changes anything."""
        deadlines = [self._cuts[0][0]] if self._cuts else []
        if self._queue:
            head = self._queue[0]
            if self._anchor is not None:
                at, position = self._anchor
                deadlines.append(at + samples_to_ns(self._available(head) - position))
            if not head.done and (head.track or self._is_held_back(head)):
                deadlines.append(self._patience_ends(head))
        return min(deadlines, default=None)

    def advance(self, now: int) -> list[ReplicaFact]:
        """Play up to ``now``."""
        self._play_to(now)
        return self._take_facts()

    def flush(self, now: int) -> list[ReplicaFact]:
        """Play up to ``now`` and report every sample of it."""
        self._play_to(now)
        self._report(now)
        return self._take_facts()

    # --- being listened to

    def played(self, now: int) -> int:
        """Samples that have sounded by ``now``, up to which it has played."""
        if self._anchor is None:
            return self._played
        return self._played + self._position(now) - self._queue[0].played

    def listen(self, now: int) -> list[Sound]:
        """What has sounded since the last call; the first time nothing.

        From then on it is kept, so go on asking, or say ``listen_no_more``. Changes nothing else:
        play up to ``now`` first.
        """
        self._overhear(now)
        sounds, self._sounds = self._sounds or [], []
        return sounds

    def listen_no_more(self) -> None:
        """Keep nothing for a listener."""
        self._sounds = None

    def _overhear(self, now: int) -> None:
        if self._anchor is None:
            return
        at, position = self._anchor
        begins, self._overheard = self._overheard, self._position(now)
        if self._sounds is not None and begins < self._overheard:
            pcm = self._queue[0].peek(begins, self._overheard)
            self._sounds.append(Sound(at, begins - position, pcm))

    def _play_to(self, now: int) -> None:
        while (due := self.next_deadline()) is not None and due <= now:
            self._step(due)
        if self._anchor is not None and self._position(now) - self._queue[0].played >= REPORT:
            self._report(now)

    def _step(self, at: int) -> None:
        """Do the one thing that is due at ``at``."""
        if self._cuts and self._cuts[0][0] <= at:
            _, utterances = self._cuts.pop(0)
            self._cut(at, list(utterances))
            return
        head = self._queue[0]
        waits = not head.done and (head.track or self._is_held_back(head))
        if waits and self._patience_ends(head) <= at:
            head.close(at, None)
        if self._anchor is not None and self._position(at) >= self._available(head):
            self._fall_silent(at, interrupted=False)
            head.dry_since = at
        self._settle(at)

    # --- the queue

    def _open(self, now: int, inference_id: str | None) -> Utterance:
        """The utterance that audio under this id belongs to, a new one if need be."""
        if inference_id is not None:
            for utterance in self._queue:
                if utterance.inference_id == inference_id and not (
                    utterance.done or utterance.doomed
                ):
                    return utterance
        if inference_id is None or self._faults.new_id is NewId.CUT:
            self._cut(now, list(self._queue))
        utterance = Utterance(inference_id, self._spoken_id(inference_id))
        self._queue.append(utterance)
        return utterance

    def _spoken_id(self, inference_id: str | None) -> str:
        """The id that speaking events will carry for an utterance."""
        honest = inference_id
        if honest is None or self._faults.ids is Ids.TAVUS:
            honest = self._make_id()
        shown = self._previous_id if self._faults.ids is Ids.PREVIOUS else honest
        self._previous_id = honest
        return shown

    def _cut(self, at: int, utterances: list[Utterance]) -> None:
        """Stop and drop these utterances."""
        for utterance in utterances:
            if utterance not in self._queue:
                continue  # it came to its end before a slow replica obeyed
            if utterance is self._queue[0] and self._anchor is not None:
                self._fall_silent(at, interrupted=True)
            self._bury(utterance)
            self._queue.remove(utterance)
            left = utterance.received - utterance.played
            if left:
                self._facts.append(Ignored(at, left, "interrupted", utterance.inference_id))
        self._settle(at)

    def _settle(self, at: int) -> None:
        """With nothing sounding: let go of what is over and begin what is ready."""
        while self._anchor is None and self._queue:
            head = self._queue[0]
            last_chance = head.done or len(self._queue) > 1
            unplayed = self._available(head) - head.played
            if unplayed >= PRE_BUFFER or (last_chance and unplayed):
                self._begin(at, head)
            elif last_chance:
                self._queue.popleft()
            else:
                return

    def _begin(self, at: int, head: Utterance) -> None:
        if not head.turn:
            self._turns += 1
            head.turn = self._turns
        if head.dry_since is not None:
            self._facts.append(Underrun(at, at - head.dry_since, head.inference_id))
            head.dry_since = None
        self._anchor = (at, head.played)
        self._began = self._overheard = head.played
        self._facts.append(Started(at, head.spoken_id, head.turn))

    def _fall_silent(self, at: int, *, interrupted: bool) -> None:
        self._report(at)
        head = self._queue[0]
        self._anchor = None
        self._facts.append(
            Stopped(at, head.spoken_id, head.turn, head.played - self._began, interrupted)
        )

    def _report(self, now: int) -> None:
        if self._anchor is None:
            return
        self._overhear(now)
        head = self._queue[0]
        ends = self._position(now)
        self._played += ends - head.played
        for piece in head.take(ends - head.played):
            self._facts.append(Played(now, piece, head.inference_id, head.spoken_id))

    def _position(self, now: int) -> int:
        """The head's samples that have sounded by ``now``."""
        assert self._anchor is not None  # only asked while it speaks
        at, position = self._anchor
        return min(position + ns_to_samples(now - at), self._available(self._queue[0]))

    def _available(self, head: Utterance) -> int:
        """The head's samples that may sound."""
        if self._is_held_back(head):
            return max(head.played, head.received - ms_to_samples(self._faults.hold_back_ms))
        return head.received

    def _is_held_back(self, head: Utterance) -> bool:
        return bool(
            self._faults.hold_back_ms
            and not (head.done or head.track or len(self._queue) > 1)
            and head.received
        )

    def _patience_ends(self, head: Utterance) -> int:
        return head.heard_at + (TRACK_SILENCE_NS if head.track else HOLD_BACK_NS)

    def _is_dropped(self, inference_id: str | None) -> bool:
        return inference_id in self._dead and self._faults.dead_id is DeadId.DROP

    def _bury(self, utterance: Utterance) -> None:
        if utterance.inference_id is not None:
            self._dead[utterance.inference_id] = None
            while len(self._dead) > DEAD_IDS:
                self._dead.popitem(last=False)

    def _take_facts(self) -> list[ReplicaFact]:
        facts, self._facts = self._facts, []
        return facts
