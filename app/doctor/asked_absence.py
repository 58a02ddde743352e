"""Experiments on how long Tavus keeps a conversation that people stay away from."""

from __future__ import annotations

from typing import Any

from app.doctor.bench import Bench, fields
from app.doctor.call import Call
from app.doctor.experiment import Experiment, LiveFailed, Result
from app.runtime.clock import NS_PER_S

LEAST_GRACE_S = 3
"""How much later than announced a time-out may come, at least; else a quarter of it."""

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


async def ask_nobody(bench: Bench, result: Result, absent_s: int) -> str:
    """Carry out ``NOBODY``."""
    wait_s = absent_s + grace_s(absent_s)
    status, text, conversation_id = await bench.ask_conversation(
        properties={
            "participant_absent_timeout": absent_s,
            "max_call_duration": wait_s + 60,  # should nobody be left to end it
        }
    )
    if conversation_id is None:
        raise LiveFailed(f"no conversation was to be had: {status} {bench.shown(text)}")
    begun = bench.clock.now()
    end = begun + wait_s * NS_PER_S
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


async def ask_only_us(call: Call, result: Result, absent_s: int) -> str:
    """Carry out ``ONLY_US`` in a call with that time-out."""
    wait_s = absent_s + grace_s(absent_s)
    ended = await call.until_type("session.ended", wait_s)
    if ended is None:
        result.saw(f"the session still ran after {wait_s} s, time-out {absent_s} s")
        return "yes: the bot alone keeps the conversation"
    after_s = (ended.at - call.opened) // NS_PER_S
    result.saw(f"the session ended after {after_s} s: {call.end()}")
    if ended.message["reason"] != "tavus_shutdown":
        raise LiveFailed("it was not Tavus that ended the session")
    return "no: a bot is nobody, or the time-out means silence rather than absence"


def grace_s(absent_s: int) -> int:
    """Return how long to go on watching after a time-out."""
    return max(LEAST_GRACE_S, absent_s // 4)


def wish(absent_s: int) -> dict[str, Any]:
    """Say what to ask for in ``POST /sessions`` so that only Tavus's time-out can end it."""
    return {
        "ready_timeout_s": absent_s,  # the service makes Tavus's time-out at least as long
        "idle_timeout_s": 3 * absent_s + 60,
        "conversation": {"properties": {"participant_absent_timeout": absent_s}},
    }
