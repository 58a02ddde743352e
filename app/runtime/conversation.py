"""One conversation at Tavus and our stay in its room: made, joined, left, ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.core import events as e
from app.core import tavus
from app.core.media import Media
from app.core.spec import SessionSpec
from app.errors import BridgeError, Internal, RoomFailed, SessionNotReady
from app.runtime.clock import NS_PER_S, deadline
from app.runtime.journal import Claim
from app.runtime.resources import Resources
from app.runtime.room import ReportFact, ReportMedia, Room
from app.runtime.tasks import Tasks

log = logging.getLogger(__name__)

INTERACT_NS = NS_PER_S // 2
"""The longest that an interaction waits for its place in the room's line."""

LEAVE_NS = 3 * NS_PER_S
"""The longest that leaving a room may take."""

Answer = e.ConversationCreated | e.ConversationRefused | e.ConversationEnded
"""What Tavus says."""


class Conversation:
    """Each method is one task's work; what came of it is reported as a fact."""

    def __init__(
        self,
        name: str,
        spec: SessionSpec,
        res: Resources,
        report: Callable[[Answer], None],
        claim: Claim | None = None,
        *,
        ends_by: int,
    ) -> None:
        """Make one that Tavus knows nothing of; ``claim`` is the create's ``Idempotency-Key``.

        ``name`` is the session's id, with a number if it is not its first: a lost one is found by
        it. ``ends_by`` is when the session ends at the latest, in ns.
        """
        self._name = name
        self._session_id, _, _ = name.partition(".")
        self._ends_by = ends_by
        self._spec = spec
        self._res = res
        self._report = report
        self._claim = claim
        self.created: e.ConversationCreated | None = None
        """What Tavus made."""
        self.room: Room | None = None
        """Ours, from ``join`` on."""
        self.asked_at = 0
        """When Tavus was asked for it, in ns."""
        self.ends_at = 0
        """When Tavus ends it at the earliest, in ns."""
        self.dropped = False
        """Given up, though its session may go on in another one."""
        self._generation = 0
        """How many rooms were made; only the newest is listened to."""

    @property
    def conversation_id(self) -> str:
        """Tavus's id; only where there is a conversation."""
        assert self.created is not None  # the session table orders nothing else before
        return self.created.conversation_id

    async def create(self) -> None:
        """Have Tavus make the conversation: once, whatever comes of it."""
        name = tavus.conversation_tag(
            self._res.settings.instance, self._name, self._spec.conversation_name
        )
        answer: Answer
        try:
            replica_name = await self._res.name_of(self._spec.pal)
            callback_url = self._res.callbacks.url(self._session_id)
            self.asked_at = self._res.clock.now()
            left_s = max(0, self._ends_by - self.asked_at) / NS_PER_S
            body = tavus.create_body(
                self._spec, name=name, callback_url=callback_url, left_s=left_s
            )
            self.ends_at = self.asked_at + body["properties"]["max_call_duration"] * NS_PER_S
            created = await self._res.bills.create(self._name, body, self._claim)
            answer = self.created = replace(created, replica_name=replica_name)
        except BridgeError as error:
            answer = e.ConversationRefused(error.copy())
        except Exception:
            log.exception("%s: creating the conversation broke", self._name)
            answer = e.ConversationRefused(Internal())
        self._report(answer)

    def join(
        self, report: ReportFact, show: ReportMedia, tasks: Tasks, after_ms: int = 0
    ) -> Coroutine[Any, Any, None]:
        """Enter the room, the first time or again, after a while.

        ``report`` is told what happens there, ``show`` gets what is to be seen and heard.

        From this call on nothing is heard of an older room: that place we have no more.
        """
        assert self.created is not None  # a room is joined only once there is one
        self._generation += 1
        generation = self._generation

        def report_of_this(fact: e.RoomFact) -> None:
            if generation == self._generation:
                report(fact)

        def show_of_this(media: Media) -> None:
            if generation == self._generation:
                show(media)

        if self.room is not None:
            tasks.spawn(f"{self._name} leave the lost room", self.room.leave())
        path = self._spec.audio_path
        make_room, clock = self._res.make_room, self._res.clock
        room = self.room = make_room(self.created, path, report_of_this, show_of_this, tasks)

        async def enter() -> None:
            if after_ms:
                await clock.sleep_until(clock.now() + after_ms * 1_000_000)
            if generation == self._generation:
                await room.join()

        return enter()

    async def interact(
        self, event_type: str, properties: dict[str, Any], *, is_ready: bool
    ) -> None:
        """Send a Tavus interaction to the room.

        Raises ``InvalidRequest``, ``TooLarge``, ``SessionNotReady`` unless the replica is there,
        and ``RoomFailed`` when the room does not take it.
        """
        conversation_id = "" if self.created is None else self.conversation_id
        message = tavus.interaction_message(conversation_id, event_type, properties)
        if self.room is None or not is_ready:
            raise SessionNotReady
        clock, taken = self._res.clock, 0
        with suppress(TimeoutError):
            async with deadline(clock, clock.now() + INTERACT_NS):
                taken = await self.room.send_message(message)
        if not taken:
            raise RoomFailed("the room did not take the message")

    def silence(self) -> None:
        """Hear nothing of its room any more."""
        self._generation += 1

    async def leave(self) -> None:
        """Leave the room, if it was entered."""
        if self.room is None:
            return
        clock = self._res.clock
        try:
            async with deadline(clock, clock.now() + LEAVE_NS):
                await self.room.leave()
        except TimeoutError:
            log.warning("%s could not leave its room in time", self._name)

    async def end(self) -> None:
        """End it at Tavus; returns when Tavus has confirmed it."""
        await self._res.bills.end(self.conversation_id, self._name)
        self._report(e.ConversationEnded())

    def abandon(self, after_ns: int) -> None:
        """Have it ended after a while, if it was made, whatever becomes of the session."""
        if self.created is not None:
            self._res.bills.abandon(self.conversation_id, self._name, after_ns)
