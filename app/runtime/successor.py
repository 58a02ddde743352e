"""The next conversation, made ready beside the one that speaks: who is in its room, is it well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.core import events as e
from app.core import tavus
from app.errors import BridgeError, ReplicaLost, RoomFailed
from app.runtime.conversation import Conversation


class Successor:
    """Nothing is spoken there yet; what others say there is not told."""

    def __init__(
        self, conversation: Conversation, report: Callable[[e.NextReady | e.NextFailed], None]
    ) -> None:
        """Hear of its room by ``take``; ``report`` is told when it is ready, and if it fails."""
        self.conversation = conversation
        self.holds = True
        """Whether messages reach the room."""
        self.is_told = False
        """Tavus has said that the replica is there."""
        self._report = report
        self.ours = ""
        """Our own participant id there."""
        self._there: dict[str, e.Participant] = {}
        self._has_joined = False

    @property
    def there(self) -> tuple[e.Participant, ...]:
        """Who is in the room."""
        return tuple(self._there.values())

    def take(self, fact: e.RoomFact) -> None:
        """Take what the room reports."""
        match fact:
            case e.RoomJoined(participants, ours):
                self._has_joined, self.ours = True, ours
                self._there = {each.participant_id: each for each in participants}
                self._look()
            case e.ParticipantJoined(participant):
                self._there[participant.participant_id] = participant
                self._look()
            case e.ParticipantLeft(participant):
                known = self._there.pop(participant.participant_id, participant)
                if known.is_replica and not any(each.is_replica for each in self.there):
                    self._fail(ReplicaLost("The replica left the next conversation"))
            case e.AppMessageReceived(message):
                self.take_message(message)
            case e.RoomFailed(error) | e.RoomLost(error):
                self._fail(error)
            case e.LinkInterrupted():
                self.holds = False
            case e.LinkRestored():
                self.holds = True
            case e.AudioConsumed() | e.MessageFailed():
                pass  # it was handed nothing

    def take_message(self, message: dict[str, Any] | str) -> None:
        """Take what Tavus says in the room, or posts."""
        match tavus.read_app_message(message):
            case tavus.ReplicaPresent():
                self.is_told = True
                self._look()
            case tavus.ShutDown(reason):
                self._fail(RoomFailed(f"Tavus ended the next conversation: {reason}"))

    def _look(self) -> None:
        if self._has_joined and (self.is_told or any(each.is_replica for each in self.there)):
            self._report(e.NextReady())

    def _fail(self, error: BridgeError) -> None:
        self._report(e.NextFailed(error))
