from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import JSONResponse

from app.doctor import asked_rest as rest
from app.doctor.experiment import LiveFailed, Result
from tests.support.bench import BenchWorld


def shown(microphone: Any) -> dict[str, Any]:
    """Return a persona as Tavus shows it."""
    layers = {"transport": {"input_settings": {"microphone": microphone}}}
    return {"pipeline_mode": "echo", "layers": layers}


@pytest.mark.parametrize(
    ("microphone", "expected"),
    [
        ("enabled", "the microphone is a string; pipecat-stream is shown"),
        ({"isEnabled": True}, "the microphone is an object; pipecat-stream is shown"),
        (True, "the microphone is a boolean; pipecat-stream is shown"),
        (5, "the microphone is something else; pipecat-stream is shown"),
        (None, "the microphone is shown nowhere; pipecat-stream is shown"),
    ],
)
async def test_personas_show_their_microphone(microphone: Any, expected: str) -> None:
    """As it stands, so that its type can be read in the report."""
    world = BenchWorld()
    world.tavus.personas["pipecat-stream"] = shown(microphone)
    result = Result(rest.PERSONAS)

    assert expected == await rest.ask_personas(world.bench, result)
    assert 2 == len(result.seen)


async def test_persona_in_use_is_looked_at_too() -> None:
    """Beside the stock ones, which may be gone."""
    world = BenchWorld(tavus_persona_id="p1")
    world.tavus.missing.add("pipecat-stream")
    result = Result(rest.PERSONAS)
    verdict = await rest.ask_personas(world.bench, result)

    assert "pipecat-stream is not shown to this key" in verdict
    assert ["`pipecat0`: 200", "`pipecat-stream`: 404", "`p1`: 200"] == [
        seen.partition(",")[0] for seen in result.seen
    ]


async def test_daily_room_is_asked_for_free() -> None:
    """Tavus's words are the answer; without any there is none."""
    world = BenchWorld()
    refusal = JSONResponse({"message": "daily_room.url is required"}, 400)
    world.tavus.next_answers.extend([refusal, refusal])
    result = Result(rest.DAILY_ROOM)
    verdict = await rest.ask_daily_room(world.bench, result)

    assert "Tavus refuses a wrong shape; its words are above" == verdict
    assert "daily_room.url is required" in result.seen[0]
    assert [True, True] == [body["test_mode"] for _, _, body in world.tavus.requests]
    with pytest.raises(LiveFailed, match="without a word"):
        await rest.ask_daily_room(world.bench, result)
    assert [] == world.tavus.active()


async def test_second_end_and_unknown_id_are_told_apart() -> None:
    """The codes are what sources disagree about."""
    world = BenchWorld()
    verdict = await rest.ask_end_twice(world.bench, Result(rest.END_TWICE))

    assert "400 for an ended conversation, 404 for an unknown one" == verdict
    assert [] == world.tavus.active()


async def test_end_needs_a_conversation() -> None:
    """Without one there is nothing to learn."""
    world = BenchWorld()
    world.tavus.next_answers.append(JSONResponse({"message": "no"}, 402))

    with pytest.raises(LiveFailed, match="402"):
        await rest.ask_end_twice(world.bench, Result(rest.END_TWICE))
