"""Every conversation that may cost money: written down before, ended after, whatever happens.

Tavus is asked for a conversation, and for the end of one, only here. There are three ways to lose
sight of one, and each leads back::

    ended, but Tavus has not confirmed it     asked again, with growing waits, until it does
    the process died                          its journal says what to end, or what to look for
    the answer to the create was lost         looked for by the tag in its name, then ended
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from app.core.events import ConversationCreated
from app.core.tavus import ConversationRow, is_tagged
from app.errors import (
    BridgeError,
    NotReady,
    TavusError,
    TavusTimeout,
    TavusUnavailable,
    TavusUnreachable,
)
from app.runtime.clock import NS_PER_S, Clock, deadline
from app.runtime.journal import Claim, Entry, Intent, Journal, JournalFailed
from app.runtime.metrics import Metrics
from app.runtime.tasks import Tasks
from app.runtime.tavus_api import TavusApi

log = logging.getLogger(__name__)

FIRST_RETRY_NS, LAST_RETRY_NS = NS_PER_S // 2, 30 * NS_PER_S
"""Between two attempts at the same thing: doubled from the first to the last."""

SEARCH_NS = 120 * NS_PER_S
"""How long a conversation is looked for. Tavus may take its time to make one, but not this much."""

MAX_PAGES = 100
"""Pages of one look; a list that never ends must not keep us."""


class Bills:
    """All of one process, and those that earlier ones on the same journal left."""

    def __init__(
        self,
        journal: Journal,
        tavus: TavusApi,
        clock: Clock,
        metrics: Metrics,
        *,
        instance: str,
        account: str,
    ) -> None:
        """Know none yet. ``account`` says where conversations are made, and only there ended."""
        self._journal = journal
        self._tavus = tavus
        self._clock = clock
        self._metrics = metrics
        self._instance = instance
        self._account = account
        self._running: dict[str, int] = {}
        """The rows of the conversations that this process has made, by their ids."""
        self._tasks = Tasks(_report)
        self._lost: dict[Entry, int] = {}
        """Conversations that are looked for, each until when."""
        self._looking = False
        self._more = asyncio.Event()
        """Fires when there is another one to look for."""
        self._strays = 0
        """Conversations without a session that are to be found or ended."""
        self._settled = asyncio.Event()
        self._settled.set()

    async def create(
        self, session_id: str, body: dict[str, Any], claim: Claim | None
    ) -> ConversationCreated:
        """Have Tavus make the conversation for ``core.tavus.create_body``'s body: once.

        Its ``conversation_name`` must be tagged with ``session_id``. Raises what
        ``TavusApi.create`` does, and ``NotReady`` when it could not be written down: then Tavus
        was not asked. What may exist after all is looked for, and ended.
        """
        intent = Intent(session_id, self._instance, self._account, body["conversation_name"])
        try:
            number = await self._journal.intend(intent, self._clock.wall_ms(), claim)
        except JournalFailed as error:
            log.exception("%s: no conversation without a note of it", session_id)
            raise NotReady("The service cannot write to its disk") from error
        try:
            created = await self._tavus.create(body)
        except Exception as error:
            if _is_certain(error):
                await self._note_end(number, session_id)
            else:
                log.warning("%s: Tavus may have made a conversation; looking for it", session_id)
                self._search(Entry(number, intent, None))
            raise
        self._running[created.conversation_id] = number
        await self._note_id(number, session_id, created.conversation_id)
        return created

    async def end(self, conversation_id: str, session_id: str) -> None:
        """Ask Tavus until it confirms: whatever goes wrong, it costs money until then."""
        delay = FIRST_RETRY_NS
        while True:
            try:
                await self._tavus.end(conversation_id)
            except BridgeError as error:
                log.warning("%s: ending at Tavus failed: %s", session_id, error.detail)
            except Exception:
                log.exception("%s: ending at Tavus broke", session_id)
            else:
                break
            delay = await self._back_off(delay)
        number = self._running.pop(conversation_id, None)
        if number is not None:
            await self._note_end(number, session_id)

    def abandon(self, conversation_id: str, session_id: str, after_ns: int = 0) -> None:
        """Have one ended, after a while, whose session has no use for it and does not wait."""
        self._stray(+1)

        async def end() -> None:
            await self._clock.sleep_until(self._clock.now() + after_ns)
            await self.end(conversation_id, session_id)
            self._stray(-1)

        self._tasks.spawn(f"{session_id} end abandoned conversation", end())

    async def recover(self) -> None:
        """Begin to end what earlier processes left; call it before the first ``create``.

        Raises ``JournalFailed``.
        """
        left = await self._journal.unended(self._account)
        for account in await self._journal.unended_elsewhere(self._account):
            log.warning(
                "conversations may still run at %s: start once with the settings of then", account
            )
        for entry in left:
            if entry.conversation_id is None:
                self._search(entry)
            else:
                self._stray(+1)
                self._end_stray(entry, entry.conversation_id, "left over")
        if left:
            log.warning(
                "conversations left by an earlier run: ending %d, looking for %d",
                len(left) - len(self._lost),
                len(self._lost),
            )

    async def settled(self) -> None:
        """Return when no conversation without a session is left to be found or ended."""
        await self._settled.wait()

    async def close(self) -> None:
        """Give up for now; the journal keeps what is left for the next process."""
        await self._tasks.close()
        if self._strays:
            log.error(
                "conversations that may still run, for the next start to end: %d", self._strays
            )

    # --- those without a session

    def _end_stray(self, entry: Entry, conversation_id: str, how: str) -> None:
        self._running[conversation_id] = entry.number
        session_id = entry.intent.session_id

        async def end() -> None:
            await self.end(conversation_id, session_id)
            log.info("%s: its %s conversation %s has ended", session_id, how, conversation_id)
            self._metrics.conversation_recovered(how)
            self._stray(-1)

        self._tasks.spawn(f"{session_id} end {how} conversation", end())

    def _search(self, entry: Entry) -> None:
        self._stray(+1)
        self._lost[entry] = self._clock.now() + SEARCH_NS
        self._more.set()
        if not self._looking:
            self._looking = True
            self._tasks.spawn("look for lost conversations", self._look())

    async def _look(self) -> None:
        """Look for all at once, until each is found or has had the time to turn up."""
        delay = FIRST_RETRY_NS
        while self._lost:
            self._more.clear()
            began, lost = self._clock.now(), dict(self._lost)
            try:
                rows = await self._active()
                known = await self._journal.known_ids() | self._running.keys()
            except (BridgeError, JournalFailed) as error:
                log.warning("looking for lost conversations failed: %s", error)
            except Exception:
                log.exception("looking for lost conversations broke")
            else:
                for entry, give_up in lost.items():
                    if await self._take(entry, rows, known):
                        del self._lost[entry]
                    elif began >= give_up:
                        await self._give_up(entry)
            if self._lost:
                delay = await self._until_next_look(delay)
        self._looking = False

    async def _until_next_look(self, delay: int) -> int:
        """Wait longer each time, but not for long when there is another one to look for."""
        now = self._clock.now()
        with contextlib.suppress(TimeoutError):
            async with deadline(self._clock, now + delay):
                await self._more.wait()
            delay = FIRST_RETRY_NS
            await self._clock.sleep_until(now + delay)
        return min(delay * 2, LAST_RETRY_NS)

    async def _give_up(self, entry: Entry) -> None:
        log.info("%s: Tavus has made no conversation", entry.intent.session_id)
        await self._note_end(entry.number, entry.intent.session_id)
        del self._lost[entry]
        self._stray(-1)

    async def _take(self, entry: Entry, rows: list[ConversationRow], known: set[str]) -> bool:
        """End the one that was looked for, if it is there: by its tag, and nobody else's."""
        intent = entry.intent
        for row in rows:
            if row.conversation_id not in known and is_tagged(
                row.name, intent.instance, intent.session_id
            ):
                log.warning(
                    "%s: found its lost conversation %s (face %s, pal %s)",
                    intent.session_id,
                    row.conversation_id,
                    row.face_id,
                    row.pal_id,
                )
                known.add(row.conversation_id)
                await self._note_id(entry.number, intent.session_id, row.conversation_id)
                self._end_stray(entry, row.conversation_id, "lost")
                return True
        return False

    async def _active(self) -> list[ConversationRow]:
        """Every conversation that runs, page by page."""
        rows: list[ConversationRow] = []
        seen = 0
        for number in range(1, MAX_PAGES + 1):
            page = await self._tavus.list(status="active", page=number)
            rows += (row for row in page.rows if not row.over)
            seen += page.length
            if not page.length or (page.total is not None and seen >= page.total):
                break
        return rows

    def _stray(self, step: int) -> None:
        self._strays += step
        self._metrics.stray_conversations(self._strays)
        if self._strays:
            self._settled.clear()
        else:
            self._settled.set()

    # --- notes; a failed one costs the next start a question to Tavus, and no money

    async def _note_id(self, number: int, session_id: str, conversation_id: str) -> None:
        try:
            await self._journal.created(number, conversation_id)
        except JournalFailed:
            log.exception("%s: its conversation %s is not noted", session_id, conversation_id)

    async def _note_end(self, number: int, session_id: str) -> None:
        try:
            await self._journal.ended(number, self._clock.wall_ms())
        except JournalFailed:
            log.exception("%s: the end of its conversation is not noted", session_id)

    async def _back_off(self, delay: int) -> int:
        await self._clock.sleep_until(self._clock.now() + delay)
        return min(delay * 2, LAST_RETRY_NS)


def _is_certain(error: Exception) -> bool:
    """Whether this answer to a create means that there is no conversation.

    A gateway in front of Tavus may fail after Tavus has done its work.
    """
    if isinstance(error, TavusUnavailable):
        return isinstance(error, TavusUnreachable)
    return isinstance(error, TavusError) and not isinstance(error, TavusTimeout)


def _report(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
