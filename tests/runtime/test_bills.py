from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from app import errors
from app.core.tavus import conversation_tag
from app.runtime.bills import SEARCH_NS
from app.runtime.journal import Intent
from tests.support.clock import settle
from tests.support.world import S, World

TAG = conversation_tag("bridge", "sess_1", None)
BODY = {"conversation_name": TAG}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A Tavus, a disk and a clock."""
    world = World()
    yield world
    await world.close()


async def states(world: World) -> list[tuple[str, str | None]]:
    """What the journal says of each conversation."""
    query = "SELECT state, conversation_id FROM conversations ORDER BY number"
    rows: list[tuple[str, str | None]] = world.database.execute(query).fetchall()
    return rows


def oops(status: int = 500) -> JSONResponse:
    """Make an error of Tavus."""
    return JSONResponse({"message": "oops"}, status_code=status)


async def left_over(world: World, conversation_id: str | None, *, account: str = "here") -> None:
    """Note a conversation as an earlier process did."""
    intent = Intent("sess_1", "bridge", account, TAG)
    number = await world.journal.intend(intent, world.clock.wall_ms())
    if conversation_id is not None:
        await world.journal.created(number, conversation_id)


# --- the straight way


async def test_a_conversation_is_noted_before_it_costs_anything(world: World) -> None:
    """An intent before Tavus is asked, the id when it has answered, the end when it confirmed."""
    seen = []

    async def look(_request: httpx.Request) -> None:
        seen.append(await states(world))

    world.http.event_hooks = {"request": [look]}
    created = await world.bills.create("sess_1", BODY, None)
    await world.bills.end(created.conversation_id, "sess_1")
    seen.append(await states(world))

    assert [[("intent", None)], [("created", "c000001")], [("ended", "c000001")]] == seen
    assert [] == world.tavus.active()


async def test_without_a_note_tavus_is_not_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be found again is never made."""
    world.disk.broken = True
    with pytest.raises(errors.NotReady):
        await world.bills.create("sess_1", BODY, None)

    assert [] == world.tavus.requests
    assert "database or disk is full" in caplog.text


async def test_what_tavus_refused_is_over(world: World) -> None:
    """Nothing is looked for that cannot exist."""
    world.tavus.next_answers.append(oops(400))
    with pytest.raises(errors.TavusRejected):
        await world.bills.create("sess_1", BODY, None)
    await world.clock.run(SEARCH_NS)

    assert [("ended", None)] == await states(world)
    assert 1 == len(world.tavus.requests)


async def test_end_is_asked_for_until_tavus_confirms(world: World) -> None:
    """Waits grow up to half a minute, and nothing is noted before."""
    created = await world.bills.create("sess_1", BODY, None)
    world.tavus.next_answers += [oops() for _ in range(8)]
    world.bills._tasks.spawn("end", world.bills.end(created.conversation_id, "sess_1"))
    await world.clock.run(int(61.5 * S) - 1)
    early = await states(world)
    await world.clock.run(30 * S + 1)

    assert [("created", "c000001")] == early
    assert [("ended", "c000001")] == await states(world)
    assert [] == world.tavus.active()


async def test_failing_disk_keeps_no_conversation_alive(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be noted is ended all the same, and asked about again at the next start."""
    created = await world.bills.create("sess_1", BODY, None)
    world.disk.broken = True
    await world.bills.end(created.conversation_id, "sess_1")
    world.disk.broken = False

    assert [] == world.tavus.active()
    assert ["sess_1: the end of its conversation is not noted"] == caplog.messages
    later = World(world)
    await later.bills.recover()
    await later.bills.settled()
    assert [("ended", "c000001")] == await states(world)
    await later.bills.close()
    await later.http.aclose()


async def test_id_that_was_not_noted_is_found(world: World) -> None:
    """The intent is enough to find the conversation."""

    async def fill_the_disk(_request: httpx.Request) -> None:
        world.disk.broken = True

    world.http.event_hooks = {"request": [fill_the_disk]}
    await world.bills.create("sess_1", BODY, None)
    world.disk.broken = False
    later = World(world)
    await later.bills.recover()
    await later.bills.settled()

    assert [("ended", "c000001")] == await states(world)
    assert [] == world.tavus.active()
    await later.bills.close()
    await later.http.aclose()


# --- what earlier processes left


async def test_what_is_left_over_is_ended(world: World) -> None:
    """Also against a Tavus that fails at first; nothing else is touched."""
    mine = world.tavus.put(TAG)
    other = world.tavus.put(conversation_tag("bridge", "sess_2", None))
    await left_over(world, mine)
    world.tavus.next_answers += [oops(), oops(401)]
    await world.bills.recover()
    await settle()
    strays = world.metrics.text()
    await world.clock.run(2 * S)

    assert b"avatar_bridge_stray_conversations 1.0" in strays
    assert [other] == world.tavus.active()
    assert [("ended", mine)] == await states(world)
    text = world.metrics.text()
    assert b"avatar_bridge_stray_conversations 0.0" in text
    assert b'avatar_bridge_conversations_recovered_total{why="left over"} 1.0' in text


async def test_what_is_known_no_longer_is_over(world: World) -> None:
    """Tavus forgets, and says 404."""
    await left_over(world, "c-forgotten")
    await world.bills.recover()
    await world.bills.settled()

    assert [("ended", "c-forgotten")] == await states(world)


async def test_nothing_left_over_asks_nothing(world: World) -> None:
    """A clean start has nothing to say to Tavus."""
    await world.bills.recover()
    await world.bills.settled()

    assert [] == world.tavus.requests


async def test_other_account_is_named_and_left(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Tavus is another, the conversation is not known, and not over for that."""
    await left_over(world, "c1", account="https://elsewhere.example/v2")
    await world.bills.recover()

    assert [] == world.tavus.requests
    assert [("created", "c1")] == await states(world)
    assert "may still run at https://elsewhere.example/v2" in caplog.text


async def test_intent_is_found_by_its_tag(world: World) -> None:
    """Wherever in the list it is; look-alikes, and those whose id is known, are not it."""
    foreign = [
        world.tavus.put(conversation_tag(instance, session_id, "Call"))
        for instance, session_id in [
            ("bridge2", "sess_1"),
            ("my-bridge", "sess_1"),
            ("bridge", "sess_11"),
            ("bridge", "sess_2"),
        ]
    ]
    foreign += [world.tavus.put(f"other {number}") for number in range(20)]
    known = world.tavus.put(TAG)
    await left_over(world, known)
    world.tavus.put(TAG, status="ended")
    mine = world.tavus.put(conversation_tag("bridge", "sess_1", "[bridge2/sess_1]"))
    await left_over(world, None)
    await world.bills.recover()
    await world.bills.settled()

    assert foreign == world.tavus.active()
    assert [("ended", known), ("ended", mine)] == await states(world)
    assert [1, 2, 3] == [
        page
        for page in range(1, 4)
        if ("GET", f"/v2/conversations?limit=10&page={page}&status=active", None)
        in world.tavus.requests
    ]


async def test_intent_that_came_to_nothing_is_given_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Tavus may be slow to make one, so it is looked for a while; then there is none."""
    caplog.set_level(logging.INFO)
    await left_over(world, None)
    await world.bills.recover()
    await world.clock.run(SEARCH_NS - 1)
    early = await states(world)
    await world.clock.run(30 * S + 1)

    assert [("intent", None)] == early
    assert [("ended", None)] == await states(world)
    assert "sess_1: Tavus has made no conversation" in caplog.messages
    assert b"avatar_bridge_stray_conversations 0.0" in world.metrics.text()


async def test_nothing_is_given_up_unseen(world: World) -> None:
    """A list that could not be read says nothing, however long that goes on."""
    await left_over(world, None)
    await world.bills.recover()
    world.tavus.next_answers += [oops() for _ in range(20)]
    await world.clock.run(SEARCH_NS * 2)
    early = await states(world)
    mine = world.tavus.put(TAG)
    world.tavus.next_answers.clear()
    await world.clock.run(30 * S)

    assert [("intent", None)] == early
    assert [("ended", mine)] == await states(world)
    assert [] == world.tavus.active()


# --- a create whose answer is lost


async def test_lost_conversation_is_found_and_ended(world: World) -> None:
    """At once, while the service runs."""
    world.tavus.lose_answers = True
    other = world.tavus.put(conversation_tag("bridge2", "sess_1", None))
    with pytest.raises(errors.TavusTimeout):
        await world.bills.create("sess_1", BODY, None)
    await world.bills.settled()

    assert [other] == world.tavus.active()
    assert [("ended", "c000002")] == await states(world)
    assert b'avatar_bridge_conversations_recovered_total{why="lost"} 1.0' in world.metrics.text()


async def test_conversation_that_turns_up_late_is_found(world: World) -> None:
    """Tavus may make it long after we gave up waiting for the answer."""
    world.tavus.next_answers.append(httpx.ReadTimeout("slow"))
    with pytest.raises(errors.TavusTimeout):
        await world.bills.create("sess_1", BODY, None)
    await world.clock.run(40 * S)
    mine = world.tavus.put(TAG)
    await world.clock.run(30 * S)

    assert [] == world.tavus.active()
    assert [("ended", mine)] == await states(world)


@pytest.mark.parametrize(
    ("answer", "looks"),
    [
        (oops(500), True),
        (oops(504), True),
        (JSONResponse({"no": "id"}), True),
        (httpx.ConnectError("down"), False),
        (oops(429), False),
        (oops(402), False),
    ],
)
async def test_only_certain_failures_are_believed(
    world: World, answer: Response | Exception, *, looks: bool
) -> None:
    """A gateway may fail after Tavus has done its work; a refusal is a refusal."""
    world.tavus.next_answers.append(answer)
    with pytest.raises(errors.TavusError):
        await world.bills.create("sess_1", BODY, None)
    mine = world.tavus.put(TAG)
    await world.bills.settled()

    assert ([] if looks else [mine]) == world.tavus.active()
    assert [("ended", mine if looks else None)] == await states(world)


async def test_many_are_looked_for_at_once(world: World) -> None:
    """One look a moment is enough for all; a new one does not wait for the slow turn of the old."""
    for _ in range(20):
        await left_over(world, None)
    await world.bills.recover()
    await world.clock.run(60 * S)
    looks = sum(method == "GET" for method, *_ in world.tavus.requests)
    world.tavus.lose_answers = True
    with pytest.raises(errors.TavusTimeout):
        await world.bills.create("sess_2", {"conversation_name": "x [bridge/sess_2]"}, None)
    before = world.tavus.active()
    await world.clock.run(1 * S)

    assert 10 > looks
    assert 1 == len(before)
    assert [] == world.tavus.active()


async def test_bug_in_a_look_is_no_end_of_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever breaks, it is tried again."""
    mine = world.tavus.put(TAG)
    await left_over(world, None)
    world.tavus.next_answers.append(ValueError("a bug"))
    await world.bills.recover()
    await world.clock.run(1 * S)

    assert [("ended", mine)] == await states(world)
    assert "looking for lost conversations broke" in caplog.text


async def test_bug_in_a_create_is_looked_after(world: World) -> None:
    """Whatever broke, Tavus may have been asked."""
    world.tavus.next_answers.append(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await world.bills.create("sess_1", BODY, None)
    mine = world.tavus.put(TAG)
    await world.bills.settled()

    assert [("ended", mine)] == await states(world)


async def test_two_lost_of_one_session_are_two(world: World) -> None:
    """Each conversation is taken for one intent only."""
    world.tavus.lose_answers = True
    for _ in range(2):
        with pytest.raises(errors.TavusTimeout):
            await world.bills.create("sess_1", BODY, None)
    await world.clock.run(1 * S)

    assert [] == world.tavus.active()
    assert [("ended", "c000001"), ("ended", "c000002")] == sorted(await states(world))


async def test_living_conversation_is_never_taken_for_a_lost_one(world: World) -> None:
    """A session may have one that lives beside one that was lost."""
    living = await world.bills.create("sess_1", BODY, None)
    world.tavus.lose_answers = True
    with pytest.raises(errors.TavusTimeout):
        await world.bills.create("sess_1", BODY, None)
    await world.bills.settled()

    assert [living.conversation_id] == world.tavus.active()


async def test_abandoned_conversation_is_ended_behind_everybodys_back(world: World) -> None:
    """After its while, until Tavus confirms it; the end of the process waits for that."""
    created = await world.bills.create("sess_1", BODY, None)
    world.bills.abandon(created.conversation_id, "sess_1", after_ns=1 * S)
    world.tavus.next_answers += [oops()]
    await world.clock.run(1 * S - 1)
    early = len(world.tavus.requests)
    await world.clock.run(1 * S)
    await world.bills.settled()

    assert 1 == early
    assert [("ended", created.conversation_id)] == await states(world)


async def test_close_leaves_the_rest_to_the_next_start(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What has not ended stays in the journal, and is named."""
    caplog.set_level(logging.ERROR)
    mine = world.tavus.put(TAG)
    await left_over(world, mine)
    world.tavus.next_answers += [oops()]
    await world.bills.recover()
    await settle()
    await world.bills.close()
    later = World(world)
    await later.bills.recover()
    await later.bills.settled()

    assert ["conversations that may still run, for the next start to end: 1"] == caplog.messages
    assert [] == world.tavus.active()
    await later.bills.close()
    await later.http.aclose()
