from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse

from app.core.spec import NamedId
from app.runtime.persona_names import LOOK_NS, MAX_KNOWN, PersonaNames
from app.runtime.tavus_api import TavusApi
from tests.support.clock import settle
from tests.support.tavus import BASE_URL, KEY
from tests.support.world import World

ANNA = NamedId("persona_id", "p-anna")


def names(world: World) -> PersonaNames:
    """Those that a world's Tavus knows."""
    world.tavus.personas[ANNA.value] = {"persona_name": "Anna"}
    return PersonaNames(TavusApi(world.http, BASE_URL, KEY, 20.0), world.clock)


async def test_a_name_is_asked_for_once() -> None:
    """And of a session without a persona of its own, nobody is asked."""
    world = World()
    found = names(world)

    assert ["Anna", "Anna", ""] == [await found.find(pal) for pal in (ANNA, ANNA, None)]
    assert 1 == len(world.tavus.requests)
    await world.close()


async def test_a_name_that_is_not_to_be_had_is_asked_for_again() -> None:
    """The session starts without it."""
    world = World()
    found = names(world)
    world.tavus.next_answers.append(JSONResponse({"message": "oops"}, status_code=500))

    assert ["", "Anna"] == [await found.find(ANNA) for _ in range(2)]
    await world.close()


async def test_a_session_waits_for_no_name() -> None:
    """Not longer than it may."""
    world = World()
    found = names(world)
    world.tavus.hold = asyncio.Event()
    finding = asyncio.create_task(found.find(ANNA))
    await settle()
    await world.clock.run(LOOK_NS)

    assert "" == await finding
    await world.close()


async def test_only_so_many_are_remembered() -> None:
    """The one unasked for longest is asked for anew."""
    world = World()
    found = names(world)
    await found.find(ANNA)
    for number in range(MAX_KNOWN):
        other = NamedId("pal_id", f"p{number}")
        world.tavus.personas[other.value] = {"pal_name": "Berta"}
        await found.find(other)
    before = len(world.tavus.requests)
    await found.find(ANNA)

    assert before + 1 == len(world.tavus.requests)
    await world.close()
