from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.core.spec import AudioPathName, NamedId
from app.doctor.account import configured, examine_account, stock_persona
from app.doctor.finding import Finding, Level
from app.runtime.tavus_api import TavusApi
from tests.support.edge import settings_with
from tests.support.tavus import BASE_URL, KEY, FakeTavus


async def examined(tavus: FakeTavus, key: str = KEY, **settings: Any) -> dict[str, Finding]:
    """Examine, in Daily rooms, and return the findings by check."""
    given = settings_with(**{"room": "daily", "tavus_api_key": KEY, **settings})
    found = await examine_account(TavusApi(tavus.client(), BASE_URL, key, 5.0), given)
    return {finding.check: finding for finding in found}


@pytest.mark.parametrize(
    ("face", "pal"), [("tavus_replica_id", "tavus_persona_id"), ("tavus_face_id", "tavus_pal_id")]
)
async def test_account_in_order_is_well(face: str, pal: str) -> None:
    """Both name pairs are read under their own names, and nothing is made."""
    tavus = FakeTavus()
    found = await examined(tavus, **{face: "r1", pal: "p1"})

    assert {Level.OK} == {finding.level for finding in found.values()}
    assert {"Tavus", "Tavus key", "persona", "replica"} == set(found)
    assert {"GET"} == {method for method, _, _ in tavus.requests}
    assert "r1 (Anna)" == found["replica"].found


@pytest.mark.parametrize(
    ("answer", "check", "level"),
    [
        (PlainTextResponse("", 503), "Tavus", Level.WRONG),
        (httpx.ConnectError("down"), "Tavus", Level.WRONG),
        (httpx.ReadTimeout("slow"), "Tavus", Level.WRONG),
        (PlainTextResponse("", 429), "Tavus", Level.WARNING),
        (JSONResponse({"message": "Invalid access token"}, 401), "Tavus key", Level.WRONG),
        (PlainTextResponse("", 403), "Tavus key", Level.WRONG),
    ],
)
async def test_without_tavus_nothing_else_is_asked(
    answer: Response | Exception, check: str, level: Level
) -> None:
    """A key that is refused is told apart from a way that is blocked; the rest is not checked."""
    tavus = FakeTavus()
    tavus.next_answers.append(answer)
    found = await examined(tavus)

    assert level is found[check].level
    assert {"not checked"} == {found[name].found for name in ("persona", "replica")}
    assert 1 == len(tavus.requests)


async def test_key_is_never_told() -> None:
    """Also not when Tavus repeats it."""
    tavus = FakeTavus()
    tavus.next_answers.append(JSONResponse({"message": f"bad key {KEY}"}, 401))

    assert KEY not in f"{await examined(tavus)}"


@pytest.mark.parametrize(
    ("persona", "path", "level"),
    [
        ({"pipeline_mode": "full"}, "echo", Level.WRONG),
        ({"pipeline_mode": "echo"}, "echo", Level.OK),
        ({"pipeline_mode": "echo"}, "track", Level.WRONG),
    ],
)
async def test_persona_must_fit(persona: dict[str, Any], path: str, level: Level) -> None:
    """What Tavus shows of it decides, for the audio path in use."""
    tavus = FakeTavus(personas={"p1": persona})
    found = await examined(tavus, tavus_persona_id="p1", tavus_face_id="r1", audio_path=path)

    assert level is found["persona"].level


async def test_persona_that_is_not_there_is_wrong() -> None:
    """The setting to look at is named."""
    tavus = FakeTavus(missing={"p1"})
    found = await examined(tavus, tavus_pal_id="p1", tavus_face_id="r1")

    assert Level.WRONG is found["persona"].level
    assert "check TAVUS_PAL_ID" == found["persona"].advice


async def test_persona_that_cannot_be_read_is_a_warning() -> None:
    """A bad moment of Tavus's says nothing about the persona."""
    tavus = FakeTavus(personas={"p1": {}}, broken={"p1"})
    found = await examined(tavus, tavus_persona_id="p1", tavus_face_id="r1")

    assert Level.WARNING is found["persona"].level


@pytest.mark.parametrize(
    ("persona_id", "path", "level"),
    [
        ("pipecat0", "echo", Level.OK),
        ("pipecat-stream", "track", Level.OK),
        ("pipecat0", "track", Level.WRONG),
        ("pipecat-stream", "echo", Level.WRONG),
    ],
)
async def test_stock_persona_is_known_though_not_shown(
    persona_id: str, path: str, level: Level
) -> None:
    """Tavus may keep its own personas to itself; how they take audio is known."""
    tavus = FakeTavus(missing={persona_id})
    found = await examined(
        tavus, tavus_persona_id=persona_id, tavus_replica_id="r1", audio_path=path
    )

    assert level is found["persona"].level


@pytest.mark.parametrize("word", ["replica", "face"])
async def test_persona_may_bring_its_replica(word: str) -> None:
    """Then none needs to be configured; it is looked at all the same."""
    pal = "tavus_persona_id" if word == "replica" else "tavus_pal_id"
    tavus = FakeTavus(personas={"p1": {"pipeline_mode": "echo", f"default_{word}_id": "r9"}})
    found = await examined(tavus, **{pal: "p1"})

    assert "r9 (Anna)" == found["replica"].found
    assert ("GET", f"/v2/{word}s/r9", None) == tavus.requests[-1]


async def test_nobody_to_speak_is_a_warning() -> None:
    """Each session may still name a replica."""
    found = await examined(FakeTavus())

    assert Level.WARNING is found["replica"].level
    assert "set TAVUS_REPLICA_ID" == found["replica"].advice


async def test_replica_that_is_not_there_is_wrong() -> None:
    """The setting to look at is named."""
    found = await examined(FakeTavus(), tavus_face_id="nobody")

    assert Level.WRONG is found["replica"].level
    assert "check TAVUS_FACE_ID" == found["replica"].advice


async def test_replica_that_is_not_finished_is_a_warning() -> None:
    """Tavus trains replicas for hours."""
    tavus = FakeTavus(replica_status="started")
    found = await examined(tavus, tavus_face_id="r1")

    assert "r1 is started" == found["replica"].found


async def test_second_name_of_the_same_is_a_warning() -> None:
    """Of two names for one thing only the older is used."""
    found = await examined(FakeTavus(), tavus_face_id="r1", tavus_replica_id="r2")

    assert "TAVUS_FACE_ID is not used: TAVUS_REPLICA_ID is set too" == found["settings"].found
    assert found["replica"].found.startswith("r2")


def test_configured_is_what_a_session_gets() -> None:
    """A session that names nobody gets these; in Daily rooms there is no stock replica."""
    stock = stock_persona(AudioPathName.TRACK)
    daily = settings_with(tavus_api_key="k", audio_path="track")
    sandbox = settings_with()

    assert (None, stock) == configured(daily)
    assert (
        NamedId("replica_id", "r4067604db72"),
        NamedId("persona_id", "pipecat0"),
    ) == configured(sandbox)
