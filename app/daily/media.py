"""What one Daily room shows: the replica's picture and sound, and the sound of the people in it.

Nothing is received that nobody wants: subscriptions come and go with the wishes. Facts about the
SDK (daily-python 0.36.0): a renderer can never be removed, so each is made once and the
subscription decides; it aborts the process for an id that is no UUID; its callbacks come on native
media threads, with a copy of the picture that is ours, and may hold up other rooms, so they only
leave what they got for the event loop. The time of receipt is the capture time: there is no other.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from daily import AudioData, CallClient, VideoFrame

from app.core.events import Participant
from app.core.media import RawPicture, Sound, Wants
from app.core.pcm import SAMPLE_BYTES, SAMPLE_RATE
from app.daily.crossing import Crossing
from app.runtime.clock import NS_PER_S, Clock, Handle, wall_us
from app.runtime.encoders import Encoders
from app.runtime.room import ReportMedia

PIECE_MS = 20
"""Of sound; it has to be a multiple of 10, or the SDK never calls."""

MAX_SOUNDS = 100
"""Pieces that may wait for the event loop; then the oldest go."""

RETRY_NS = NS_PER_S
"""Before a subscription that was refused, or never answered, is asked for again."""

ANSWER_NS = 5 * NS_PER_S
"""Longest wait for the answer to a subscription."""

CAMERA, MICROPHONE = "camera", "microphone"

log = logging.getLogger(__name__)


class RoomMedia:
    """One room's. All methods but the renderers' callbacks belong to the event loop."""

    def __init__(
        self, crossing: Crossing, clock: Clock, encoders: Encoders, show: ReportMedia
    ) -> None:
        """Show nothing; later what is wanted goes to ``show``, pictures as they were chosen."""
        self._crossing = crossing
        self._clock = clock
        self._show = show
        self._encoder = encoders.encoder(show)
        self._client: CallClient | None = None
        self._wants = Wants()
        self._there: tuple[Participant, ...] = ()
        self._subscriptions: dict[str, _Subscription] = {}
        self._rendered: set[tuple[str, str]] = set()
        """Participants and what of them has a renderer."""
        self._lock = threading.Lock()
        self._picture: RawPicture | None = None
        """The newest that the loop has not seen."""
        self._sounds: deque[Sound] = deque(maxlen=MAX_SOUNDS)
        """Those that the loop has not heard."""

    def enter(self, client: CallClient, there: Iterable[Participant]) -> None:
        """We are in the room."""
        self._client = client
        self.meet(there)

    def meet(self, there: Iterable[Participant]) -> None:
        """These are in the room now, in the order in which they came, ourselves left out."""
        self._there = tuple(there)
        self._update()

    def watch(self, wants: Wants) -> None:
        """Show this from now on, in place of what was wanted before."""
        self._wants = wants
        self._encoder.watch(wants.pictures)
        self._update()

    def close(self) -> None:
        """Show nothing more, and call the client no more."""
        self._client = None
        self._wants = Wants()
        self._encoder.close()
        for subscription in self._subscriptions.values():
            subscription.stop_waiting()

    # --- subscriptions

    def _update(self) -> None:
        """Ask for what is wanted of everybody, as far as that is news."""
        client = self._client
        if client is None:
            return
        here = {person.participant_id for person in self._there}
        for gone in self._subscriptions.keys() - here:
            self._subscriptions.pop(gone).stop_waiting()
        replica = next((p for p in reversed(self._there) if p.is_replica), None)
        for person in self._there:
            self._subscribe(client, person, self._wanted(person, replica))

    def _wanted(self, person: Participant, replica: Participant | None) -> frozenset[str]:
        """What of a participant is wanted; of several replicas, only of the last that came."""
        if not person.is_replica:
            return frozenset({MICROPHONE} if self._wants.people else ())
        if person is not replica:
            return frozenset()
        wishes = {CAMERA: bool(self._wants.pictures), MICROPHONE: self._wants.sound}
        return frozenset(kind for kind, wanted in wishes.items() if wanted)

    def _subscribe(self, client: CallClient, person: Participant, wanted: frozenset[str]) -> None:
        name = person.participant_id
        subscription = self._subscriptions.get(name)
        if subscription is None:
            if not wanted or not _is_uuid(name):
                return
            subscription = self._subscriptions[name] = _Subscription(person)
        if subscription.asked == wanted:
            return
        subscription.stop_waiting()
        subscription.asked = wanted
        subscription.alarm = self._clock.call_at(
            self._clock.now() + ANSWER_NS,
            partial(self._answered, subscription, wanted, "no answer"),
        )
        states = dict.fromkeys((CAMERA, MICROPHONE), "unsubscribed")
        states |= dict.fromkeys(wanted, "subscribed")

        def completed(error: str | None) -> None:
            self._crossing.post(self._answered, subscription, wanted, error, vital=True)

        try:
            client.update_subscriptions({name: {"media": states}}, completion=completed)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing was asked
            self._answered(subscription, wanted, str(error))

    def _answered(
        self, subscription: _Subscription, wanted: frozenset[str], error: str | None
    ) -> None:
        """The SDK has said what became of a request, or never will."""
        client, name = self._client, subscription.person.participant_id
        if (
            client is None
            or subscription is not self._subscriptions.get(name)
            or subscription.asked != wanted
        ):
            return  # we or they are gone, or something else is wanted by now
        subscription.stop_waiting()
        if error is not None:
            if not subscription.failed:
                log.warning("a participant's media cannot be had: %s", error)
            subscription.asked, subscription.failed = None, True
            subscription.alarm = self._clock.call_at(self._clock.now() + RETRY_NS, self._update)
            return
        who = None if subscription.person.is_replica else name
        subscription.failed = False
        for kind in wanted:
            if (name, kind) in self._rendered:
                continue
            self._rendered.add((name, kind))
            if kind == CAMERA:
                client.set_video_renderer(name, self._on_picture, color_format="I420")
            else:
                client.set_audio_renderer(
                    name,
                    partial(self._on_sound, who),
                    sample_rate=SAMPLE_RATE,
                    callback_interval_ms=PIECE_MS,
                )

    # --- what comes, on native threads

    def _on_picture(self, _name: str, frame: VideoFrame, _source: str) -> None:
        picture = RawPicture(frame.width, frame.height, frame.buffer, wall_us(self._clock))
        with self._lock:
            is_told, self._picture = self._picture is not None, picture
        if not is_told:
            self._crossing.post(self._bring_picture, vital=True)

    def _on_sound(self, who: str | None, _name: str, data: AudioData, _source: str) -> None:
        pcm = data.audio_frames
        if data.num_channels > 1:
            pcm = _first_channel(pcm, data.num_channels)
        took_us = len(pcm) // SAMPLE_BYTES * 1_000_000 // data.sample_rate
        sound = Sound(pcm, data.sample_rate, wall_us(self._clock) - took_us, who)
        with self._lock:
            is_told = bool(self._sounds)
            self._sounds.append(sound)
        if not is_told:
            self._crossing.post(self._bring_sounds, vital=True)

    # --- and on the loop

    def _bring_picture(self) -> None:
        with self._lock:
            picture, self._picture = self._picture, None
        if picture is not None:
            self._encoder.take(picture)

    def _bring_sounds(self) -> None:
        with self._lock:
            sounds = tuple(self._sounds)
            self._sounds.clear()
        for sound in sounds:
            if self._wants.sound if sound.participant_id is None else self._wants.people:
                self._show(sound)


class _Subscription:
    """A participant of whom something is, or was, wanted."""

    def __init__(self, person: Participant) -> None:
        self.person = person
        self.asked: frozenset[str] | None = frozenset()
        """What was asked for last; None: that failed."""
        self.failed = False
        """The last request did, and that was told."""
        self.alarm: Handle | None = None

    def stop_waiting(self) -> None:
        """Nothing is waited for any more."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name.lower()
    except ValueError:
        return False


def _first_channel(pcm: bytes, channels: int) -> bytes:
    """Leave out all channels but the first of interleaved 16-bit samples."""
    return memoryview(pcm).cast("h")[::channels].tobytes()
