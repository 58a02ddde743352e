"""Experiments on Tavus's REST API. None of them costs anything."""

from __future__ import annotations

import json
from typing import Any

from app.core.persona import STOCK_PERSONAS
from app.core.spec import AudioPathName
from app.doctor.bench import Bench, fields
from app.doctor.experiment import Experiment, LiveFailed, Result

PERSONAS = Experiment(
    "What type has a persona's microphone setting, and does the stock persona for tracks live?",
    'The microphone is the string "enabled" or "disabled"; pipecat-stream still exists.',
    ("Read the stock personas pipecat0 and pipecat-stream, and the configured one. Free.",),
)

DAILY_ROOM = Experiment(
    "What shape has `properties.daily_room`?",
    "Tavus refuses a wrong shape with words that name the right one.",
    (
        "Create a test-mode conversation (free) with `daily_room` a number.",
        "The same with an empty object.",
    ),
)

END_TWICE = Experiment(
    "What does `/end` answer for a conversation that has ended, and for an unknown one?",
    "400 or 404: sources disagree. The service takes both for an end.",
    (
        "Create a test-mode conversation (free), which is over at once, and end it.",
        "End a conversation that never was.",
    ),
)


async def ask_personas(bench: Bench, result: Result) -> str:
    """Carry out ``PERSONAS``."""
    own = bench.cast(AudioPathName(bench.settings.audio_path))
    ids = [*STOCK_PERSONAS.values(), own.get("persona_id"), own.get("pal_id")]
    forms = set()
    shown = {}
    for persona_id in dict.fromkeys(filter(None, ids)):
        status, text = await bench.tavus.ask("GET", f"/personas/{persona_id}")
        microphone = _microphone(fields(text))
        shown[persona_id] = status == 200
        if microphone is not None:
            forms.add(_json_type(microphone))
        result.saw(
            f"`{persona_id}`: {status}, pipeline_mode "
            f"`{json.dumps(fields(text).get('pipeline_mode'))}`, "
            f"microphone `{json.dumps(microphone)}`"
        )
    lives = "is shown" if shown[STOCK_PERSONAS[AudioPathName.TRACK]] else "is not shown to this key"
    kind = f"is {' or '.join(sorted(forms))}" if forms else "is shown nowhere"
    return f"the microphone {kind}; pipecat-stream {lives}"


async def ask_daily_room(bench: Bench, result: Result) -> str:
    """Carry out ``DAILY_ROOM``."""
    refused = []
    wrong: tuple[Any, ...] = (0, {})
    for value in wrong:
        status, text, _ = await bench.ask_conversation(
            test_mode=True, properties={"daily_room": value}
        )
        result.saw(f"`{json.dumps(value)}`: {status} `{bench.shown(text)}`")
        refused.append(status >= 400)
    if not any(refused):
        raise LiveFailed("Tavus takes anything without a word")
    return "Tavus refuses a wrong shape; its words are above"


async def ask_end_twice(bench: Bench, result: Result) -> str:
    """Carry out ``END_TWICE``."""
    status, text, conversation_id = await bench.ask_conversation(test_mode=True)
    if conversation_id is None:
        raise LiveFailed(f"no test-mode conversation was to be had: {status} {bench.shown(text)}")
    answers = []
    for what, ended in (("ended", conversation_id), ("unknown", "c0000000000000000")):
        status, text = await bench.tavus.ask("POST", f"/conversations/{ended}/end")
        result.saw(f"{what}: {status} `{bench.shown(text)}`")
        answers.append(status)
    return f"{answers[0]} for an ended conversation, {answers[1]} for an unknown one"


def _microphone(persona: dict[str, Any]) -> Any:
    """Return the setting as it stands."""
    place: Any = persona
    for name in ("layers", "transport", "input_settings", "microphone"):
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _json_type(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case dict():
            return "an object"
    return "something else"
