from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from app.core.spec import AudioPathName
from app.doctor.bench import ENDS, fields
from app.doctor.experiment import LiveFailed
from app.errors import TavusUnavailable
from tests.support.bench import BenchWorld
from tests.support.clock import settle
from tests.support.tavus import KEY

ECHO, TRACK = AudioPathName.ECHO, AudioPathName.TRACK


async def hold_call(world: BenchWorld) -> None:
    """Try to hold a call; the fake service has no streams."""
    async with world.bench.call(ECHO):
        pass


def test_cast_suits_the_audio_path() -> None:
    """The configured persona speaks on the configured path, a stock one on the other."""
    bench = BenchWorld(tavus_replica_id="r1", tavus_pal_id="p1").bench

    assert {"replica_id": "r1", "pal_id": "p1"} == bench.cast(ECHO)
    assert {"replica_id": "r1", "persona_id": "pipecat-stream"} == bench.cast(TRACK)


def test_cast_may_lack_a_replica() -> None:
    """In Daily rooms the persona may bring one."""
    assert {"persona_id": "pipecat0"} == BenchWorld(room="daily").bench.cast(ECHO)


def test_answers_are_shown_short_and_without_the_key() -> None:
    """Whatever Tavus repeats."""
    shown = BenchWorld().bench.shown(f"{KEY} {'x' * 1000}")

    assert shown.startswith("[key] xxx")
    assert 300 == len(shown)


async def test_call_that_is_refused_fails() -> None:
    """In the service's words; nothing was made."""
    world = BenchWorld()
    world.refuses = True
    with pytest.raises(LiveFailed, match="refused: tavus_rejected"):
        await hold_call(world)
    await world.close()

    assert ([], []) == (world.bench.made, world.bench.left)


async def test_call_without_a_stream_is_ended() -> None:
    """A session that cannot be used costs money all the same."""
    world = BenchWorld()
    with pytest.raises(LiveFailed, match="stream cannot be opened"):
        await hold_call(world)
    await world.close()

    assert ["c000001"] == world.bench.made
    assert [] == world.bench.left
    assert [] == world.tavus.active()
    assert "deleted" == world.sessions["sess_1"]["end_reason"]


async def test_call_of_somebody_elses_account_fails() -> None:
    """With another key than the service's nothing could be seen at Tavus, nor ended."""
    world = BenchWorld()
    world.bench.tavus = BenchWorld().bench.tavus
    with pytest.raises(LiveFailed, match="settings of the service"):
        await hold_call(world)
    await world.close()

    assert "deleted" == world.sessions["sess_1"]["end_reason"]
    assert ["c000001"] == world.bench.left


async def test_session_whose_answer_was_lost_is_ended() -> None:
    """It is known by what was asked for."""
    world = BenchWorld()
    world.is_lost = True
    with pytest.raises(LiveFailed, match="does not answer: ReadTimeout"):
        await hold_call(world)
    await world.close()

    assert [] == world.tavus.active()
    assert "deleted" == world.sessions["sess_1"]["end_reason"]


async def test_creation_outlives_who_waits_for_it() -> None:
    """A signal in the middle of it leaves no conversation behind."""
    world = BenchWorld()
    world.hold.clear()
    waiting = asyncio.ensure_future(hold_call(world))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    world.hold.set()
    await world.close()

    assert ["c000001"] == world.bench.made
    assert [] == world.tavus.active()


async def test_conversation_of_our_own_is_ended() -> None:
    """Also when nobody ended it before."""
    world = BenchWorld()
    status, text, conversation_id = await world.bench.ask_conversation(properties={"a": 1})
    await world.close()
    _, _, body = world.tavus.requests[0]

    assert (200, "c000001") == (status, conversation_id)
    assert "c000001" in text
    assert {"a": 1} == body["properties"]
    assert world.bench.name == body["conversation_name"]
    assert ([], []) == (world.tavus.active(), world.bench.left)


async def test_conversation_that_is_refused_has_no_id() -> None:
    """The refusal is what is asked for at times."""
    world = BenchWorld()
    world.tavus.next_answers.append(PlainTextResponse("no", 400))

    assert (400, "no", None) == await world.bench.ask_conversation()


async def test_conversation_whose_answer_was_lost_is_found_by_its_name() -> None:
    """Only what carries the test's name is ended; others may share the key."""
    world = BenchWorld()
    for conversation_id in ("ours", "theirs"):
        name = world.bench.name if conversation_id == "ours" else "Avatar Bridge"
        world.tavus.conversations[conversation_id] = {
            "conversation_id": conversation_id,
            "conversation_url": "https://tavus.daily.co/x",
            "conversation_name": name,
            "status": "active",
        }
    await world.close()

    assert ["theirs"] == world.tavus.active()
    assert ["ours"] == world.bench.made


async def test_end_is_tried_again() -> None:
    """And what then still runs is told."""
    world = BenchWorld()
    await world.bench.ask_conversation()
    await world.bench.ask_conversation()
    failures = [PlainTextResponse("", 503) for _ in range(ENDS + 1)]
    listing = PlainTextResponse("no list")
    world.tavus.next_answers.extend([listing, *failures])
    await world.close()

    assert ["c000001"] == world.bench.left
    assert ["c000001"] == world.tavus.active()


async def test_tavus_that_is_gone_is_told() -> None:
    """A request that fails is the experiment's failure."""
    world = BenchWorld()
    world.tavus.next_answers.append(httpx.ConnectError("down"))
    with pytest.raises(TavusUnavailable):
        await world.bench.ask_conversation()
    await world.close()


@pytest.mark.parametrize("text", ["", "[]", "no", "[" * 100_000])
def test_what_is_no_object_has_no_fields(text: str) -> None:
    """Tavus does not always answer in JSON."""
    assert {} == fields(text)
