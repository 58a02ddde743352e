"""A session that outlives its conversation: nothing is lost on the way, and nothing runs on."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.processes import together, until
from tests.support.service import Client
from tests.support.speech import Heard

KEY = {"x-api-key": "any"}
"""What the sandbox takes for a Tavus key."""

LIMIT_S = 8
"""Of each conversation: the next is asked for after half of it, and taken over before its end."""

SPEECH_MS = 8000


def ramp(ms: int) -> Heard:
    """Samples that all differ from their neighbours, and from silence."""
    return (np.arange(24 * ms) % 32_000 + 1).astype("<i2")


async def alive(client: Client, session: dict[str, Any]) -> list[str]:
    """The conversations of a session that cost money."""
    answer = await client.http.get(
        "/sandbox/v2/conversations", params={"status": "active", "limit": 100}, headers=KEY
    )
    rows = answer.json()["data"]
    return [row["conversation_id"] for row in rows if session["id"] in row["conversation_name"]]


async def test_speech_goes_over_to_another_conversation(client: Client) -> None:
    """Each sample is heard once, in order, in the one room or in the other; then both end."""
    await together(*(speak_across(client, path) for path in ("echo", "track")))


async def speak_across(client: Client, path: str) -> None:
    """Speak until the session has gone over, and hold both rooms against what was said."""
    wanted = ramp(SPEECH_MS)
    session = await client.create_session(
        wait=True,
        audio_path=path,
        lead_ms=500,
        renew=True,
        max_duration_s=60,
        conversation={"properties": {"max_call_duration": LIMIT_S}},
    )
    async with client.connect(session) as stream:
        await stream.send(wanted.tobytes())
        await stream.send({"type": "mark", "name": "end"})
        await stream.send({"type": "utterance.end"})
        renewing = await stream.wait_for("session.renewing")
        shown = await client.session(session["id"])
        renewed = await stream.wait_for("session.renewed")
        await until("the first has ended", lambda: _ended(client, session))
        done = await stream.wait_for("utterance.done")
        mark = await stream.wait_for("mark.reached")
        assert [] == stream.all("error") == stream.all("replica.left")

    first, second = session["conversation_id"], renewed["conversation_id"]
    assert second == renewing["conversation_id"] == shown["conversation_id"] != first
    assert ("played", SPEECH_MS, SPEECH_MS) == (
        done["status"],
        done["sent_ms"],
        done["received_ms"],
    )
    assert (SPEECH_MS, "played") == (mark["offset_ms"], mark["outcome"])
    before, after = [await client.heard(each) for each in (first, second)]
    said = np.trim_zeros(before, "b")
    assert 0 < len(said) < len(wanted)
    assert np.array_equal(wanted[: len(said)], said)
    assert np.array_equal(wanted[len(said) :], np.trim_zeros(after, "b"))

    await client.end(session["id"])
    await until("nothing costs money", lambda: _none_alive(client, session))


async def _ended(client: Client, session: dict[str, Any]) -> bool:
    return session["conversation_id"] not in await alive(client, session)


async def _none_alive(client: Client, session: dict[str, Any]) -> bool:
    return not await alive(client, session)
