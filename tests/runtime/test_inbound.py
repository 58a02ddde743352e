from __future__ import annotations

import asyncio
import base64

import pytest

from app.core.pcm import AudioFormat, Encoding
from app.core.roles import Role
from app.runtime.inbound import SLICE_BYTES
from tests.support.client import CHUNK, Client
from tests.support.clock import settle
from tests.support.world import S, World, alone

MULAW = AudioFormat(Encoding.MULAW, 8000)

# --- audio in


async def test_base64_is_the_same_audio() -> None:
    """Audio in text is decoded and counted in bytes of audio."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("utterance.start")
        await client.say("audio.append", audio=base64.b64encode(CHUNK).decode())
        await client.say("audio.append", audio="?", id="bad")
        await client.say("utterance.end")

        assert 4800 == client.of("audio.ack")[-1]["accepted_bytes"]
        assert [("bad_base64", "bad")] == [(m["code"], m["ref"]) for m in client.of("error")]


async def test_large_message_lets_others_run() -> None:
    """A long message is taken in slices, with a turn of the loop between two of them."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session, format=MULAW, declared=True)
        seen: list[int] = []
        sending = asyncio.create_task(client.send(bytes(4 * SLICE_BYTES)))
        while not sending.done():
            utterance = session.runner.speaker.voice.open
            seen.append(0 if utterance is None else utterance.accepted_bytes)
            await asyncio.sleep(0)

        assert {SLICE_BYTES * n for n in range(1, 5)} <= set(seen)


async def test_interrupt_in_the_middle_of_a_message_drops_its_rest() -> None:
    """Bytes that were received before the interrupt are not heard, decoded or not."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        sending = asyncio.create_task(client.send(bytes(6 * SLICE_BYTES)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        accepted = await session.runner.interrupt()
        await sending
        await world.clock.run(5 * S)

        assert accepted.interrupted
        assert {0} >= {sent.epoch for sent in world.room.audio}
        assert 1 == len(client.of("utterance.done"))
        assert ["interrupted"] == [m["reason"] for m in client.of("audio.discarded")]


async def test_end_of_the_session_in_the_middle_of_a_message() -> None:
    """The rest of the message is of no use to anybody."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        sending = asyncio.create_task(client.send(bytes(6 * SLICE_BYTES)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await session.runner.stop("deleted")
        await sending

    assert "session.ended" == client.told[-1]["type"]
    assert 4410 == client.close_code


# --- wrong messages


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "bad_message"),
        ("[]", "bad_message"),
        ('{"type":"dance"}', "unknown_type"),
        ('{"type":"utterance.start","utterance_id":"no space"}', "bad_message"),
        ('{"type":"utterance.start","format":{"sample_rate":1}}', "unsupported_format"),
        ('{"type":"tavus.send","event_type":"conversation.interrupt"}', "invalid_request"),
    ],
)
async def test_wrong_message_is_answered_and_counted(text: str, code: str) -> None:
    """A wrong message has its code, counts as handled, and the connection goes on."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.connection.inbound.text(text)
        await client.say("ping")

        assert [code] == client.codes()
        assert 1 == len(client.of("pong"))
        assert 2 == session.runner.speaker.producer.received


async def test_25_bad_messages_in_10_s_close() -> None:
    """The 25th bad message within 10 s closes with 4400, and nothing after it counts."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        for _ in range(24):
            await client.connection.inbound.text("?")
        await world.clock.run(10 * S)
        for _ in range(24):
            await client.connection.inbound.text("?")
        patient = client.close_code
        await client.connection.inbound.text("?")
        await client.send()

        assert patient is None
        assert 4400 == client.close_code
        assert session.runner.speaker.voice.open is None


async def test_what_is_worth_a_retry_is_not_bad() -> None:
    """Asking too early, however often, is no reason to close."""
    world = World()
    world.prepare = alone
    async with world.session() as session:
        client = await Client.connect(world, session)
        for _ in range(30):
            await client.say("tavus.send", event_type="conversation.respond")

        assert ["session_not_ready"] * 30 == client.codes()
        assert client.close_code is None


async def test_interrupt_in_band_is_answered_to_everybody() -> None:
    """The producer's own interrupt is accepted with its id, and its next audio is new."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send()
        await client.say("interrupt", id="i1")
        await client.send()
        await settle()

        assert ["i1"] == [m["id"] for m in client.of("interrupt.accepted")]
        assert ["u-1", "u-2"] == [m["utterance_id"] for m in client.of("utterance.opened")]
        assert [] == client.of("audio.discarded")


async def test_pause_marks_and_resume() -> None:
    """A paused utterance plays on when resumed; its mark is reached where it stands."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("playback.pause", id="p")
        await client.say("utterance.start")
        await client.send(bytes(24_000))
        await client.say("mark", name="half")
        await client.send(bytes(24_000))
        await client.say("utterance.end")
        await world.clock.run(2 * S)
        held = len(world.room.audio)
        await client.say("playback.resume", id="r")
        await world.clock.run(5 * S)

        assert 0 == held
        assert ["p"] == [m["id"] for m in client.of("playback.paused")]
        assert ["r"] == [m["id"] for m in client.of("playback.resumed")]
        assert [(500, "played")] == [
            (m["offset_ms"], m["outcome"]) for m in client.of("mark.reached")
        ]


async def test_thousand_marks_may_be_cut_at_once() -> None:
    """An interrupt that flushes all marks there may be does not cost the client its connection."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("playback.pause")
        await client.say("utterance.start")
        await client.send(bytes(48_000))
        for number in range(1000):
            await client.say("mark", name=str(number))
        await client.say("mark", name="one too many")
        await client.say("interrupt")
        await settle()

        assert ["too_many_marks"] == client.codes()
        assert 1000 == len(client.of("mark.reached"))
        assert client.close_code is None


# --- beside the producer


SAYINGS: list[tuple[str, dict[str, object], Role]] = [
    ("ping", {}, Role.OBSERVE),
    ("session.keepalive", {}, Role.CONTROL),
    ("interrupt", {}, Role.CONTROL),
    ("playback.pause", {}, Role.CONTROL),
    ("playback.resume", {}, Role.CONTROL),
    ("tavus.send", {"event_type": "conversation.respond"}, Role.CONTROL),
    ("utterance.start", {}, Role.PRODUCE),
    ("audio.append", {"audio": ""}, Role.PRODUCE),
    ("utterance.end", {}, Role.PRODUCE),
    ("mark", {"name": "m"}, Role.PRODUCE),
]
"""Every message, and the least role that may send it."""


@pytest.mark.parametrize("role", Role)
async def test_role_may_send_so_much(role: Role) -> None:
    """What a role may not send is answered with ``role_forbidden`` and changes nothing."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session, role=role)
        for message_type, fields, _ in SAYINGS:
            await client.say(message_type, id=message_type, **fields)
        await client.send()
        forbidden = [m.get("ref") for m in client.of("error") if m["code"] == "role_forbidden"]

        assert role.value == client.hello["role"]
        assert [name for name, _, needed in SAYINGS if not role.covers(needed)] == [
            ref for ref in forbidden if ref is not None
        ]
        assert (role is not Role.PRODUCE) == (None in forbidden)
        assert len(forbidden) == len(client.codes())
        assert (role is Role.PRODUCE) == bool(session.of("utterance.opened"))
        assert client.close_code is None


async def test_observer_does_no_harm() -> None:
    """Whatever it sends, the producer's utterance stays open, and the session is no less idle."""
    world = World()
    async with world.session(idle_timeout_s=20) as session:
        producer = await Client.connect(world, session)
        observer = await Client.connect(world, session, role=Role.OBSERVE)
        await producer.say("utterance.start")
        await producer.send()
        await observer.connection.inbound.text(
            '{"type":"utterance.start","utterance_id":"no space"}'
        )
        await observer.say("utterance.end")
        await observer.send()
        observer.lose()
        await producer.send()
        await producer.say("utterance.end")
        await world.clock.run(5 * S)
        done = session.of("utterance.done")
        observer = await Client.connect(world, session, role=Role.OBSERVE)
        for _ in range(3):
            await world.clock.run(6 * S)
            await observer.say("session.keepalive")
            await observer.send()

        assert [("played", 200)] == [(m["status"], m["played_ms"]) for m in done]
        assert "idle" == session.of("session.ended")[0]["reason"]
        assert 4410 == observer.close_code


async def test_nothing_counts_of_an_observer_behind_its_end() -> None:
    """Neither text nor audio that was on its way when it was closed for the 25th bad message."""
    world = World()
    async with world.session() as session:
        observer = await Client.connect(world, session, role=Role.OBSERVE)
        for _ in range(30):
            await observer.send()
        await observer.say("session.keepalive")
        (seat,) = session.runner.audience._seated

        assert 4400 == observer.close_code
        assert 25 == seat.received


async def test_controller_interrupts_in_the_middle_of_a_message() -> None:
    """It does not wait for what the producer is just saying, whose rest is discarded."""
    world = World()
    async with world.session() as session:
        producer = await Client.connect(world, session)
        controller = await Client.connect(world, session, role=Role.CONTROL)
        sending = asyncio.create_task(producer.send(bytes(6 * SLICE_BYTES)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await controller.say("interrupt", id="i1")
        was_sending = not sending.done()
        await sending
        await producer.send()
        await world.clock.run(S)

        assert was_sending
        for client in (producer, controller):
            assert ["i1"] == [m["id"] for m in client.of("interrupt.accepted")]
        assert ["interrupted"] == [m["reason"] for m in producer.of("audio.discarded")]
        assert ["u-1"] == [m["utterance_id"] for m in session.of("utterance.opened")]


async def test_controller_pauses() -> None:
    """Everybody is told that it did."""
    world = World()
    async with world.session() as session:
        producer = await Client.connect(world, session)
        controller = await Client.connect(world, session, role=Role.CONTROL)
        await controller.say("playback.pause", id="p")
        await controller.say("playback.resume", id="r")

        for client in (producer, controller):
            assert ["p"] == [m["id"] for m in client.of("playback.paused")]
            assert ["r"] == [m["id"] for m in client.of("playback.resumed")]


# --- idleness


@pytest.mark.parametrize(
    ("message_type", "reasons"), [("ping", ["idle"]), ("session.keepalive", [])]
)
async def test_ping_is_no_activity(message_type: str, reasons: list[str]) -> None:
    """Every message but ``ping`` keeps the session; connecting does not."""
    world = World()
    async with world.session(idle_timeout_s=20.0) as session:
        await world.clock.run(10 * S)
        client = await Client.connect(world, session)
        await client.say(message_type)
        await world.clock.run(10 * S)

        assert reasons == [m["reason"] for m in session.of("session.ended")]
