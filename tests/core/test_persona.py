from __future__ import annotations

from typing import Any

import pytest

from app.core.persona import Persona, echo_persona, stock_path
from app.core.spec import AudioPathName, NamedId

ECHO, TRACK = AudioPathName.ECHO, AudioPathName.TRACK


def shown(microphone: object = None, **fields: Any) -> dict[str, Any]:
    """Return a persona as Tavus shows it."""
    transport = {} if microphone is None else {"input_settings": {"microphone": microphone}}
    return {"pipeline_mode": "echo", "layers": {"transport": transport}, **fields}


@pytest.mark.parametrize("names", [("persona", "replica"), ("pal", "face")])
def test_persona_is_read_under_either_name(names: tuple[str, str]) -> None:
    """Its name and its replica come in the older or the newer words."""
    word, face = names
    persona = Persona.parse(shown(**{f"{word}_name": "Echo", f"default_{face}_id": "r1"}))

    assert Persona(name="Echo", pipeline_mode="echo", face_id="r1") == persona


@pytest.mark.parametrize(
    ("microphone", "expected"),
    [
        ("enabled", True),
        ("disabled", False),
        ("off", False),
        ({"isEnabled": True}, True),
        ({"isEnabled": False}, False),
        ({"isEnabled": "yes"}, None),
        (True, True),
        (False, False),
        (None, None),
        (1, None),
    ],
)
def test_microphone_is_read_in_every_form(microphone: object, expected: bool | None) -> None:
    """Sources disagree about its type; what says nothing is None."""
    assert expected is Persona.parse(shown(microphone)).microphone


@pytest.mark.parametrize(
    "body", [{}, {"layers": None}, {"layers": {"transport": []}, "pipeline_mode": 5}]
)
def test_persona_that_says_nothing_is_read(body: dict[str, Any]) -> None:
    """Fields that are missing or junk are unknown."""
    assert Persona() == Persona.parse(body)


@pytest.mark.parametrize(
    ("microphone", "path", "fits"),
    [
        ("enabled", TRACK, True),
        ("enabled", ECHO, False),
        ("disabled", TRACK, False),
        ("disabled", ECHO, True),
        (None, TRACK, False),
        (None, ECHO, True),
    ],
)
def test_microphone_must_suit_the_audio_path(
    microphone: object, path: AudioPathName, fits: bool
) -> None:
    """On for a track, else the replica is silent; off for app messages, else it repeats people."""
    misfits = Persona.parse(shown(microphone)).misfits(path)

    assert fits is (not misfits)
    assert [f"BRIDGE_AUDIO_PATH={path}" in misfit.what for misfit in misfits] == [True] * (not fits)


@pytest.mark.parametrize("mode", ["full", "speech-to-speech", None])
def test_persona_must_be_in_echo_mode(mode: str | None) -> None:
    """Every other mode thinks for itself; the advice is the command that makes a good one."""
    (misfit,) = Persona(pipeline_mode=mode).misfits(ECHO)

    assert "pipeline_mode" in misfit.what
    assert "--create-persona" in misfit.advice


def test_persona_must_meet_in_a_daily_room() -> None:
    """One with another transport never comes into our room."""
    (misfit,) = Persona(pipeline_mode="echo", transport="livekit").misfits(ECHO)

    assert "livekit" in misfit.what


@pytest.mark.parametrize("path", [ECHO, TRACK])
@pytest.mark.parametrize("face", [NamedId("replica_id", "r1"), NamedId("face_id", "r1"), None])
def test_persona_that_is_made_fits(path: AudioPathName, face: NamedId | None) -> None:
    """What is sent to Tavus would pass our own examination, with the replica if there is one."""
    persona = Persona.parse(echo_persona(path, "Echo", face))

    assert [] == persona.misfits(path)
    assert "Echo" == persona.name
    assert (face and face.value) == persona.face_id


def test_words_of_a_persona_are_those_of_its_face() -> None:
    """``POST /pals`` wants new words, ``POST /personas`` old ones; they are never mixed."""
    old = echo_persona(ECHO, "Echo", NamedId("replica_id", "r1"))
    new = echo_persona(ECHO, "Echo", NamedId("face_id", "r1"))

    assert {"persona_name", "pipeline_mode", "default_replica_id"} == set(old)
    assert {"pal_name", "pipeline_mode", "default_face_id"} == set(new)


def test_stock_personas_are_known() -> None:
    """Two are known by their ids, all others are not."""
    assert (ECHO, TRACK, None) == tuple(
        stock_path(persona_id) for persona_id in ("pipecat0", "pipecat-stream", "p1")
    )
