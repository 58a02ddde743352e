"""Experiments on Tavus's REST API, and on how long it keeps a room that nobody enters."""

from __future__ import annotations

import json
from typing import Any

from app.core.persona import STOCK_PERSONAS
from app.core.spec import AudioPathName
from app.doctor.bench import Bench, fields
from app.doctor.experiment import NOT_SETTLED, Experiment, LiveFailed, Result
from app.runtime.clock import NS_PER_S

SHOWN = 300
"""Characters of an answer that a report keeps."""

LEAST_GRACE_S = 3
"""How much later than announced a time-out may come, at least; else a quarter of it."""

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

NOBODY = Experiment(
    "Does `participant_absent_timeout` end a conversation that nobody joins?",
    "It ends within a few seconds of the time-out, with a reason that says so.",
    (
        "Create a conversation with a short `participant_absent_timeout`. Do not join it.",
        "Watch its status until well after the time-out, then end it.",
    ),
)

ONLY_US = Experiment(
    "Does a room with only the service's bot in it count as attended?",
    "Yes: the conversation outlives `participant_absent_timeout`.",
    (
        "Create a session with a short `participant_absent_timeout`. Let nobody else join.",
        "Say nothing until well after the time-out.",
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
        result.saw(f"`{json.dumps(value)}`: {status} `{text[:SHOWN]}`")
        refused.append(status >= 400)
    if not any(refused):
        return f"{NOT_SETTLED}: Tavus takes anything without a word"
    return "Tavus refuses a wrong shape; its words are above"


async def ask_end_twice(bench: Bench, result: Result) -> str:
    """Carry out ``END_TWICE``."""
    status, text, conversation_id = await bench.ask_conversation(test_mode=True)
    if conversation_id is None:
        raise LiveFailed(f"no test-mode conversation was to be had: {status} {text[:SHOWN]}")
    answers = []
    for what, ended in (("ended", conversation_id), ("unknown", "c0000000000000000")):
        status, text = await bench.tavus.ask("POST", f"/conversations/{ended}/end")
        result.saw(f"{what}: {status} `{text[:SHOWN]}`")
        answers.append(status)
    return f"{answers[0]} for an ended conversation, {answers[1]} for an unknown one"


async def ask_nobody(bench: Bench, result: Result, absent_s: int) -> str:
    """Carry out ``NOBODY``."""
    status, text, conversation_id = await bench.ask_conversation(
        properties={"participant_absent_timeout": absent_s, "max_call_duration": 3600}
    )
    if conversation_id is None:
        raise LiveFailed(f"no conversation was to be had: {status} {text[:SHOWN]}")
    begun = bench.clock.now()
    end = begun + (absent_s + grace_s(absent_s)) * NS_PER_S
    row: dict[str, Any] = {}
    while bench.clock.now() < end and row.get("status") != "ended":
        await bench.clock.sleep_until(bench.clock.now() + NS_PER_S)
        _, text = await bench.tavus.ask("GET", f"/conversations/{conversation_id}?verbose=true")
        row = fields(text)
    after_s = (bench.clock.now() - begun) // NS_PER_S
    if row.get("status") != "ended":
        result.saw(f"still {row.get('status')} after {after_s} s with a time-out of {absent_s} s")
        await bench.tavus.end(conversation_id)
        return "no: a conversation that nobody joined outlived the time-out"
    reason = row.get("shutdown_reason")
    result.saw(f"ended after {after_s} s with a time-out of {absent_s} s, reason `{reason}`")
    return f"yes, with the reason `{reason}`"


async def ask_only_us(bench: Bench, result: Result, absent_s: int) -> str:
    """Carry out ``ONLY_US``."""
    async with bench.call(
        AudioPathName(bench.settings.audio_path),
        ready_timeout_s=absent_s,
        idle_timeout_s=3 * absent_s + 60,
        conversation={"properties": {"participant_absent_timeout": absent_s}},
    ) as call:
        begun = bench.clock.now()
        ended = await call.until_type("session.ended", absent_s + grace_s(absent_s))
        after_s = (bench.clock.now() - begun) // NS_PER_S
        if ended is None:
            result.saw(f"the session still ran after {after_s} s, time-out {absent_s} s")
            return "yes: the bot alone keeps the conversation"
        result.saw(f"the session ended after {after_s} s: {call.end()}")
        if ended.message["reason"] != "tavus_shutdown":
            return f"{NOT_SETTLED}: it was not Tavus that ended the session"
        return "no: a bot is nobody, or the time-out means silence rather than absence"


def grace_s(absent_s: int) -> int:
    """Return how long to go on watching after a time-out."""
    return max(LEAST_GRACE_S, absent_s // 4)


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
