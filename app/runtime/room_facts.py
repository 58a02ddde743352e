"""What a room reports, brought to whom it concerns: the session's table, the voice, the clients."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, assert_never

from app.core import events as e
from app.core import tavus
from app.core.occupants import News, Occupants
from app.core.wire_out import TavusEvent
from app.runtime.bus import Bus
from app.runtime.metrics import Metrics
from app.runtime.speaker import Speaker

log = logging.getLogger(__name__)

Reported = News | e.RoomJoined | e.RoomFailed | e.RoomLost | e.ConversationShutDown
"""What of it the session's table takes."""


class RoomFacts:
    """One session's. A fact may come late or twice."""

    def __init__(
        self,
        occupants: Occupants,
        speaker: Speaker,
        bus: Bus,
        metrics: Metrics,
        post: Callable[[Reported], None],
    ) -> None:
        """Bring facts for the table to ``post``."""
        self._occupants = occupants
        self._speaker = speaker
        self._bus = bus
        self._metrics = metrics
        self._post = post

    def take(self, fact: e.RoomFact) -> None:
        """Bring one fact to where it belongs."""
        speaker, occupants = self._speaker, self._occupants
        match fact:
            case e.RoomJoined(participants, ours):
                self._post(fact)
                for news in occupants.entered(participants, ours):
                    self._post(news)
                self._tell(occupants.told())  # a callback may have been quicker than we
            case e.ParticipantJoined(participant):
                self._tell(occupants.joined(participant))
            case e.ParticipantLeft(participant):
                self._tell(occupants.left(participant))
            case e.AppMessageReceived(message, at):
                self._take_message(message, at)
            case e.AudioConsumed(samples, at):
                speaker.consumed(samples, at)
                return
            case e.MessageFailed():
                log.warning("a message was not delivered: %s", fact.reason)
                self._metrics.message_failed(definite=fact.definite)
                speaker.failed(fact)
            case e.LinkInterrupted():
                speaker.link(holds=False)
            case e.LinkRestored():
                speaker.link(holds=True)
            case e.RoomLost(error):
                log.warning("the room was lost: %s", error.detail)
                self._metrics.room_lost()
                occupants.lose_sight()
                speaker.lost(fact)
                self._post(fact)
            case e.RoomFailed():
                self._post(fact)
            case _:
                assert_never(fact)
        speaker.changed()

    def adopt(
        self, there: tuple[e.Participant, ...], ours: str, *, is_told: bool, holds: bool
    ) -> None:
        """We are in another room from now on, as ``ours``, with these people and the replica.

        ``is_told``: Tavus has said so. ``holds``: messages reach the room.
        """
        self._occupants.lose_sight()
        for news in self._occupants.entered(there, ours):
            self._post(news)
        if is_told:
            self._tell(self._occupants.present())
        self._speaker.link(holds=holds)

    def take_callback(self, message: dict[str, Any]) -> None:
        """Bring what Tavus posts to our address to where it belongs; most of it concerns nobody."""
        match tavus.read_app_message(message):
            case tavus.ReplicaPresent():
                self._tell(self._occupants.present())
            case tavus.ShutDown(reason):
                self._post(e.ConversationShutDown(reason))

    def _take_message(self, message: dict[str, Any] | str, at: int) -> None:
        try:
            self._bus.publish(TavusEvent(message))
        except RecursionError:
            log.warning("an app message nests too deep to be told")
        playback = self._speaker.voice.playback
        match tavus.read_app_message(message):
            case tavus.ReplicaStarted(form, inference_id):
                playback.started(form, inference_id, at)
            case tavus.ReplicaStopped(form, inference_id, duration, interrupted):
                playback.stopped(form, inference_id, duration, interrupted=interrupted, now=at)
            case tavus.ReplicaPresent():
                self._tell(self._occupants.present())
            case tavus.ShutDown(reason):
                self._post(e.ConversationShutDown(reason))

    def _tell(self, news: News | None) -> None:
        if news is not None:
            self._post(news)
