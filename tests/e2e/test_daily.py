"""The whole service with Daily rooms, as its clients and the replica see it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from app.core.frame_header import HEADER_BYTES, FrameHeader, FrameKind
from tests.support.daily_stage import Daily, ramp, run_daily, say, session_of, speak_through, speech
from tests.support.processes import together, until
from tests.support.service import Client, Stream

PERSON = "6f1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f1"

PATHS = pytest.mark.parametrize("path", ["echo", "track"])


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daily]:
    """Start everything, once."""
    with run_daily(tmp_path_factory.mktemp("daily")) as daily:
        yield daily


@pytest.fixture(autouse=True)
def _no_faults(daily: Daily) -> None:
    daily.cloud.faults()


@PATHS
async def test_the_replica_hears_every_sample(daily: Daily, path: str) -> None:
    """Both audio paths, to the true end of the utterance."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)
        async with client.connect(session) as stream:
            await say(stream, ramp(1))
            done = await stream.wait_for("utterance.done")
        heard = await sandbox.heard(session["conversation_id"])
        await client.end(session["id"])

    assert ("played", 1000, 1000, "replica") == (
        done["status"],
        done["sent_ms"],
        done["played_ms"],
        done["source"],
    )
    assert np.array_equal(ramp(1), speech(heard))


@PATHS
async def test_an_interrupt_stops_the_replica(daily: Daily, path: str) -> None:
    """What is told after it agrees with what was heard, and the next utterance is whole."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)
        async with client.connect(session) as stream:
            await say(stream, ramp(3))
            await stream.wait_for("utterance.started")
            await stream.send({"type": "interrupt"})
            accepted = await stream.wait_for("interrupt.accepted")
            cut = await stream.wait_for("utterance.done", status="interrupted")
            await say(stream, ramp(0.5), "b")
            done = await stream.wait_for("utterance.done", utterance_id="b")
        heard = speech(await sandbox.heard(session["conversation_id"]))
        await client.end(session["id"])

    assert (1, True) == (accepted["epoch"], accepted["interrupted"])
    assert cut["played_ms"] <= cut["sent_ms"] < 3000
    assert ("played", 500) == (done["status"], done["played_ms"])
    assert np.array_equal(ramp(0.5), heard[-12_000:])
    assert len(heard) <= cut["sent_ms"] * 24 + 40 * 24 + 12_000


@PATHS
@pytest.mark.parametrize(
    "seconds",
    [0.5, *(pytest.param(seconds, marks=pytest.mark.soak) for seconds in (2, 5, 10))],
)
async def test_audio_waits_while_the_signalling_is_interrupted(
    daily: Daily, path: str, seconds: float
) -> None:
    """Nothing is lost, and nobody has to come back."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, path)
        room = session["conversation_id"]

        async def restore() -> None:
            await asyncio.sleep(seconds)
            daily.cloud.steer("signalling", room=room, connected=True)

        restoring: list[asyncio.Task[None]] = []

        async def interrupt() -> None:
            daily.cloud.steer("signalling", room=room, connected=False)
            restoring.append(asyncio.create_task(restore()))

        done, told, heard = await speak_through(client, sandbox, session, 2, interrupt)
        await restoring[0]
        await client.end(session["id"])

    assert ([], "played", 2000) == (told, done["status"], done["sent_ms"])
    assert np.array_equal(ramp(2), speech(heard))


async def test_callbacks_may_come_from_anywhere(daily: Daily) -> None:
    """From many threads at once, all in mid-speech; and after the end of the session, in vain."""
    person = {"id": PERSON, "info": {"isLocal": False, "userName": "Late"}, "media": {}}
    late = [["on_app_message", {"event_type": "late"}, PERSON], ["on_participant_joined", person]]
    daily.cloud.faults(after_leave=late)
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "track")
        room = session["conversation_id"]
        async with client.connect(session) as stream:
            await say(stream, ramp(1))
            await stream.wait_for("utterance.started")
            crowd = [{"event_type": "crowd"}, PERSON]
            daily.cloud.steer("event", room=room, method="on_app_message", args=crowd, threads=8)
            await stream.wait_for("tavus.event", event=crowd[0], nth=8)
            await stream.wait_for("utterance.done")
            heard = await sandbox.heard(room)
            await client.end(session["id"])
            await stream.close_code()
        await until("the client is let go of", lambda: daily.cloud.log("released", room=room))

    assert np.array_equal(ramp(1), speech(heard))
    assert [] == stream.all("tavus.event", event={"event_type": "late"})
    assert [] == stream.all("participant.joined")


async def test_a_refused_message_is_sent_again(daily: Daily) -> None:
    """In its place: nothing was handed over in between. One that is too large comes in halves."""
    fates = [*[None] * 60, "no", *[None] * 5, "the message is too large"]
    daily.cloud.faults(messages={"conversation.echo": fates})
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "echo")
        done, _, heard = await speak_through(client, sandbox, session, 4)
        await client.end(session["id"])

    assert ("played", 4000) == (done["status"], done["sent_ms"])
    assert np.array_equal(ramp(4), speech(heard))


async def test_an_unanswered_message_is_not_sent_again(daily: Daily) -> None:
    """Nobody knows whether it arrived: it is left out of what counts as sent."""
    daily.cloud.faults(messages={"conversation.echo": [*[None] * 60, "never"]})
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "echo")
        done, _, heard = await speak_through(client, sandbox, session, 8)
        await client.end(session["id"])

    assert ("played", 8000, 7960) == (done["status"], done["received_ms"], done["sent_ms"])
    assert 7960 * 24 == len(speech(heard))


async def test_speech_goes_over_to_another_conversation(daily: Daily) -> None:
    """Sample by sample, from one Daily room to the next one."""
    async with daily.clients() as (client, sandbox):
        await together(*(speak_across(client, sandbox, path) for path in ("echo", "track")))


async def speak_across(client: Client, sandbox: Client, path: str) -> None:
    """Speak until the session has gone over; both rooms together heard what was said."""
    session = await client.create_session(
        wait=True,
        persona_id="p1",
        replica_id="r1",
        audio_path=path,
        lead_ms=500,
        renew=True,
        max_duration_s=60,
        conversation={"properties": {"max_call_duration": 8}},
    )
    async with client.connect(session) as stream:
        await say(stream, ramp(8))
        renewed = await stream.wait_for("session.renewed")
        done = await stream.wait_for("utterance.done")
    rooms = (session["conversation_id"], renewed["conversation_id"])
    heard = [speech(await sandbox.heard(each)) for each in rooms]
    await client.end(session["id"])

    assert ("played", 8000) == (done["status"], done["sent_ms"])
    assert all(len(each) for each in heard)
    assert np.array_equal(ramp(8), np.concatenate(heard))


async def test_what_is_watched_comes_from_the_room(daily: Daily) -> None:
    """Picture and sound of the replica while somebody watches, and speech as ever beside them."""
    async with daily.clients() as (client, sandbox):
        session = await session_of(client, "track")
        room = session["conversation_id"]
        async with client.connect(session) as stream:
            await stream.send(
                {
                    "type": "frames.subscribe",
                    "video": {"max_width": 320},
                    "audio": {"sample_rate": 24_000},
                }
            )
            await until("pictures come", lambda: frames(stream, FrameKind.VIDEO))
            await say(stream, ramp(1))
            done = await stream.wait_for("utterance.done")
            await until("all is heard", lambda: len(sound(stream)) >= len(ramp(1)))
            await stream.send({"type": "frames.unsubscribe"})
            await until("nobody watches", lambda: subscriptions(daily, room)[-1] == set())
            heard = await sandbox.heard(room)
        await client.end(session["id"])

    sizes = {simplejpeg.decode_jpeg(data).shape for _, data in frames(stream, FrameKind.VIDEO)}
    assert {(180, 320, 3)} == sizes
    assert np.array_equal(ramp(1), sound(stream))
    assert np.array_equal(ramp(1), speech(heard))
    assert ("played", 1000) == (done["status"], done["played_ms"])
    assert [{"camera", "microphone"}, set()] == subscriptions(daily, room)


def frames(stream: Stream, kind: FrameKind) -> list[tuple[FrameHeader, bytes]]:
    """All frames of one kind so far."""
    found = [(FrameHeader.unpack(frame), frame[HEADER_BYTES:]) for frame in stream.binary]
    return [(header, data) for header, data in found if header.kind == kind]


def sound(stream: Stream) -> NDArray[np.int16]:
    """What a viewer has heard of the replica so far, without silence."""
    pieces = b"".join(data for _, data in frames(stream, FrameKind.AUDIO))
    return speech(np.frombuffer(pieces, "<i2"))


def subscriptions(daily: Daily, room: str) -> list[set[str]]:
    """What of the replica was to be received, oldest first."""
    asked = [entry["asked"] for entry in daily.cloud.log("subscriptions", room=room)]
    media = [each["media"] for one in asked for each in one.values()]
    return [{kind for kind, state in each.items() if state == "subscribed"} for each in media]
