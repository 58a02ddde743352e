"""A session's conversations: the one that speaks, and the one that is made ready to follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.core import events as e
from app.core.limits import session_s
from app.core.spec import SessionSpec
from app.errors import RoomFailed
from app.runtime.clock import NS_PER_S
from app.runtime.conversation import Answer, Conversation
from app.runtime.journal import Claim
from app.runtime.resources import Resources
from app.runtime.room import ReportMedia
from app.runtime.successor import Successor
from app.runtime.tasks import Tasks

LINGER_NS = NS_PER_S
"""How long a conversation that was moved from goes on: people hear its last words a little later
than Tavus says that they were spoken."""

Report = Callable[[Answer | e.NextCreated | e.NextRefused | e.NextReady | e.NextFailed], None]
RoomReport = Callable[[Conversation, e.RoomFact], None]


class Conversations:
    """One session's. Each method is quick; what takes time is a task that reports a fact."""

    def __init__(  # noqa: PLR0917  # what and on what, then whom to tell
        self,
        session_id: str,
        spec: SessionSpec,
        res: Resources,
        tasks: Tasks,
        report: Report,
        report_of_room: RoomReport,
        show: ReportMedia,
        claim: Claim | None,
    ) -> None:
        """Begin with one that Tavus knows nothing of; the session's time runs from now on.

        ``show`` gets what is to be seen and heard in a room that is watched.
        """
        self._session_id = session_id
        self._spec = spec
        self._res = res
        self._tasks = tasks
        self._report = report
        self._report_of_room = report_of_room
        self._show = show
        self._ends_by = res.clock.now() + int(session_s(spec) * NS_PER_S)
        self._leaving: set[asyncio.Task[None]] = set()
        self._made = 1
        self.current = Conversation(session_id, spec, res, report, claim, ends_by=self._ends_by)
        """The one that speaks."""
        self.next: Successor | None = None
        """The one that may follow."""

    # --- the one that speaks

    def create(self) -> None:
        """Have Tavus make it."""
        self._spawn("create", self.current.create())

    def join(self, after_ms: int = 0) -> None:
        """Enter its room, after a while."""
        self._join(self.current, after_ms)

    def leave(self) -> None:
        """Leave its room."""
        self._leave(self.current)

    def end(self) -> None:
        """Have Tavus end it."""
        self._spawn("end", self.current.end())

    def drop(self) -> None:
        """Leave it and have it ended, whatever becomes of the session."""
        self._drop(self.current)

    # --- the next one

    def create_next(self) -> None:
        """Have Tavus make it."""
        self._made += 1
        conversation = Conversation(
            f"{self._session_id}.{self._made}",
            self._spec,
            self._res,
            self._take_next,
            ends_by=self._ends_by,
        )
        self.next = Successor(conversation, self._report)
        self._spawn("create the next", conversation.create())

    def join_next(self) -> None:
        """Enter its room."""
        assert self.next is not None  # the session table orders nothing else before
        self._join(self.next.conversation)

    def drop_next(self) -> None:
        """Leave it and have it ended."""
        if self.next is not None:
            self._drop(self.next.conversation)
            self.next = None

    def move(self) -> Successor:
        """Let the next one be the one that speaks, and drop the one before; returns it."""
        assert self.next is not None  # the session table orders nothing else before
        successor, self.next = self.next, None
        before, self.current = self.current, successor.conversation
        if not before.dropped:
            self._drop(before, LINGER_NS)
        return successor

    def about(self, message: dict[str, Any]) -> Conversation | None:
        """The conversation that a callback is about; None when it is none of these."""
        conversation_id = message.get("conversation_id")
        followed = None if self.next is None else self.next.conversation
        for conversation in filter(None, (self.current, followed)):
            created = conversation.created
            if created is not None and created.conversation_id == conversation_id:
                return None if conversation.dropped else conversation
        # The first may be told of before we know its id, and by a Tavus that names none.
        is_unknown = not conversation_id or self.current.created is None
        return self.current if self._made == 1 and is_unknown else None

    async def left(self) -> None:
        """Return when every room that was to be left has been."""
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _join(self, conversation: Conversation, after_ms: int = 0) -> None:
        def report(fact: e.RoomFact) -> None:
            self._report_of_room(conversation, fact)

        self._spawn("join", conversation.join(report, self._show, self._tasks, after_ms))

    def _drop(self, conversation: Conversation, after_ns: int = 0) -> None:
        conversation.dropped = True
        conversation.silence()
        self._leave(conversation)
        conversation.abandon(after_ns)

    def _leave(self, conversation: Conversation) -> None:
        leaving = self._spawn("leave", conversation.leave())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _take_next(self, answer: Answer) -> None:
        match answer:
            case e.ConversationCreated(over=over):
                self._report(e.NextCreated())
                if over:
                    self._report(e.NextFailed(RoomFailed("Tavus made a conversation that is over")))
            case e.ConversationRefused(error):
                self._report(e.NextRefused(error))
            case e.ConversationEnded():
                self._report(answer)

    def _spawn(self, name: str, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.spawn(f"{self._session_id} {name}", coro)
