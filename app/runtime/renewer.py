"""Carries out a session's orders about its next conversation."""

from __future__ import annotations

import logging
from typing import assert_never

from app.core import commands as c
from app.core import wire_out as out
from app.errors import BridgeError
from app.runtime.bus import Bus
from app.runtime.clock import Clock
from app.runtime.conversation import Conversation
from app.runtime.conversations import Conversations
from app.runtime.frames import Frames
from app.runtime.metrics import Metrics
from app.runtime.room_facts import RoomFacts
from app.runtime.speaker import Speaker
from app.runtime.timers import Timers

log = logging.getLogger(__name__)

Order = (
    c.CreateNext
    | c.JoinNext
    | c.PrepareMove
    | c.MoveOver
    | c.DropConversation
    | c.DropNext
    | c.RenewLater
    | c.TellError
)
"""What it carries out."""


class Renewer:
    """One session's."""

    def __init__(  # noqa: PLR0917  # all that a move concerns
        self,
        session_id: str,
        clock: Clock,
        conversations: Conversations,
        speaker: Speaker,
        room_facts: RoomFacts,
        frames: Frames,
        timers: Timers,
        bus: Bus,
        metrics: Metrics,
    ) -> None:
        """Do nothing yet."""
        self._session_id = session_id
        self._clock = clock
        self._conversations = conversations
        self._speaker = speaker
        self._room_facts = room_facts
        self._frames = frames
        self._timers = timers
        self._bus = bus
        self._metrics = metrics

    def execute(self, order: Order) -> None:
        """Carry one out; what takes time is a task that reports a fact."""
        match order:
            case c.CreateNext():
                if not self._conversations.current.dropped:
                    self._speaker.expect_end(self._conversations.current.ends_at)
                self._conversations.create_next()
            case c.JoinNext():
                self._conversations.join_next()
            case c.PrepareMove():
                self._prepare_move()
            case c.MoveOver():
                self._move_over()
            case c.DropConversation():
                self._speaker.part()
                self._conversations.drop()
            case c.DropNext():
                self._speaker.stay()
                self._conversations.drop_next()
            case c.RenewLater(after_s):
                self._timers.renew_in(after_s)
            case c.TellError(error):
                self._tell_error(error)
            case _:
                assert_never(order)

    def _prepare_move(self) -> None:
        successor = self._conversations.next
        assert successor is not None  # it has reported that it is ready
        left = self._speaker.prepare_move() - self._clock.now()
        in_ms = max(0, left) // 1_000_000
        self._bus.publish(out.SessionRenewing(*_address(successor.conversation), in_ms))

    def _move_over(self) -> None:
        successor = self._conversations.move()
        conversation = successor.conversation
        assert conversation.room is not None  # we are in it
        log.info("%s goes on in %s", self._session_id, conversation.conversation_id)
        self._metrics.renewed(well=True)
        self._timers.follow(conversation.asked_at, conversation.ends_at)
        self._speaker.move(conversation.room, conversation.conversation_id)
        self._frames.enter(conversation.room)
        self._bus.publish(out.SessionRenewed(*_address(conversation)))
        self._room_facts.adopt(
            successor.there, successor.ours, is_told=successor.is_told, holds=successor.holds
        )

    def _tell_error(self, error: BridgeError) -> None:
        log.warning("%s could not be renewed: %s", self._session_id, error.detail)
        self._metrics.renewed(well=False)
        self._bus.publish(out.error_message(error))


def _address(conversation: Conversation) -> tuple[str, str]:
    assert conversation.created is not None  # its room was joined
    return conversation.conversation_id, conversation.created.conversation_url
