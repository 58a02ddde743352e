"""The speaking events, in the words and with the doubles that Tavus uses.

Source: Tavus's event schemas of 2026: the unified ``conversation.started_speaking`` and
``.stopped_speaking`` come twice (role ``pal`` and the older word ``replica``), beside them the
older ``conversation.replica.*`` events. ``seq`` rises by message, ``turn_idx`` by turn.
"""

from __future__ import annotations

from typing import Any

from app.core.pcm import SAMPLE_RATE
from app.sandbox.facts import Started, Stopped
from app.sandbox.faults import Faults

Message = dict[str, Any]


class SpeakingEvents:
    """Turns what the replica did into what Tavus says about it, faults included."""

    def __init__(self, faults: Faults, conversation_id: str) -> None:
        """Speak about one conversation."""
        self._faults = faults
        self._conversation_id = conversation_id
        self._seq = 0
        self._held_start: list[Message] = []

    def of(self, fact: Started | Stopped) -> list[Message]:
        """The messages to send about this fact, in order; ``seq`` is not yet in them."""
        faults = self._faults
        if isinstance(fact, Started):
            messages = [] if faults.missing_started else self._forms("started_speaking", fact, {})
            if faults.out_of_order:
                self._held_start, messages = messages, []
        else:
            silent = faults.missing_stopped or (
                fact.interrupted and faults.interrupt_unacknowledged
            )
            duration = fact.samples / SAMPLE_RATE if faults.durations else None
            properties = {"interrupted": fact.interrupted, "duration": duration}
            messages = [] if silent else self._forms("stopped_speaking", fact, properties)
            messages += self._held_start
            self._held_start = []
        return [message for message in messages for _ in range(2 if faults.duplicated else 1)]

    def sealed(self, message: Message) -> Message:
        """The message with the ``seq`` of this moment, as it goes out."""
        self._seq += 1
        sealed = {**message, "conversation_id": self._conversation_id, "seq": self._seq}
        if self._faults.omit_conversation_id:
            del sealed["conversation_id"]
        return sealed

    def _forms(self, verb: str, fact: Started | Stopped, properties: Message) -> list[Message]:
        unified: Message = {
            "message_type": "conversation",
            "event_type": f"conversation.{verb}",
            "turn_idx": fact.turn,
            "inference_id": fact.spoken_id,
            "properties": {"role": "pal", **properties},
        }
        if not self._faults.twins:
            return [unified]
        older = {"inference_id": fact.spoken_id, **properties}  # its place in 2025
        return [
            unified,
            {**unified, "properties": {**unified["properties"], "role": "replica"}},
            {**unified, "event_type": f"conversation.replica.{verb}", "properties": older},
        ]
