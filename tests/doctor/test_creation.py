from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import JSONResponse

from app.doctor.creation import create_persona
from app.errors import TavusRejected
from app.runtime.tavus_api import TavusApi
from tests.support.edge import settings_with
from tests.support.tavus import BASE_URL, KEY, FakeTavus


def api(tavus: FakeTavus) -> TavusApi:
    """Make a client of the fake."""
    return TavusApi(tavus.client(), BASE_URL, KEY, 5.0)


@pytest.mark.parametrize("path", ["echo", "track"])
@pytest.mark.parametrize(
    ("face", "line"),
    [
        ({"tavus_replica_id": "r1"}, "TAVUS_PERSONA_ID=p000001"),
        ({"tavus_face_id": "r1"}, "TAVUS_PAL_ID=p000001"),
        ({}, "TAVUS_PERSONA_ID=p000001"),
    ],
)
async def test_persona_fits_the_audio_path(path: str, face: dict[str, str], line: str) -> None:
    """It is made in the words in use, looked at once more, and its line for ``.env`` is known."""
    tavus = FakeTavus()
    settings = settings_with(audio_path=path, tavus_api_key=KEY, **face)
    made = await create_persona(api(tavus), settings)

    assert line == made.line
    assert () == made.misfits
    assert bool(face) is made.brings_face
    assert ["POST", "GET"] == [method for method, _, _ in tavus.requests]


async def test_what_tavus_makes_of_it_is_told() -> None:
    """A persona that does not come out as asked for is no use."""
    tavus = FakeTavus(overrule={"pipeline_mode": "full"})
    made = await create_persona(api(tavus), settings_with(tavus_api_key=KEY))

    assert ["pipeline_mode" in misfit.what for misfit in made.misfits] == [True]


async def test_refusal_is_passed_on() -> None:
    """Nothing is tried twice."""
    refusal: Any = JSONResponse({"message": "too many personas"}, 400)
    tavus = FakeTavus()
    tavus.next_answers.append(refusal)

    with pytest.raises(TavusRejected, match="too many personas"):
        await create_persona(api(tavus), settings_with(tavus_api_key=KEY))
    assert 1 == len(tavus.requests)
