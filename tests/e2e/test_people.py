"""What people in the room say: heard by viewers, and cutting the avatar where that is wanted."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from app.core.frame_header import HEADER_BYTES, FrameHeader, FrameKind
from tests.support.service import Client, Stream
from tests.support.speech import Heard, clicks, pitch, speech, tone
from tests.support.visitor import MICROPHONE_RATE as RATE
from tests.support.visitor import visiting

REPLY = bytes(2 * 24_000 * 30)
"""Half a minute."""

OBJECTION = speech("Wait a moment, could you say that again, please?", RATE)
TYPING = clicks(2000, RATE)


def heard(stream: Stream, number: int) -> Heard:
    """Return what a viewer got of one person at 16 kHz."""
    frames = [(FrameHeader.unpack(frame), frame[HEADER_BYTES:]) for frame in stream.binary]
    pcm = b"".join(
        payload
        for header, payload in frames
        if (header.kind, header.number, header.detail) == (FrameKind.USER_AUDIO, number, 16_000)
    )

    assert len(pcm) > 16_000, f"only {len(pcm)} bytes of person {number}"
    return np.frombuffer(pcm, "<i2")


async def test_people_are_heard_apart(client: Client) -> None:
    """Each person's sound has their number, also when all speak at once, at the viewer's rate."""
    session = await client.create_session(wait=True)
    room = session["conversation_url"]
    async with client.connect(session, "?role=observe") as viewer:
        await viewer.send({"type": "frames.subscribe", "user_audio": {"sample_rate": 16_000}})
        await viewer.wait_for("frames.subscribed")
        async with visiting(room, "Ada") as ada, visiting(room, "Bob") as bob:
            numbers = [
                (await viewer.wait_for("participant.joined", participant_id=each.participant_id))[
                    "number"
                ]
                for each in (ada, bob)
            ]
            await asyncio.gather(
                ada.say(tone(440, 1500, RATE)), bob.say(tone(1000, 1500, RATE, level=0.1))
            )
        await viewer.wait_for("participant.left", nth=2)
    await client.end(session["id"])

    assert 440 == pytest.approx(pitch(heard(viewer, numbers[0]), 16_000), abs=5)
    assert 1000 == pytest.approx(pitch(heard(viewer, numbers[1]), 16_000), abs=5)


async def test_person_cuts_the_avatar_where_that_is_wanted(client: Client) -> None:
    """Somebody's voice does, soon; their typing does not, and nothing does in another session."""
    wanted, unwanted = [
        await client.create_session(wait=True, interrupt_on_user_speech=is_wanted)
        for is_wanted in (True, False)
    ]
    async with (
        client.connect(wanted) as stream,
        client.connect(unwanted) as other,
        visiting(wanted["conversation_url"], "Ada") as ada,
        visiting(unwanted["conversation_url"], "Bob") as bob,
    ):
        for each in (stream, other):
            await each.send(REPLY)
            await each.wait_for("utterance.started")
        await asyncio.gather(ada.say(TYPING), bob.say(TYPING))
        begun_ms = time.time() * 1000
        await asyncio.gather(ada.say(OBJECTION), bob.say(OBJECTION))
        cut = await stream.wait_for("interrupt.accepted")
        done = await stream.wait_for("utterance.done")
        log = await client.log(wanted["conversation_id"])
    await client.end(wanted["id"])
    await client.end(unwanted["id"])
    said_ms = 1000 * len(OBJECTION) / RATE

    assert (True, "user_speech") == (cut["interrupted"], cut["reason"])
    assert 0 < cut["ts_ms"] - begun_ms < 2 * said_ms  # some 400 ms, but for a busy machine
    assert ("interrupted", True) == (done["status"], done["played_ms"] < 25_000)
    assert 1 == sum(each["kind"] == "interrupt" for each in log)
    assert 1 == len(stream.all("interrupt.accepted"))
    assert [] == other.all("interrupt.accepted")
