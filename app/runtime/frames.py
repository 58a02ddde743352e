"""A session's picture and sound on their way to those who watch: media, never events.

The room is watched from the first viewer to the last, and asked for nothing that none of them
wants, but for the sound of people where the service itself listens. What it gives is labelled once,
with what the replica was saying at that moment, and goes to every viewer whose choice it answers;
each has a small queue of its own (``FrameQueue``), so that one who does not read costs the others
nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec.structs import replace

from app.core import wire_out as out
from app.core.frame_header import PICTURE_CODECS, S16LE, UNKNOWN_OFFSET, FrameKind, size
from app.core.frame_queue import Frame, FrameQueue
from app.core.hearing import Hearing
from app.core.media import Choices, Media, Picture, Sound, Wants
from app.runtime.clock import NS_PER_S, Clock, wall_us
from app.runtime.metrics import Metrics
from app.runtime.room import Room
from app.runtime.speaker import Speaker

STATS_NS = 5 * NS_PER_S
"""How often a viewer is told what became of its frames."""

MAX_HEARINGS = 64
"""Sounds that are resampled at once, sources times rates; the one unheard for longest goes."""


class Viewer:
    """One connection that may watch: what waits for it, and its wake-up call."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        wake: Callable[[], None],
        tell: Callable[[out.FramesStats], None],
    ) -> None:
        """Watch nothing.

        ``wake`` is called when a frame waits, ``tell`` now and then with what became of them.
        """
        self._clock = clock
        self._metrics = metrics
        self._wake = wake
        self._tell = tell
        self._stats_at = 0
        self.queue = FrameQueue()

    def begin(self, choices: Choices) -> None:
        """Want this from now on."""
        self._stats_at = self._clock.now() + STATS_NS
        self.queue.choose(choices)

    def push(self, frame: Frame, skipped: int = 0) -> None:
        """Let a frame wait."""
        lost = self.queue.push(frame, skipped)
        if lost:
            self._metrics.frames_dropped(frame.kind.name.lower(), lost)
        self._wake()

    def take(self) -> bytes | None:
        """Take the next frame for the wire, None when none waits.

        Now and then it first tells what became of those before.
        """
        if self._clock.now() >= self._stats_at:
            self._tell(self.stats())
        taken = self.queue.pop()
        if taken is None:
            return None
        kind, frame = taken
        self._metrics.frame_sent(kind.name.lower())
        return frame

    def stats(self, ref: str | None = None) -> out.FramesStats:
        """What became of the frames so far; due again after a while."""
        self._stats_at = self._clock.now() + STATS_NS
        return out.FramesStats(self.queue.sent, self.queue.dropped, ref)


class Frames:
    """One session's viewers."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        speaker: Speaker,
        number_of: Callable[[str], int | None],
        *,
        listens: bool,
    ) -> None:
        """Have none; ``number_of`` tells a participant's number.

        ``listens``: people are to be heard even when no viewer wants it.
        """
        self._clock = clock
        self._metrics = metrics
        self._speaker = speaker
        self._number_of = number_of
        self._viewers: dict[Viewer, None] = {}
        self._hearings: OrderedDict[tuple[str | None, int], Hearing] = OrderedDict()
        self._room: Room | None = None
        self._listens = listens
        self._wants = Wants(people=listens)

    def enter(self, room: Room) -> None:
        """Watch this room from now on."""
        self._room = room
        if self._wants:
            room.watch(self._wants)

    def subscribe(self, viewer: Viewer, choices: Choices) -> None:
        """Give a viewer this from now on, in place of what it had."""
        if viewer not in self._viewers:
            self._viewers[viewer] = None
            self._metrics.viewer_came()
        viewer.begin(choices)
        self._watch()

    def unsubscribe(self, viewer: Viewer) -> None:
        """Give a viewer nothing more; the second time does nothing."""
        if viewer in self._viewers:
            del self._viewers[viewer]
            self._metrics.viewer_went()
            viewer.begin(Choices())
            self._watch()

    def take(self, media: Media) -> None:
        """Pass on what the room gives."""
        if isinstance(media, Picture):
            self._take_picture(media)
        elif media.participant_id is None:
            self._take_sound(media, FrameKind.AUDIO, lambda choices: choices.audio)
        else:
            self._take_sound(media, FrameKind.USER_AUDIO, lambda choices: choices.user_audio)

    def _watch(self) -> None:
        """Have the room give what is wanted now, if that is news."""
        wants = Wants.of(viewer.queue.choices for viewer in self._viewers)
        wants = replace(wants, people=wants.people or self._listens)
        if wants == self._wants:
            return
        self._wants = wants
        if not wants.sound and not wants.people:
            self._hearings.clear()
        self._speaker.watching(watched=bool(wants.pictures))
        if self._room is not None:
            self._room.watch(wants)

    def _take_picture(self, picture: Picture) -> None:
        self._speaker.picture()
        number, offset_ms = self._label(picture.captured_us)
        frame = Frame(
            FrameKind.VIDEO,
            PICTURE_CODECS[picture.choice.codec],
            picture.captured_us,
            number,
            offset_ms,
            size(picture.width, picture.height),
            picture.data,
        )
        for viewer in self._viewers:
            if viewer.queue.choices.video == picture.choice:
                viewer.push(frame, picture.skipped)

    def _take_sound(
        self, sound: Sound, kind: FrameKind, rate_of: Callable[[Choices], int | None]
    ) -> None:
        number = 0
        if sound.participant_id is not None:
            known = self._number_of(sound.participant_id)
            if known is None:
                return  # their coming is not told yet
            number = known
        frames: dict[int, Frame | None] = {}
        for viewer in self._viewers:
            rate = rate_of(viewer.queue.choices)
            if rate is None:
                continue
            if rate not in frames:
                frames[rate] = self._frame(sound, kind, rate, number)
            frame = frames[rate]
            if frame is not None:
                viewer.push(frame)

    def _frame(self, sound: Sound, kind: FrameKind, rate: int, number: int) -> Frame | None:
        """Make a frame of what there is at this rate, None when that is nothing yet."""
        heard = self._hearing(sound.participant_id, rate).hear(sound)
        if heard is None:
            return None
        offset_ms = UNKNOWN_OFFSET
        if kind is FrameKind.AUDIO:
            number, offset_ms = self._label(heard.captured_us)
        return Frame(kind, S16LE, heard.captured_us, number, offset_ms, rate, heard.pcm)

    def _hearing(self, participant_id: str | None, rate: int) -> Hearing:
        key = (participant_id, rate)
        hearing = self._hearings.setdefault(key, Hearing(rate))
        self._hearings.move_to_end(key)
        if len(self._hearings) > MAX_HEARINGS:
            self._hearings.popitem(last=False)
        return hearing

    def _label(self, captured_us: int) -> tuple[int, int]:
        """Which utterance sounded then, and how far it was."""
        ago_ns = (wall_us(self._clock) - captured_us) * 1000
        spoken = self._speaker.voice.playback.spoken_at(self._clock.now() - ago_ns)
        return spoken or (0, UNKNOWN_OFFSET)
