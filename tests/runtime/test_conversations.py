from __future__ import annotations

import asyncio
from typing import Any

from app.core import events as e
from app.runtime.conversations import Conversations
from app.runtime.tasks import Tasks
from tests.support.clock import settle
from tests.support.world import S, World, spec


class Rig:
    """A session's conversations, and what they report."""

    def __init__(self) -> None:
        self.world = World()
        self.reports: list[object] = []
        self.facts: list[tuple[str, e.RoomFact]] = []
        self.tasks = Tasks(lambda _name, error: self.reports.append(error))
        self.conversations = Conversations(
            "sess_1",
            spec(renew=True),
            self.world.resources,
            self.tasks,
            self.reports.append,
            lambda conversation, fact: self.facts.append((conversation.conversation_id, fact)),
            lambda media: None,
            None,
        )

    async def start(self) -> None:
        """Be in the room of the first."""
        self.conversations.create()
        await settle()
        self.conversations.join()
        await settle()

    async def follow(self) -> None:
        """Be in the room of the next."""
        self.conversations.create_next()
        await settle()
        self.conversations.join_next()
        await settle()

    def about(self, conversation_id: str | None) -> str | None:
        """Which conversation a callback is about."""
        message: dict[str, Any] = {"conversation_id": conversation_id}
        found = self.conversations.about(message)
        return None if found is None else found.conversation_id

    async def close(self) -> None:
        """Let go of everything."""
        await self.tasks.close()
        await self.world.close()


async def test_each_has_a_name_of_its_own() -> None:
    """A lost one is found by it, and none is taken for another."""
    rig = Rig()
    await rig.start()
    await rig.follow()
    names = [row["conversation_name"] for row in rig.world.tavus.conversations.values()]
    await rig.close()

    assert ["Avatar Bridge [bridge/sess_1]", "Avatar Bridge [bridge/sess_1.2]"] == names


async def test_reports_say_which_one_they_are_about() -> None:
    """The table must not take the answer about the next for one about the first."""
    rig = Rig()
    await rig.start()
    first, rig.reports[:] = rig.reports.copy(), []
    await rig.follow()
    second = rig.reports.copy()
    rooms = {conversation_id for conversation_id, _ in rig.facts}
    await rig.close()

    assert [e.ConversationCreated] == [type(report) for report in first]
    assert [e.NextCreated()] == second
    assert {"c000001", "c000002"} == rooms


async def test_a_callback_is_about_one_of_them() -> None:
    """One that names none is about the first, as long as there is no other."""
    rig = Rig()
    first, alone = rig.conversations.current, rig.conversations.about({})
    await rig.start()
    unnamed = rig.about(None)
    await rig.follow()
    both = [rig.about(name) for name in ("c000001", "c000002", "c000003", None)]
    rig.conversations.move()
    moved = [rig.about(name) for name in ("c000001", "c000002")]
    rig.conversations.drop()
    dropped = rig.about("c000002")
    await settle()
    await rig.close()

    assert alone is first
    assert "c000001" == unnamed
    assert ["c000001", "c000002", None, None] == both
    assert [None, "c000002"] == moved
    assert None is dropped


async def test_the_one_before_lingers() -> None:
    """Its last words are still on their way to people; its room tells us nothing any more."""
    rig = Rig()
    await rig.start()
    await rig.follow()
    rig.conversations.move()
    await rig.conversations.left()
    rig.facts.clear()
    rig.world.rooms[0].fails()
    at_once = rig.world.tavus.active()
    await rig.world.clock.run(1 * S)
    active = rig.world.tavus.active()
    await rig.close()

    assert ["c000001", "c000002"] == at_once
    assert ["c000002"] == active
    assert [] == rig.facts
    assert rig.world.rooms[0].has_left


async def test_one_that_is_dropped_is_ended_once() -> None:
    """A conversation of no use has no last words, and is not dropped again by a move."""
    rig = Rig()
    await rig.start()
    rig.conversations.drop()
    await settle()
    active = rig.world.tavus.active()
    await rig.follow()
    rig.conversations.move()
    await rig.world.clock.run(2 * S)
    ends = [path for _, path, _ in rig.world.tavus.requests if path.endswith("/end")]
    await rig.close()

    assert [] == active
    assert ["/v2/conversations/c000001/end"] == ends


async def test_nothing_is_dropped_where_nothing_is() -> None:
    """An order that comes twice does nothing; a create that is under way is not known yet."""
    rig = Rig()
    await rig.start()
    rig.conversations.drop_next()
    rig.world.tavus.hold = asyncio.Event()
    rig.conversations.create_next()
    await settle()
    rig.conversations.drop_next()
    await settle()
    active = rig.world.tavus.active()
    await rig.close()

    assert ["c000001"] == active
