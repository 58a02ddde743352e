"""One Daily room: the client, and what is said and sent.

Every method belongs to the event loop; the SDK's threads come in only through ``Crossing``. A
client that is being released is called by nobody: ``_client`` is None before that begins. Facts
about the SDK are those of daily-python 0.36.0, measured.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import msgspec
from daily import CallClient, EventHandler

from app.core.room_link import (
    Came,
    Clear,
    Cleared,
    Consumed,
    Failed,
    Interrupted,
    Join,
    Joined,
    LinkBroken,
    Refused,
    Report,
    Restored,
    Said,
    Send,
    Sent,
    Unanswered,
    Watch,
    Went,
    Write,
)
from app.daily.audio import AudioOut
from app.daily.crossing import Crossing
from app.daily.errors import Refusal, check_address, is_too_large, refusal_for, without
from app.daily.media import RoomMedia
from app.daily.people import People
from app.runtime.clock import NS_PER_S, Clock, Handle, deadline
from app.runtime.encoders import Encoders
from app.runtime.room import ReportMedia

log = logging.getLogger(__name__)

JOIN_NS = 15 * NS_PER_S
"""A healthy join takes a few seconds; one that fails by itself may take 91."""

REQUEST_NS = 5 * NS_PER_S
"""For any other request: completions are known that never came."""

RELEASE_NS = 3 * NS_PER_S
"""Longest wait for a client's release; behind a join it can take 90 s, and goes on alone."""

INTERRUPTED_NS = 30 * NS_PER_S
"""Longest wait for interrupted signalling. Daily puts out who has none for about 20 s (its
JavaScript documentation), and then nobody may be left to tell us so."""

TRACK = "stream"
"""The name under which a Tavus replica listens to an audio track."""

NO_MEDIA = {
    "base": dict.fromkeys(("camera", "microphone", "screenVideo", "screenAudio"), "unsubscribed")
}
"""Without it the SDK receives and decodes everything that anybody shows."""

SETTINGS = {
    "inputs": {"camera": False, "microphone": False},
    "publishing": {"camera": False, "microphone": False},
}

PUBLISHING = {
    "customAudio": {
        TRACK: {
            "isPublishing": True,
            "sendSettings": {"channelConfig": "mono", "bitrate": 64_000},
        }
    }
}

NEVER = "never answered"
"""Instead of the SDK's error, when a request met our deadline."""

Completion = Callable[[str | None], None]

T = TypeVar("T")


class DailyRoom:
    """Our participant in one room."""

    def __init__(  # noqa: PLR0917  # which one and whom to tell, then what to run on
        self,
        number: int,
        tell: Callable[[Report], None],
        clock: Clock,
        attic: set[object],
        encoders: Encoders,
        show: ReportMedia,
        *,
        auto_silence: bool,
    ) -> None:
        """Be outside. ``attic`` keeps what must not be destroyed yet; media goes to ``show``."""
        self._number = number
        self._tell = tell
        self._clock = clock
        self._attic = attic
        self._auto_silence = auto_silence
        self._crossing = Crossing(asyncio.get_running_loop())
        self._media = RoomMedia(self._crossing, clock, encoders, show)
        self._client: CallClient | None = None
        self._audio: AudioOut | None = None
        self._is_in = False
        self._leaving = asyncio.Event()
        self._is_told = False
        """``Joined`` was told: who comes and goes now is told too."""
        self._interruption: Handle | None = None
        """The end of our patience, while signalling is interrupted."""
        self._has_failed = False
        self._joining: asyncio.Future[str | None] | None = None
        self._people = People()
        self._waiting: dict[int, Handle] = {}
        """Number of each unanswered message → its deadline."""

    # --- coming and going

    async def join(self, order: Join) -> None:
        """Enter the room; ``Joined`` or ``Failed`` is told, unless ``leave`` comes first."""
        wrong = check_address(order.url, order.url, order.token, order.name)
        if wrong is not None:
            self._fail(Refusal(wrong, again=False))
            return
        if order.replica_name != order.name:  # a former participant of ours is no replica
            self._people.replica_name = order.replica_name
        client = self._client = CallClient(event_handler=_Handler(self, self._crossing))
        error = await self._ask(
            lambda done: client.update_subscription_profiles(NO_MEDIA, completion=done)
        )
        if self._leaving.is_set():
            return
        if error is not None:
            log.warning("room %d: the subscriptions were not set: %s", self._number, error)
        client.set_user_name(order.name)
        refusal = await self._enter(client, order)
        if self._leaving.is_set():
            return
        if refusal is not None:
            self._fail(refusal)
            return
        if order.track:
            error = await self._publish(client)
            if self._leaving.is_set():
                return
            if error is not None:
                self._fail(Refusal("the audio track could not be published", again=True))
                return
        if not self._has_failed:
            self._is_told = True
            self._media.enter(client, self._people.there)
            self._tell(Joined(self._number, self._people.there, self._people.ours))
            if self._interruption is not None:
                self._tell(Interrupted(self._number))

    async def leave(self) -> None:
        """Let go of everything, in the order that does not crash; bounded, and only once."""
        if self._leaving.is_set():
            return
        self._leaving.set()
        self._media.close()
        self._is_told = False  # nobody wants to hear of it any more
        self._stop_waiting()
        if self._joining is not None:
            _resolve(self._joining, "we leave")
        if self._audio is not None:
            await self._audio.close()
        client = self._client
        if client is not None:
            if self._is_in:
                if self._audio is not None:
                    await self._ask(
                        lambda done: client.remove_custom_audio_track(TRACK, completion=done)
                    )
                await self._ask(lambda done: client.leave(completion=done))
            self._client = None
        self._crossing.close()
        for alarm in self._waiting.values():
            alarm.cancel()
        self._waiting.clear()
        if client is not None:
            await self._release(client)
            del client
        if self._audio is not None:
            self._audio.dispose_later()

    # --- what the service orders

    def write(self, order: Write) -> None:
        """Take a frame of track audio; dropped when there is no track."""
        if self._audio is not None:
            self._audio.write(order.epoch, order.pcm)

    def clear(self, order: Clear) -> None:
        """Drop the track audio that the source does not have."""
        given = 0 if self._audio is None else self._audio.clear(order.epoch)
        self._tell(Cleared(self._number, order.epoch, given))

    def watch(self, order: Watch) -> None:
        """Show what is wanted of the room, now or once we are in."""
        if not self._has_failed and not self._leaving.is_set():
            self._media.watch(order.wants)

    def send(self, order: Send) -> None:
        """Send an app message to everybody in the room."""
        number, client = order.number, self._client
        is_out = self._has_failed or not self._is_in or self._leaving.is_set()
        if client is None or is_out:
            self._tell(Refused(self._number, number, "we are not in the room", too_large=False))
            return
        at = self._clock.now() + REQUEST_NS
        self._waiting[number] = self._clock.call_at(at, lambda: self._give_up(number))

        def completed(error: str | None) -> None:
            self._crossing.post(self._on_sent, number, error, vital=True)

        try:
            client.send_app_message(msgspec.json.decode(order.message), completion=completed)
        except Exception as error:  # noqa: BLE001  # whatever it is, the message was not sent
            self._on_sent(number, str(error))

    # --- what the SDK tells, on the loop

    def on_joined(self, participant: Mapping[str, Any]) -> None:
        """Somebody came, or changed."""
        person = self._people.meet(participant)
        if person is not None and self._is_told:
            self._tell(Came(self._number, person))
            self._media.meet(self._people.there)

    def on_left(self, participant: Mapping[str, Any]) -> None:
        """Somebody went."""
        person = self._people.part(participant)
        if person is not None and self._is_told:
            self._tell(Went(self._number, person))
            self._media.meet(self._people.there)

    def on_message(self, message: Any) -> None:
        """Somebody said something, or pretends to be somebody."""
        if self._has_failed or self._leaving.is_set():
            return
        try:
            self._tell(Said(self._number, msgspec.json.encode(message).decode()))
        except (LinkBroken, RecursionError, TypeError, ValueError):
            log.warning("room %d: an app message cannot be passed on", self._number)

    def on_state(self, state: str) -> None:
        """Our own state in the room."""
        if state == "left" and self._is_in:
            self._fail(Refusal("we were put out of the room", again=True))

    def on_network(self, status: Mapping[str, Any]) -> None:
        """A connection was interrupted, or is there again; messages go by ``signalling``."""
        if status.get("connection") != "signalling":
            return
        is_interrupted = status.get("event") == "interrupted"
        if is_interrupted is (self._interruption is not None) or self._leaving.is_set():
            return
        self._stop_waiting()
        if is_interrupted:
            at = self._clock.now() + INTERRUPTED_NS
            lost = Refusal("the room's signalling did not come back", again=True)
            self._interruption = self._clock.call_at(at, lambda: self._fail(lost))
        if self._is_told:
            change = Interrupted if is_interrupted else Restored
            self._tell(change(self._number))

    # --- inside

    async def _enter(self, client: CallClient, order: Join) -> Refusal | None:
        """Join; a join that takes too long cannot be stopped, only left behind."""
        answer = self._joining = asyncio.get_running_loop().create_future()

        def completed(data: Mapping[str, Any] | None, error: str | None) -> None:
            self._crossing.post(self._on_entered, data, error, vital=True)

        try:
            client.join(
                order.url, order.token or None, client_settings=SETTINGS, completion=completed
            )
            async with deadline(self._clock, self._clock.now() + JOIN_NS):
                error = await answer
        except TimeoutError:
            return Refusal(f"the room could not be joined in {JOIN_NS // NS_PER_S} s", again=True)
        if error is not None:
            error = without(error, order.url, order.token)
            log.warning("room %d: the join failed: %s", self._number, error)
            return refusal_for(error)
        return None

    async def _publish(self, client: CallClient) -> str | None:
        """Make the audio track known in the room; returns what went wrong."""
        audio = self._audio = AudioOut(
            self._crossing,
            self._clock,
            self._attic,
            auto_silence=self._auto_silence,
            on_played=self._on_played,
            on_broken=self._on_broken,
        )
        track = audio.track
        assert track is not None  # it was made just now
        error = await self._ask(
            lambda done: client.add_custom_audio_track(
                TRACK, track, ignore_audio_level=True, completion=done
            )
        )
        if error is None and not self._leaving.is_set():
            error = await self._ask(
                lambda done: client.update_publishing(PUBLISHING, completion=done)
            )
        if error is not None:
            log.warning("room %d: the track was not published: %s", self._number, error)
        return error

    async def _release(self, client: CallClient) -> None:
        """Have the SDK let go of the client, on a thread that nobody needs to wait for."""
        released = asyncio.Event()
        back = Crossing(asyncio.get_running_loop())
        self._attic.add(client)

        def release() -> None:
            try:
                client.release()
            finally:
                back.post(released.set)

        threading.Thread(target=release, name="release", daemon=True).start()
        try:
            async with deadline(self._clock, self._clock.now() + RELEASE_NS):
                await released.wait()
        except TimeoutError:
            log.warning("room %d: its client takes long to release", self._number)
            return  # it stays in the attic
        self._attic.discard(client)

    async def _ask(self, request: Callable[[Completion], None]) -> str | None:
        """Make a request; returns its error, ``NEVER`` after our own deadline."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def completed(error: str | None) -> None:
            self._crossing.post(_resolve, answer, error, vital=True)

        try:
            request(completed)
            async with deadline(self._clock, self._clock.now() + REQUEST_NS):
                return await answer
        except TimeoutError:
            return NEVER
        except Exception as error:  # noqa: BLE001  # the SDK says no in many ways
            return str(error) or type(error).__name__

    def _on_entered(self, data: Mapping[str, Any] | None, error: str | None) -> None:
        """The join is over; who is there is noted before the next event, that one leaves."""
        if data is not None and error is None:
            self._is_in = True
            self._people.enter(data.get("participants", {}))
        if self._joining is not None:
            _resolve(self._joining, error)

    def _on_sent(self, number: int, error: str | None) -> None:
        """The SDK said what became of a message; too late when it was given up."""
        alarm = self._waiting.pop(number, None)
        if alarm is None:
            return
        alarm.cancel()
        if error is None:
            self._tell(Sent(self._number, number))
            return
        self._tell(Refused(self._number, number, error[:200], is_too_large(error)))

    def _give_up(self, number: int) -> None:
        del self._waiting[number]
        self._tell(Unanswered(self._number, number))

    def _on_played(self, samples: int) -> None:
        if not self._leaving.is_set():
            self._tell(Consumed(self._number, samples))

    def _on_broken(self) -> None:
        self._fail(Refusal("the audio source takes no more", again=True))

    def _stop_waiting(self) -> None:
        """Signalling is there again, or of no use any more."""
        if self._interruption is not None:
            self._interruption.cancel()
            self._interruption = None

    def _fail(self, refusal: Refusal) -> None:
        """Tell, once, that this is over."""
        if self._has_failed or self._leaving.is_set():
            return
        self._has_failed = True
        self._is_told = False
        self._media.close()
        for number in tuple(self._waiting):
            # It may have been delivered: said again it could be heard twice.
            self._waiting[number].cancel()
            self._give_up(number)
        self._tell(Failed(self._number, refusal.reason, refusal.again))


class _Handler(EventHandler):
    """Passes on what the SDK's thread tells, and never calls back."""

    def __new__(cls, *_: object) -> Self:
        """Be made without arguments: the SDK's own takes none."""
        return super().__new__(cls)

    def __init__(self, room: DailyRoom, crossing: Crossing) -> None:
        """Bring everything to ``room``, by way of ``crossing``."""
        super().__init__()
        self._room = room
        self._crossing = crossing

    def on_participant_joined(self, participant: Mapping[str, Any]) -> None:
        """Somebody came."""
        self._crossing.post(self._room.on_joined, participant)

    def on_participant_updated(self, participant: Mapping[str, Any]) -> None:
        """Somebody changed."""
        self._crossing.post(self._room.on_joined, participant)

    def on_participant_left(self, participant: Mapping[str, Any], reason: str) -> None:  # noqa: ARG002  # the SDK's names
        """Somebody went."""
        self._crossing.post(self._room.on_left, participant)

    def on_app_message(self, message: Any, sender: str) -> None:  # noqa: ARG002  # the SDK's names
        """Somebody said something."""
        self._crossing.post(self._room.on_message, message)

    def on_call_state_updated(self, state: str) -> None:
        """Our own state changed."""
        self._crossing.post(self._room.on_state, state)

    def on_network_connection_status_updated(self, status: Mapping[str, Any]) -> None:
        """A connection was lost or is there again."""
        self._crossing.post(self._room.on_network, status)


def _resolve(answer: asyncio.Future[T], value: T) -> None:
    if not answer.done():
        answer.set_result(value)
